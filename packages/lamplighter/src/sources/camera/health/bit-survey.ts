import { HEALTH_PIXELS } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** A pixel is looked at by the bit tests when its bit differs in so many comparisons at the least, … */
const LEAST_ONES = 0.02;
/** … and it is clipped in so many at most. */
const MOST_CLIPPED = 0.1;

/** Counts, pixel by pixel, how often the temporal low-order bit is 1: what the mask and H of a calibration come from. */
export class BitSurvey {
  readonly #ones = new Uint32Array(HEALTH_PIXELS);
  readonly #clipped = new Uint32Array(HEALTH_PIXELS);
  #pictures = 0;
  #worstShare = 1;

  /** @param secondAgo - the luma of about a second ago */
  see(luma: Uint8Array, secondAgo: Uint8Array): void {
    this.#pictures += 1;
    let ones = 0;
    for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
      const level = luma[pixel] ?? 0;
      const before = secondAgo[pixel] ?? 0;
      const bit = (level ^ before) & 1;
      ones += bit;
      this.#ones[pixel] = (this.#ones[pixel] ?? 0) + bit;
      if (level >= THRESHOLDS.clippedLevel || before >= THRESHOLDS.clippedLevel) {
        this.#clipped[pixel] = (this.#clipped[pixel] ?? 0) + 1;
      }
    }
    this.#worstShare = Math.min(this.#worstShare, ones / HEALTH_PIXELS);
  }

  /** 1 for each pixel whose bit is worth looking at. */
  mask(): Uint8Array {
    const n = Math.max(1, this.#pictures);
    return Uint8Array.from({ length: HEALTH_PIXELS }, (_, pixel) => {
      const changes = (this.#ones[pixel] ?? 0) / n >= LEAST_ONES;
      return changes && (this.#clipped[pixel] ?? 0) / n <= MOST_CLIPPED ? 1 : 0;
    });
  }

  /**
   * Min-entropy of one bit under the mask by its most common value, in the picture that had the fewest ones; 0..1.
   * Source: SP 800-90B, section 6.3.1, without the bound for few samples: there are 10^5 a picture.
   */
  minEntropyBits(mask: Uint8Array): number {
    const n = Math.max(1, this.#pictures);
    let all = 0;
    let masked = 0;
    let pixels = 0;
    for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
      const ones = this.#ones[pixel] ?? 0;
      all += ones;
      if (mask[pixel] !== 1) continue;
      masked += ones;
      pixels += 1;
    }
    if (pixels === 0 || all === 0) return 0;
    const worstOfMean = Math.min(1, (this.#worstShare * n * HEALTH_PIXELS) / all);
    const share = (masked / (n * pixels)) * worstOfMean;
    return -Math.log2(Math.max(share, 1 - share));
  }
}
