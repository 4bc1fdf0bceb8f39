import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { reasonOf } from '../../wire/reason.js';
import type { Reason } from '../../wire/status.js';
import { type CameraTarget, parseCameraUrl } from './camera-url.js';
import { Decoder } from './decoder.js';
import { ffmpegInput } from './ffmpeg.js';
import type { CameraCalibration } from './health/calibration.js';
import type { CameraFault } from './health/camera-health.js';
import { HEALTH_TESTS } from './health/registry.js';
import { AGAIN, type CameraInput, type CameraListener, type SeenPicture } from './input.js';
import { mjpegHttpInput } from './mjpeg-http.js';
import { type PictureVerdict, PictureWatch } from './picture-watch.js';
import { StallWatch } from './stall-watch.js';
import { VideoClock } from './video-clock.js';

/** What is looked at, and for how long. */
export interface ObservationOptions {
  /** As {@link parseCameraUrl} takes it. */
  readonly url: string;
  /** Of video, > 0. When left out: 10 of a live camera, all of a file. */
  readonly seconds?: number;
  readonly calibration?: CameraCalibration;
  /** Told every half second of looking how far it is. */
  readonly onProgress?: (progress: { readonly seconds: number; readonly verdict: string }) => void;
  /** Given every picture with its time, ms; valid during the call only. */
  readonly onPicture?: (picture: SeenPicture, timeMs: number) => void;
}

/** What was seen of a camera or a recording. */
export interface Observation {
  /** The state at the end; `degraded` also when a test failed at any time before. `unknown`: too short to say. */
  readonly verdict: 'healthy' | 'degraded' | 'unknown';
  /** Every fault there was at any time, in the order of the registry of tests. */
  readonly faults: readonly CameraFault[];
  /** The numbers of the health tests, at the end. */
  readonly numbers: Readonly<Record<string, number>>;
  /** What was read: kind, url without secrets, codec, size, rate, length. */
  readonly input: Readonly<Record<string, string | number>>;
  /** Why there was no video, or no more of it, or nothing to see in it. */
  readonly error: Reason | undefined;
  readonly watch: PictureWatch;
}

const LIVE_SECONDS = 10;
const LIVE_STALL_MS = 3_000;
/** A file that gives nothing for so long is no file, or on a disk that is gone. */
const FILE_STALL_MS = 15_000;
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
const PICTURES_PER_SECOND = 4;
const LOOK_EVERY_MS = 500;

/**
 * Looks at a camera or a recording for a while with the health tests that a node runs, and hears nothing of it: its bytes
 * are counted and wiped.
 *
 * A recording is read as fast as it can be and timed by its own timestamps; it is over at its end. A live camera is looked at
 * from its first byte on; when it goes away before its time the look is over.
 * @throws LamplighterError ERR_CONFIG when the url is none or a browser's; ERR_STOPPED when the signal fires. What is wrong with the camera
 *   is in the observation, and nothing is left running
 */
export async function observeCamera(
  options: ObservationOptions,
  environment: Environment,
  signal: AbortSignal,
): Promise<Observation> {
  const target = parseCameraUrl(options.url);
  if (target.kind === 'browser') {
    throw new LamplighterError(
      'ERR_CONFIG',
      'the camera of a browser sends to a node, nobody can go and look',
      {
        hint: 'configure it in a node and see `lamplighter status`, or the dashboard',
      },
    );
  }
  const look = new Look(target, options, environment);
  const error = await look.run(signal);
  if (signal.aborted) throw new LamplighterError('ERR_STOPPED', 'told to stop');
  return look.observation(error);
}

type ReachableTarget = Exclude<CameraTarget, { kind: 'browser' }>;

class Look {
  readonly #target: ReachableTarget;
  readonly #options: ObservationOptions;
  readonly #environment: Environment;
  readonly #watch: PictureWatch;
  readonly #faults = new Set<CameraFault>();
  readonly #clock: VideoClock | undefined;
  readonly #decoder: Decoder | undefined;
  readonly #input: CameraInput;
  #verdict: PictureVerdict | undefined;
  #firstMs: number | undefined;
  #lastMs = 0;
  #size: { readonly width: number; readonly height: number } = { width: 0, height: 0 };
  #pictures = 0;
  #frames = 0;
  #bytes = 0;

  constructor(target: ReachableTarget, options: ObservationOptions, environment: Environment) {
    this.#target = target;
    this.#options = options;
    this.#environment = environment;
    this.#watch = new PictureWatch(options.calibration);
    this.#clock = target.kind === 'file' ? new VideoClock() : undefined;
    if (target.kind === 'http') {
      this.#decoder = new Decoder({ picturesPerSecond: PICTURES_PER_SECOND }, environment);
      this.#input = mjpegHttpInput(
        target,
        { maxFrameBytes: MAX_FRAME_BYTES, decoder: this.#decoder },
        environment,
      );
    } else {
      const { seconds } = options;
      const length = seconds === undefined ? {} : { seconds };
      this.#input = ffmpegInput(target, { stallMs: LIVE_STALL_MS, fullSpeed: true, ...length }, environment);
    }
  }

