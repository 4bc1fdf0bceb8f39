import type { Reason } from '../../wire/status.js';
import { reasonOfFaults } from './fault-reasons.js';
import { type CameraCalibration, maskOf } from './health/calibration.js';
import { CameraHealth, type CameraVerdict } from './health/camera-health.js';
import type { SeenPicture } from './input.js';
import { type Preview, previewOf } from './preview.js';
import { HEALTH_HEIGHT, HEALTH_WIDTH } from './health/picture.js';

/** What the pictures of a camera say of it, now. */
export interface PictureVerdict extends Omit<CameraVerdict, 'verdict'> {
  /**
   * - `unknown`: too early to say.
   * - `healthy`: what a sensor sees.
   * - `degraded`: at least one test fails, or failed until a moment ago.
   * - `not-decodable`: there is video but no picture.
   */
  readonly verdict: CameraVerdict['verdict'] | 'not-decodable';
  /** Why it is not healthy; undefined when nothing is wrong. */
  readonly reason: Reason | undefined;
}

/** What the tests look at, to be drawn. */
export interface PictureView {
  readonly width: number;
  readonly height: number;
  /** For each pixel of the grid how far it moves from picture to picture, levels; row by row. */
  readonly noise: ArrayLike<number>;
  /** For each pixel whether the calibration lets its low-order bit count, 1 or 0; undefined: all do. */
  readonly counted: ArrayLike<number> | undefined;
  /** How many pixels had each level of luma, 256 of them. */
  readonly histogram: ArrayLike<number>;
  /** The last picture, averaged; undefined when there was none. */
  readonly preview: Preview | undefined;
}

/** Faults that the history names. */
const FAULTS_TOLD = 3;

/**
 * Everything known of a camera's pictures over all its connections: the health tests, whether there are pictures at all,
 * and the last one for people. All times are ms of one clock that is never set back.
 */
export class PictureWatch {
  readonly #health: CameraHealth;
  readonly #mask: Uint8Array | undefined;
  readonly #luma = new Uint8Array(HEALTH_WIDTH * HEALTH_HEIGHT);
  #seen = false;
  #size = { width: 0, height: 0 };
  #present = false;
  /** When a picture was last seen, or video first heard on this connection. */
  #pictureMs: number | undefined;

  constructor(calibration?: CameraCalibration) {
    this.#health = new CameraHealth(calibration === undefined ? {} : { calibration });
    this.#mask = calibration === undefined ? undefined : maskOf(calibration);
  }

  /** Pixels of the camera's last picture; 0 before the first. */
  get size(): { readonly width: number; readonly height: number } {
    return this.#size;
  }

  /** Bytes came in, on a new connection or an old one. */
  heard(nowMs: number): void {
    if (!this.#present) {
      this.#present = true;
      this.#pictureMs = nowMs;
      this.#health.back(nowMs);
    }
    this.#health.heard(nowMs);
  }

  /** The connection is lost, or was never made. */
  gone(nowMs: number): void {
    if (this.#present) this.#health.gone(nowMs);
    this.#present = false;
    this.#pictureMs = undefined;
  }

  /** @param timeMs - when the picture came in, or its own time in a recording */
  see({ luma, sourceWidth, sourceHeight }: SeenPicture, timeMs: number): void {
    this.#seen = true;
    this.#size = { width: sourceWidth, height: sourceHeight };
    this.#pictureMs = timeMs;
    this.#luma.set(luma);
    this.#health.see({
      width: HEALTH_WIDTH,
      height: HEALTH_HEIGHT,
      luma,
      sourceWidth,
      sourceHeight,
      timeMs,
    });
  }

  /** @param withinMs - how long video may come in without a picture */
  judge(nowMs: number, withinMs: number): PictureVerdict {
    const { verdict, faults, numbers } = this.#health.verdict(nowMs);
    if (this.#pictureMs !== undefined && nowMs - this.#pictureMs > withinMs) {
      return { verdict: 'not-decodable', reason: NOT_DECODABLE, faults, numbers };
    }
    return { verdict, reason: verdict === 'degraded' ? reasonOfFaults(faults) : undefined, faults, numbers };
  }

  /** The last faults in a few words: `frozen 20 s ago for 5 s, gone 3 s ago`; empty when there were none. */
  history(nowMs: number): string {
    const spans = this.#health.history().slice(-FAULTS_TOLD);
    return spans
      .map(({ fault, fromMs, toMs }) => {
        const lasted = toMs === undefined ? '' : ` for ${seconds(toMs - fromMs)} s`;
        return `${fault} ${seconds(nowMs - fromMs)} s ago${lasted}`;
      })
      .join(', ');
  }

  /** What the tests look at, on the grid of 160 × 120, to be drawn. */
  view(): PictureView {
    const { noiseMap, histogram } = this.#health.describe();
    const grid = { width: HEALTH_WIDTH, height: HEALTH_HEIGHT };
    return { ...grid, noise: noiseMap, counted: this.#mask, histogram, preview: this.preview() };
  }

  /** The last picture for people; undefined before the first one. */
  preview(): Preview | undefined {
    return this.#seen
      ? previewOf({ width: HEALTH_WIDTH, height: HEALTH_HEIGHT, luma: this.#luma })
      : undefined;
  }
}

function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 1000));
}

const NOT_DECODABLE: Reason = {
  code: 'ERR_CAMERA_NOT_DECODABLE',
  message: 'the video comes in but holds no decodable picture',
  hint: 'open the stream in a player; choose plain 8-bit video in the camera',
};
