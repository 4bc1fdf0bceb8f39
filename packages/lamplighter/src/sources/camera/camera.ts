import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import type { Basis } from '../../wire/basis.js';
import { reasonOf } from '../../wire/reason.js';
import type { Reason, SourceReport, SourceState } from '../../wire/status.js';
import type { Source, SourceSink } from '../source.js';
import { type CameraTarget, parseCameraUrl } from './camera-url.js';
import { Decoder } from './decoder.js';
import { ffmpegInput } from './ffmpeg.js';
import type { CameraInput, CameraListener } from './input.js';
import { mjpegHttpInput } from './mjpeg-http.js';
import { type PictureHistory, type PictureVerdict, beginHistory, judge, seePreview } from './moving.js';
import type { Preview } from './preview.js';
import { Rate } from './rate.js';
import { Sampler } from '../sampler.js';
import { StallWatch } from './stall-watch.js';

/** What a person says about a camera. */
export interface CameraOptions {
  readonly name: string;
  /**
   * http(s)://… (MJPEG), rtsp://…, /dev/videoN, or a file as path or file: URL. Userinfo is used (HTTP: Basic) and never
   * shown, nor is it in a process argument.
   */
  readonly url: string;
  /** Video that is silent for so long has stalled, ms, 500..60,000; default 3,000. */
  readonly stallMs?: number;
  /** The largest JPEG taken from an HTTP stream, bytes, 1 KiB..64 MiB; default 8 MiB. */
  readonly maxFrameBytes?: number;
  /** Pictures looked at for health, per second, 0.5..10; default 2. */
  readonly previewPerSecond?: number;
  /** What the camera films is simulated: it earns no credit. */
  readonly simulated?: boolean;
}

/** A camera, which also has a small picture to show. */
export interface CameraSource extends Source {
  readonly kind: 'camera';
  readonly position: 'outside';
  /** The last preview, if there was one. Not to be changed. */
  latestPreview(): Preview | undefined;
}

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 5_000;
/** Longer than the longest attempt that never hears anything. */
const HEALTHY_AFTER_MS = 20_000;

/**
 * A camera as a noise source: every byte of its video is heard, whatever it shows.
 *
 * Pixels are decoded in another process, only to see whether the picture moves; that decides what the camera's bytes are
 * worth (basis, state), never whether they are mixed.
 * @throws LamplighterError ERR_CONFIG when the url is not one of the kinds above
 * @throws RangeError when a number is out of its range
 */
export function cameraSource(options: CameraOptions, environment: Environment): CameraSource {
  return new Camera(options, environment);
}

class Camera implements CameraSource {
  readonly name: string;
  readonly kind = 'camera';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #target: CameraTarget;
  readonly #input: CameraInput;
  readonly #decoder: Decoder | undefined;
  readonly #stallMs: number;
  readonly #simulatedByOption: boolean;
  readonly #stopping = new AbortController();
  readonly #sampler = new Sampler();
  readonly #rate = new Rate();
  #running: Promise<unknown> | undefined;
  #end: 'ended' | 'stopped' | undefined;
  #fault: Reason | undefined;
  #history: PictureHistory | undefined;
  #preview: Preview | undefined;
  /** Never taken back: what was heard stays in the pools. */
  #simulatedByPeer = false;
  #attempts = 0;
  #frames = 0;
  #bytes = 0;

  constructor(options: CameraOptions, environment: Environment) {
    const { stallMs = 3_000, maxFrameBytes = 8 * 1024 * 1024, previewPerSecond = 2 } = options;
    checkRange('stallMs', stallMs, 500, 60_000);
    checkRange('maxFrameBytes', maxFrameBytes, 1024, 64 * 1024 * 1024);
    checkRange('previewPerSecond', previewPerSecond, 0.5, 10);
    this.name = options.name;
    this.#environment = environment;
    this.#stallMs = stallMs;
    this.#target = parseCameraUrl(options.url);
    // A recording is nobody's live noise: whoever has the file has every byte of it.
    this.#simulatedByOption = options.simulated === true || this.#target.kind === 'file';
    if (this.#target.kind === 'http') {
      const onPreview = (preview: Preview) => this.#see(preview);
      this.#decoder = new Decoder({ previewPerSecond, onPreview }, environment);
      this.#input = mjpegHttpInput(this.#target, { maxFrameBytes, decoder: this.#decoder }, environment);
    } else {
      this.#input = ffmpegInput(this.#target, { previewPerSecond, stallMs }, environment);
    }
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#running !== undefined) throw new TypeError('a source is started once');
    const stop = () => this.#letGo();
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const stopping = this.#stopping.signal;
    const video = keepTrying((running) => this.#attempt(sink, running), {
      environment: this.#environment,
      signal: stopping,
      onFault: (error) => (this.#fault = reasonOf(error)),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      healthyAfterMs: HEALTHY_AFTER_MS,
    }).finally(() => {
      signal.removeEventListener('abort', stop);
      this.#end = stopping.aborted ? 'stopped' : 'ended';
      this.#sampler.end();
    });
    this.#running = Promise.all([video, this.#decoder?.run(stopping)]);
    return Promise.resolve();
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#sampler.sample(signal);
  }