  /** @returns why it was over before its time; undefined when it was not */
  async run(signal: AbortSignal): Promise<Reason | undefined> {
    const over = new AbortController();
    const decoding = this.#decoder?.run(over.signal);
    const timer = this.#environment.timers.every(LOOK_EVERY_MS, () => {
      if (this.#clock === undefined) this.#judge(this.#nowMs());
      this.#tell();
      if (this.#clock === undefined && this.#seconds() >= (this.#options.seconds ?? LIVE_SECONDS)) {
        over.abort(SEEN_ENOUGH);
      }
    });
    try {
      // A camera that does not speak RTSP over TCP may do so over UDP: that is the second attempt.
      for (let attempts = this.#target.kind === 'rtsp' ? 2 : 1; ; attempts -= 1) {
        try {
          await this.#attempt(AbortSignal.any([signal, over.signal]));
          return undefined;
        } catch (error) {
          if (signal.aborted || error === SEEN_ENOUGH) return undefined;
          if (attempts > 1 && this.#firstMs === undefined) continue;
          return this.#lost(error);
        }
      }
    } finally {
      timer.cancel();
      this.#judge(this.#clock === undefined ? this.#nowMs() : this.#lastMs);
      over.abort(SEEN_ENOUGH);
      await decoding;
    }
  }

  observation(error: Reason | undefined): Observation {
    const { verdict = 'unknown', numbers = {}, reason } = this.#verdict ?? {};
    const decodable = this.#pictures > 0 && verdict !== 'not-decodable';
    const why = error ?? (decodable ? undefined : (reason ?? NO_PICTURE));
    return {
      verdict: why !== undefined || this.#faults.size > 0 ? 'degraded' : verdictOf(verdict),
      faults: HEALTH_TESTS.map(({ fault }) => fault).filter((fault) => this.#faults.has(fault)),
      numbers,
      input: this.#described(),
      error: why,
      watch: this.#watch,
    };
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const stallMs = this.#clock === undefined ? LIVE_STALL_MS : FILE_STALL_MS;
    for (;;) {
      const startMs = Math.max(stallMs, this.#input.startMs);
      const stall = new StallWatch({ stallMs, startMs }, this.#environment);
      const abort = () => stall.abort(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      try {
        if ((await this.#input.attempt(this.#listener(stall), stall.signal)) !== AGAIN) return;
      } finally {
        signal.removeEventListener('abort', abort);
        stall.close();
      }
    }
  }

  #listener(stall: StallWatch): CameraListener {
    return {
      heard: (bytes) => {
        stall.heard();
        this.#bytes += bytes.length;
        if (this.#clock !== undefined) return;
        this.#firstMs ??= this.#nowMs();
        this.#watch.heard(this.#nowMs());
      },
      frames: (count) => (this.#frames += count),
      picture: (picture) => this.#see(picture),
      simulated: () => undefined,
    };
  }

  #see(picture: SeenPicture): void {
    this.#size = { width: picture.sourceWidth, height: picture.sourceHeight };
    this.#pictures += 1;
    const timeMs = this.#clock?.timeOf(picture.mediaMs) ?? picture.arrivedMs;
    if (this.#clock !== undefined) {
      // Nobody waits while a recording stands still: the moments at which somebody would have looked are made up for.
      for (const momentMs of this.#clock.momentsBefore(timeMs)) this.#judge(momentMs);
      this.#firstMs ??= timeMs;
      this.#watch.heard(timeMs);
    }
    this.#watch.see(picture, timeMs);
    this.#options.onPicture?.(picture, timeMs);
    this.#lastMs = timeMs;
    if (this.#clock?.isDue(timeMs) === true) this.#judge(timeMs);
  }

  #judge(nowMs: number): void {
    if (this.#firstMs === undefined) return;
    this.#verdict = this.#watch.judge(nowMs, this.#input.pictureWithinMs());
    for (const fault of this.#verdict.faults) this.#faults.add(fault);
  }

  #lost(error: unknown): Reason {
    const reason = reasonOf(error);
    if (reason.code === 'ERR_CAMERA_STALLED') this.#faults.add('stalled');
    if (reason.code === 'ERR_CAMERA_GONE' || reason.code === 'ERR_CHILD_EXITED') this.#faults.add('gone');
    return reason;
  }

  #tell(): void {
    const verdict =
      this.#faults.size > 0 ? [...this.#faults].join(', ') : (this.#verdict?.verdict ?? 'waiting');
    this.#options.onProgress?.({ seconds: this.#seconds(), verdict });
  }

  #seconds(): number {
    if (this.#firstMs === undefined) return 0;
    return ((this.#clock === undefined ? this.#nowMs() : this.#lastMs) - this.#firstMs) / 1000;
  }

  #described(): Observation['input'] {
    const seconds = Math.round(this.#seconds() * 10) / 10;
    // Of a recording every picture was seen, and from the first to the last there is one period less.
    const counted = this.#clock === undefined ? Math.max(this.#frames, this.#pictures) : this.#pictures - 1;
    return {
      kind: this.#target.kind,
      url: this.#target.shown,
      ...this.#input.details(),
      width: this.#size.width,
      height: this.#size.height,
      framesPerSecond: seconds > 0 ? Math.round((counted / this.#seconds()) * 10) / 10 : 0,
      seconds,
      pictures: this.#pictures,
      bytes: this.#bytes,
    };
  }

  #nowMs(): number {
    return Number(this.#environment.monotonicNs() / 1_000_000n);
  }
}

const SEEN_ENOUGH = new Error('seen enough');

const NO_PICTURE: Reason = {
  code: 'ERR_CAMERA_NOT_DECODABLE',
  message: 'there was video, but no picture could be decoded from it',
  hint: 'open the stream in a player; choose plain 8-bit video in the camera',
};

function verdictOf(verdict: PictureVerdict['verdict']): Observation['verdict'] {
  return verdict === 'not-decodable' ? 'degraded' : verdict;
}
