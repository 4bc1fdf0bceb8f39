import { LamplighterError } from '@lamplighter/core';
import { BitSurvey } from './bit-survey.js';
import { type CameraCalibration, packCellMeans, packMask } from './calibration.js';
import { CameraHealth } from './camera-health.js';
import { CELLS } from './cells.js';
import { Light } from './light.js';
import { type HealthPicture, HEALTH_PIXELS, checkPicture } from './picture.js';
import { Reference } from './reference.js';
import { THRESHOLDS } from './thresholds.js';

/** A calibration rests on so much video, ms, at the least. */
const LEAST_MS = 10_000;
/** Before so long the noise windows are not full, ms. */
const SETTLING_MS = 6_000;
/** What is demanded is this share of the worst that was seen. */
const MARGIN = 0.5;
/** A mask with fewer pixels is none. */
const LEAST_MASK_SHARE = 0.05;

/** A calibration, and why each number is what it is. */
export interface Calibrated {
  readonly calibration: CameraCalibration;
  /** One sentence a number, for people. */
  readonly reasons: readonly string[];
}

/**
 * Learns what is normal for one camera in its place. Give it the pictures of some minutes during which all is well.
 * Memory: that of {@link CameraHealth} and 0.4 MB.
 */
export class Calibrator {
  readonly #health = new CameraHealth();
  readonly #light = new Light();
  readonly #reference = new Reference();
  readonly #survey = new BitSurvey();
  readonly #cellSums = new Float64Array(CELLS);
  #pictures = 0;
  #analysed = 0;
  #firstMs = 0;
  #lastMs = 0;
  #analysedMs = -Infinity;
  #worstNoiseRatio = Infinity;
  #size = { width: 0, height: 0 };

  /** @throws RangeError if the picture does not have the size that health looks at; state unchanged */
  see(picture: HealthPicture): void {
    checkPicture(picture);
    const { timeMs, luma } = picture;
    if (this.#pictures === 0) this.#firstMs = timeMs;
    this.#pictures += 1;
    this.#lastMs = timeMs;
    this.#size = { width: picture.sourceWidth, height: picture.sourceHeight };
    this.#health.see(picture);
    if (timeMs - this.#analysedMs < THRESHOLDS.analysisPeriodMs) return;
    this.#analysedMs = timeMs;
    this.#analysed += 1;
    this.#light.see(picture);
    const { cellMeans } = this.#light;
    for (let cell = 0; cell < CELLS; cell++) {
      this.#cellSums[cell] = (this.#cellSums[cell] ?? 0) + (cellMeans[cell] ?? 0);
    }
    const secondAgo = this.#reference.before(timeMs);
    if (secondAgo !== undefined) this.#survey.see(luma, secondAgo);
    this.#reference.keep(luma, timeMs);
    if (timeMs - this.#firstMs < SETTLING_MS) return;
    const ratio = this.#health.verdict(timeMs).numbers['noiseRatio'] ?? 0;
    this.#worstNoiseRatio = Math.min(this.#worstNoiseRatio, ratio);
  }

  /**
   * @throws LamplighterError ERR_CAMERA_TOO_SHORT for less than 10 s of video; ERR_CAMERA_LOW_NOISE when there is next to no noise
   *   to calibrate on; ERR_CAMERA_FAULTY when the camera is degraded in a way that calibration must not teach it to accept
   */
  finish(): Calibrated {
    const spanMs = this.#lastMs - this.#firstMs;
    if (spanMs < LEAST_MS || this.#pictures < 2) throw tooShort(spanMs);
    this.#refuseFaulty();
    const picturesPerSecond = (1_000 * (this.#pictures - 1)) / spanMs;
    const cellMeans = Float32Array.from(this.#cellSums, (sum) => sum / this.#analysed);
    const noise = this.#noiseRatio();
    const bits = this.#bits();
    const { width, height } = this.#size;
    return {
      calibration: {
        version: 1,
        sourceWidth: width,
        sourceHeight: height,
        picturesPerSecond,
        minEntropyBits: bits.minEntropyBits,
        noiseRatio: noise.noiseRatio,
        meanLuma: cellMeans.reduce((sum, mean) => sum + mean, 0) / CELLS,
        cellMeans: packCellMeans(cellMeans),
        mask: packMask(bits.mask),
      },
      reasons: [
        width > 0
          ? `size ${width} x ${height}: as seen`
          : 'size: unknown, so that a change of it is not noticed',
        `rate ${picturesPerSecond.toFixed(1)} pictures a second: the mean over ${Math.round(spanMs / 1_000)} s`,
        noise.reason,
        ...bits.reasons,
        'exposure: the mean of each of 192 cells, to notice at the start that the camera was moved',
      ],
    };
  }

  #refuseFaulty(): void {
    const { faults, numbers } = this.#health.verdict(this.#lastMs);
    // A smooth picture with low noise is told as flat, too: that much can be learned. One where nothing changes cannot.
    const isDead = (numbers['flatShare'] ?? 0) >= THRESHOLDS.deadShare;
    const serious = faults.filter((fault) => fault !== 'low-noise' && (fault !== 'flat' || isDead));
    if (serious.length === 0) return;
    throw new LamplighterError('ERR_CAMERA_FAULTY', `the camera is degraded: ${serious.join(', ')}`, {
      hint: 'put right what is wrong, see `lamplighter camera probe`, then calibrate',
    });
  }

  #noiseRatio(): { readonly noiseRatio: number; readonly reason: string } {
    const worst = Number.isFinite(this.#worstNoiseRatio) ? this.#worstNoiseRatio : 0;
    const noiseRatio = Math.min(20, MARGIN * worst);
    if (noiseRatio < 0.2) {
      throw new LamplighterError('ERR_CAMERA_LOW_NOISE', 'the picture has next to no noise to calibrate on', {
        hint: 'turn off noise reduction in the camera, or raise its quality or gain',
      });
    }
    return {
      noiseRatio,
      reason: `noise ratio ${noiseRatio.toFixed(2)}: half of ${worst.toFixed(2)}, the least that was seen; 1 without calibration`,
    };
  }

  #bits(): { readonly minEntropyBits: number; readonly mask: Uint8Array; readonly reasons: string[] } {
    const mask = this.#survey.mask();
    const share = mask.reduce((sum, bit) => sum + bit, 0) / HEALTH_PIXELS;
    if (share < LEAST_MASK_SHARE) {
      const { minEntropyBits } = THRESHOLDS;
      const reasons = [
        'mask: all pixels, since too few show noise in their lowest bit; H as without calibration',
      ];
      return { minEntropyBits, mask: mask.fill(1), reasons };
    }
    const measured = this.#survey.minEntropyBits(mask);
    const minEntropyBits = Math.min(1, Math.max(0.001, MARGIN * measured));
    return {
      minEntropyBits,
      mask,
      reasons: [
        `mask: ${(100 * share).toFixed(0)} % of the pixels, those whose lowest bit changes and which are not clipped`,
        `H ${minEntropyBits.toFixed(3)} bit: half of ${measured.toFixed(3)}, the most common value in the worst picture`,
      ],
    };
  }
}

function tooShort(spanMs: number): LamplighterError {
  const message = `${(spanMs / 1_000).toFixed(1)} s of video are too short to learn from`;
  return new LamplighterError('ERR_CAMERA_TOO_SHORT', message, {
    hint: `give it ${LEAST_MS / 1_000} s at the least; some minutes are better`,
  });
}