  latestPreview(): Preview | undefined {
    return this.#preview;
  }

  status(): SourceReport {
    const verdict = this.#history === undefined ? 'unknown' : judge(this.#history, this.#nowMs());
    const { state, reason } = this.#condition(verdict);
    const simulated = this.#simulatedByOption || this.#simulatedByPeer;
    const physical = state === 'ok' && verdict === 'moving' && !simulated;
    const basis: Basis = { simulated, degraded: false, physical };
    return { state, ...(reason === undefined ? {} : { reason }), basis, details: this.#details(verdict) };
  }

  async stop(): Promise<void> {
    this.#letGo();
    await this.#running;
    this.#end = 'stopped';
  }

  #letGo(): void {
    this.#sampler.close();
    this.#stopping.abort();
  }

  async #attempt(sink: SourceSink, signal: AbortSignal): Promise<'ended'> {
    this.#attempts += 1;
    const watch = new StallWatch(
      { stallMs: this.#stallMs, startMs: Math.max(this.#stallMs, this.#input.startMs) },
      this.#environment,
    );
    const abort = () => watch.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await this.#input.attempt(this.#listener(sink, watch), watch.signal);
    } finally {
      signal.removeEventListener('abort', abort);
      watch.close();
    }
  }

  #listener(sink: SourceSink, watch: StallWatch): CameraListener {
    let first = true;
    return {
      heard: (bytes) => {
        watch.heard();
        if (first) {
          first = false;
          this.#fault = undefined;
          this.#history = beginHistory(this.#nowMs(), this.#history);
        }
        this.#bytes += bytes.length;
        this.#sampler.hear(bytes);
        sink.hear(bytes);
      },
      frames: (count) => {
        this.#frames += count;
        this.#rate.add(count, this.#nowMs());
      },
      preview: (preview) => this.#see(preview),
      simulated: () => {
        this.#simulatedByPeer = true;
      },
    };
  }

  #see(preview: Preview): void {
    this.#preview = preview;
    if (this.#history !== undefined) this.#history = seePreview(this.#history, preview, this.#nowMs());
  }

  #condition(verdict: PictureVerdict): { state: SourceState; reason?: Reason } {
    if (this.#end !== undefined) return { state: this.#end };
    if (this.#stopping.signal.aborted) return { state: 'stopped' };
    if (this.#fault !== undefined) return { state: 'failed', reason: this.#fault };
    if (verdict === 'frozen') return { state: 'degraded', reason: FROZEN };
    if (verdict === 'not-decodable') return { state: 'degraded', reason: NOT_DECODABLE };
    return { state: this.#history === undefined ? 'starting' : 'ok' };
  }

  #details(verdict: PictureVerdict): SourceReport['details'] {
    const decoder = this.#decoder?.counts;
    return {
      input: this.#input.kind,
      codec: this.#input.codec,
      url: this.#target.shown,
      picture: verdict,
      frames: this.#frames,
      framesPerSecond: this.#rate.perSecond(this.#nowMs()),
      bytes: this.#bytes,
      restarts: Math.max(0, this.#attempts - 1),
      skippedPreviews: decoder?.skipped ?? 0,
      decoderRestarts: decoder?.restarts ?? 0,
      ...this.#input.details(),
    };
  }

  #nowMs(): number {
    return Number(this.#environment.monotonicNs() / 1_000_000n);
  }
}

const FROZEN: Reason = {
  code: 'ERR_CAMERA_FROZEN',
  message: 'the picture does not change',
  hint: 'look through the camera: is it covered, dark, or showing a still picture',
};

const NOT_DECODABLE: Reason = {
  code: 'ERR_CAMERA_NOT_DECODABLE',
  message: 'the video comes in but holds no decodable picture',
  hint: 'open the stream in a player; choose plain 8-bit video in the camera',
};

function checkRange(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most)) throw new RangeError(`${name} is ${least} to ${most}`);
}
