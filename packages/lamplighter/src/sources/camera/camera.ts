import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { type ENDED, keepTrying } from '../../local/retry.js';
import { checkRange } from '../../local/range.js';
import type { Basis } from '../../wire/basis.js';
import type { CameraDetails, CameraDoor, CameraNumber } from '../../wire/camera-door.js';
import { reasonOf } from '../../wire/reason.js';
import type { Reason, SourceReport, SourceState } from '../../wire/status.js';
import type { Source, SourceSink } from '../source.js';
import { cameraPictures } from './camera-pictures.js';
import { type CameraTarget, parseCameraUrl } from './camera-url.js';
import type { Decoder } from './decoder.js';
import type { CameraCalibration } from './health/calibration.js';
import { AGAIN, type CameraInput, type CameraListener } from './input.js';
import { inputFor } from './inputs.js';
import { type PictureVerdict, PictureWatch } from './picture-watch.js';
import { PreviewShelf } from './preview-shelf.js';
import type { Preview } from './preview.js';
import { Rate } from './rate.js';
import { Sampler } from '../sampler.js';
import { StallWatch } from './stall-watch.js';

/** What a person says about a camera. */
export interface CameraOptions {
  readonly name: string;
  /**
   * http(s)://… (MJPEG), rtsp://…, /dev/videoN, a file as path or file: URL, `browser:` for pictures that a page hands in, or another
   * stream that is handed to ffmpeg; see camera-url.ts. Userinfo is used (HTTP: Basic) and never shown, nor is it in a process argument.
   */
  readonly url: string;
  /** Video that is silent for so long has stalled, ms, 500..60,000; default 3,000. */
  readonly stallMs?: number;
  /** The largest JPEG taken from an HTTP stream, bytes, 1 KiB..64 MiB; default 8 MiB. */
  readonly maxFrameBytes?: number;
  /** JPEGs of an HTTP stream looked at for health, per second at most, 2..10; default 4. */
  readonly picturesPerSecond?: number;
  /** What `lamplighter camera calibrate` learned of this camera. */
  readonly calibration?: CameraCalibration;
  /** What the camera films is simulated: it earns no credit. */
  readonly simulated?: boolean;
}

/** A camera, which also has pictures to show. */
export interface CameraSource extends Source {
  readonly kind: 'camera';
  readonly position: 'outside';
  /** What the camera saw last, small and averaged; made anew at each call. */
  latestPreview(): Preview | undefined;
  /** What of it may be seen from outside: delayed, as PNG; and where a browser's pictures come in. */
  readonly door: CameraDoor;
}

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 5_000;
/** Longer than the longest attempt that never hears anything. */
const HEALTHY_AFTER_MS = 20_000;

/**
 * A camera as a noise source: every byte of its video is heard, whatever it shows.
 *
 * Pixels are decoded in another process, only to test what the camera sees; that decides what the camera's bytes are
 * worth (basis, state), never whether they are mixed.
 * @throws LamplighterError ERR_CONFIG when the url is not one of the kinds above
 * @throws RangeError when a number is out of its range
 */
export function cameraSource(options: CameraOptions, environment: Environment): CameraSource {
  return new Camera(options, environment);
}

/** Whether a source is a camera, and so has a door. */
export function isCamera(source: Source): source is CameraSource {
  return source instanceof Camera;
}

class Camera implements CameraSource {
  readonly name: string;
  readonly kind = 'camera';
  readonly position = 'outside';
  readonly door: CameraDoor;
  readonly #environment: Environment;
  readonly #target: CameraTarget;
  readonly #input: CameraInput;
  readonly #decoder: Decoder | undefined;
  readonly #stallMs: number;
  readonly #simulatedByOption: boolean;
  readonly #stopping = new AbortController();
  readonly #sampler = new Sampler();
  readonly #rate = new Rate();
  readonly #pictures: PictureWatch;
  readonly #shelf = new PreviewShelf();
  #running: Promise<unknown> | undefined;
  #end: 'ended' | 'stopped' | undefined;
  /** When the video came to its end: what is said of it afterwards is what was true then. */
  #endedMs: number | undefined;
  #fault: Reason | undefined;
  /** Never taken back: what was heard stays in the pools. */
  #simulatedByPeer = false;
  #heardOnce = false;
  #attempts = 0;
  #frames = 0;
  #bytes = 0;

