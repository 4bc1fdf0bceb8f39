import {
  AdaptiveProportionTest,
  RepetitionCountTest,
  adaptiveProportionCutoff,
  repetitionCountCutoff,
} from '@lamplighter/core';
import { HEALTH_PIXELS } from './picture.js';
import { SCATTERED_PIXELS } from './scattered.js';
import { THRESHOLDS } from './thresholds.js';

/** Weight of a new picture in the estimate of entropy: the last five seconds. */
const ESTIMATE_WEIGHT = 0.04;

/** What the bit tests are set up from; calibration knows better than the defaults. */
export interface BitOptions {
  /** H of one bit: more than 0, at most 1. */
  readonly minEntropyBits: number;
  /** 1 for each pixel that is looked at. */
  readonly mask?: Uint8Array | undefined;
}

/**
 * The repetition count and the adaptive proportion test on temporal low-order bits: LSB(Y[t]) xor LSB(Y[t - 1 s]) of every
 * unclipped pixel of the mask, in a fixed scattered order.
 *
 * Source: SP 800-90B, section 4.4; the bit is felixd's. Deviation: pictures are at least 190 ms apart and subsampled, so these
 * are tests of one raw bit in many, which suffices to notice that they are stuck.
 */
export class BitTests {
  readonly #repetition: RepetitionCountTest;
  readonly #proportion: AdaptiveProportionTest;
  readonly #mask: Uint8Array | undefined;
  /** Whether the last pictures failed, newest last. */
  readonly #failed: boolean[] = [];
  #onesShare: number | undefined;
  #bits = 0;

  constructor(options: BitOptions) {
    const { minEntropyBits, mask } = options;
    if (mask !== undefined && mask.length !== HEALTH_PIXELS)
      throw new RangeError('a mask has one byte a pixel');
    const { alphaLog2, aptWindowSize: windowSize } = THRESHOLDS;
    this.#mask = mask;
    this.#repetition = new RepetitionCountTest({
      cutoff: repetitionCountCutoff({ minEntropyBits, alphaLog2 }),
    });
    this.#proportion = new AdaptiveProportionTest({
      cutoff: adaptiveProportionCutoff({ minEntropyBits, alphaLog2, windowSize }),
      windowSize,
    });
  }

  /** @param reference - the luma of about a second ago */
  see(luma: Uint8Array, reference: Uint8Array): void {
    const mask = this.#mask;
    const pixels = SCATTERED_PIXELS;
    const clipped = THRESHOLDS.clippedLevel;
    let failed = false;
    let ones = 0;
    let bits = 0;
    for (let at = 0; at < pixels.length; at++) {
      const pixel = pixels[at] ?? 0;
      if (mask !== undefined && mask[pixel] === 0) continue;
      const level = luma[pixel] ?? 0;
      const before = reference[pixel] ?? 0;
      if (level >= clipped || before >= clipped) continue;
      const bit = (level ^ before) & 1;
      if (this.#repetition.push(bit)) failed = true;
      if (this.#proportion.push(bit)) failed = true;
      ones += bit;
      bits += 1;
    }
    this.#bits = bits;
    if (bits > 0) {
      const share = ones / bits;
      this.#onesShare = (this.#onesShare ?? share) * (1 - ESTIMATE_WEIGHT) + share * ESTIMATE_WEIGHT;
    }
    this.#failed.push(failed);
    if (this.#failed.length > THRESHOLDS.bitTestPictures) this.#failed.shift();
  }

  /** More than half of the last pictures failed a test. */
  get isFailing(): boolean {
    const failures = this.#failed.filter((failed) => failed).length;
    return failures >= 3 && failures > this.#failed.length / 2;
  }

  get repetitionFailures(): number {
    return this.#repetition.failures;
  }

  get proportionFailures(): number {
    return this.#proportion.failures;
  }

  /**
   * Min-entropy of one bit by the most common value, with its 99 % bound over one picture. An estimate for people: bits of
   * neighbouring pixels are not independent. Source: SP 800-90B, section 6.3.1.
   */
  get noiseBits(): number {
    if (this.#onesShare === undefined || this.#bits < 2) return 0;
    const common = Math.max(this.#onesShare, 1 - this.#onesShare);
    const bound = common + 2.576 * Math.sqrt((common * (1 - common)) / (this.#bits - 1));
    return bound >= 1 ? 0 : -Math.log2(bound);
  }
}