  constructor(options: CameraOptions, environment: Environment) {
    const { stallMs = 3_000, maxFrameBytes = 8 * 1024 * 1024, picturesPerSecond = 4 } = options;
    checkRange('stallMs', stallMs, 500, 60_000);
    checkRange('maxFrameBytes', maxFrameBytes, 1024, 64 * 1024 * 1024);
    checkRange('picturesPerSecond', picturesPerSecond, 2, 10);
    this.name = options.name;
    this.#environment = environment;
    this.#stallMs = stallMs;
    this.#target = parseCameraUrl(options.url);
    this.#pictures = new PictureWatch(options.calibration);
    // A recording is nobody's live noise: whoever has the file has every byte of it.
    this.#simulatedByOption = options.simulated === true || this.#target.kind === 'file';
    const { input, decoder, frame } = inputFor(
      this.#target,
      { stallMs, maxFrameBytes, picturesPerSecond },
      environment,
    );
    this.#input = input;
    this.#decoder = decoder;
    this.door = {
      ...cameraPictures(
        { preview: () => this.#shelf.shown(this.#nowMs()), view: () => this.#pictures.view() },
        environment,
      ),
      ...(frame && { frame: this.#unlessStopped(frame) }),
    };
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
      onFault: (error) => {
        this.#fault = reasonOf(error);
        this.#pictures.gone(this.#nowMs());
      },
      minMs: MIN_BACK_OFF_MS,
      maxMs: this.#input.longestBackOffMs ?? MAX_BACK_OFF_MS,
      healthyAfterMs: HEALTHY_AFTER_MS,
    }).finally(() => {
      signal.removeEventListener('abort', stop);
      this.#end = stopping.aborted ? 'stopped' : 'ended';
      this.#endedMs = this.#nowMs();
      this.#sampler.end();
    });
    this.#running = Promise.all([video, this.#decoder?.run(stopping)]);
    return Promise.resolve();
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#sampler.sample(signal);
  }

  latestPreview(): Preview | undefined {
    return this.#pictures.preview();
  }

  status(): SourceReport {
    const pictures = this.#pictures.judge(this.#endedMs ?? this.#nowMs(), this.#input.pictureWithinMs());
    const { state, reason } = this.#condition(pictures);
    const simulated = this.#simulatedByOption || this.#simulatedByPeer;
    const physical = state === 'ok' && pictures.verdict === 'healthy' && !simulated;
    const basis: Basis = { simulated, degraded: state === 'degraded', physical };
    return { state, ...(reason === undefined ? {} : { reason }), basis, details: this.#details(pictures) };
  }

  async stop(): Promise<void> {
    this.#letGo();
    await this.#running;
    this.#end = 'stopped';
  }

  #unlessStopped(frame: NonNullable<CameraDoor['frame']>): NonNullable<CameraDoor['frame']> {
    return (jpeg, sender) => {
      if (this.#stopping.signal.aborted) throw new LamplighterError('ERR_STOPPED', 'this camera was stopped');
      frame(jpeg, sender);
    };
  }

  #letGo(): void {
    this.#sampler.close();
    this.#stopping.abort();
  }

  async #attempt(sink: SourceSink, signal: AbortSignal): Promise<typeof ENDED> {
    for (;;) {
      const end = await this.#attemptOnce(sink, signal);
      if (end !== AGAIN) return end;
    }
  }

  async #attemptOnce(sink: SourceSink, signal: AbortSignal): Promise<typeof ENDED | typeof AGAIN> {
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
    return {
      heard: (bytes) => {
        watch.heard();
        this.#fault = undefined;
        this.#heardOnce = true;
        this.#pictures.heard(this.#nowMs());
        this.#bytes += bytes.length;
        this.#sampler.hear(bytes);
        sink.hear(bytes);
      },
      frames: (count) => {
        this.#frames += count;
        this.#rate.add(count, this.#nowMs());
      },
      picture: (picture) => {
        this.#pictures.see(picture, picture.arrivedMs);
        this.#shelf.offer(() => this.#pictures.preview(), picture.arrivedMs);
      },
      simulated: () => {
        this.#simulatedByPeer = true;
      },
    };
  }

  #condition({ verdict, reason }: PictureVerdict): { state: SourceState; reason?: Reason } {
    if (this.#end !== undefined) return { state: this.#end };
    if (this.#stopping.signal.aborted) return { state: 'stopped' };
    if (this.#fault !== undefined) return { state: 'failed', reason: this.#fault };
    if (!this.#heardOnce) return { state: 'starting' };
    if (verdict === 'healthy' || verdict === 'unknown') return { state: 'ok' };
    return reason === undefined ? { state: 'degraded' } : { state: 'degraded', reason };
  }

  #details({ verdict, faults, numbers }: PictureVerdict): SourceReport['details'] {
    const decoder = this.#decoder?.counts;
    const details: CameraDetails = {
      input: this.#input.kind,
      url: this.#target.shown,
      ...this.#pictures.size,
      picture: verdict,
      faults: faults.join(','),
      frames: this.#frames,
      framesPerSecond: this.#rate.perSecond(this.#nowMs()),
      bytes: this.#bytes,
      restarts: Math.max(0, this.#attempts - 1),
      skippedPictures: decoder?.skipped ?? 0,
      decoderRestarts: decoder?.restarts ?? 0,
      history: this.#pictures.history(this.#nowMs()),
      ...shownNumbers(numbers),
    };
    return { ...details, ...this.#input.details() };
  }

  #nowMs(): number {
    return Number(this.#environment.monotonicNs() / 1_000_000n);
  }
}

/** What a status shows of the numbers of the health tests; `lamplighter camera probe` shows all. */
function shownNumbers(numbers: PictureVerdict['numbers']): Readonly<Record<CameraNumber, number>> {
  const shown = (name: CameraNumber): number => numbers[name] ?? 0;
  return {
    meanLuma: shown('meanLuma'),
    blackShare: shown('blackShare'),
    clippedHighShare: shown('clippedHighShare'),
    flatShare: shown('flatShare'),
    livingShare: shown('livingShare'),
    residualRms: shown('residualRms'),
    noiseRatio: shown('noiseRatio'),
    noiseBits: shown('noiseBits'),
    replayBestZ: shown('replayBestZ'),
    changedCellShare: shown('changedCellShare'),
    picturesPerSecond: shown('picturesPerSecond'),
    learnedPicturesPerSecond: shown('learnedPicturesPerSecond'),
  };
}
