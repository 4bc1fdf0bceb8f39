import type { Environment } from '../local/environment.js';

/** Differences between moments that are judged together. */
const WINDOW = 64;
/** Differences that must agree on a step before it is believed: by chance 16 are even once in 65,536 windows. */
const LEAST_MOVES = 16;
/** The 99 % upper bound of the normal distribution, SP 800-90B, section 6.3.1. */
const Z = 2.576;

/** The finest clock there is: the cycle counter, else the monotonic clock. 60 to 110 ns. */
export function finestClock(environment: Pick<Environment, 'cycleCounter' | 'monotonicNs'>): bigint {
  const cycles = environment.cycleCounter();
  return cycles.supported ? cycles.value : environment.monotonicNs();
}

/**
 * Finds out how coarse a clock is from the moments it gave: by how much it steps, and how much its moments vary.
 *
 * A clock may count nanoseconds and move by microseconds, by 15.6 ms, or by the 26 counts of a scaled cycle counter. Its lowest bits
 * are then the same in every moment and would dilute what is gathered. The step is the greatest common divisor of the differences
 * between moments (jitterentropy calls this the gcd test); {@link lowByte} takes the bits above it.
 *
 * Everything is judged over windows of 64 differences, so that a clock that is exchanged at run time is judged anew. Holds 64
 * numbers. Cost: some 0.2 µs a moment.
 */
export class ClockGrain {
  readonly #differences = new Float64Array(WINDOW);
  readonly #histogram = new Uint8Array(256);
  #length = 0;
  #moves = 0;
  #gcd = 0;
  #last: bigint | undefined;
  #step = 1;
  #minEntropyBits: number | undefined;

  /**
   * Takes the next moment. One that lies before the last, as after a restore, makes no difference to be judged.
   * @returns true when this moment completed a window: the verdict below is new
   */
  note(moment: bigint): boolean {
    const difference = this.#last === undefined ? -1 : Number(moment - this.#last);
    this.#last = moment;
    if (difference < 0 || !Number.isSafeInteger(difference)) return false;
    this.#differences[this.#length] = difference;
    this.#length += 1;
    if (difference > 0) {
      this.#moves += 1;
      // Of 1 and anything it stays 1, which it nearly always is.
      if (this.#gcd !== 1) this.#gcd = greatestCommonDivisor(difference, this.#gcd);
    }
    if (this.#length < WINDOW) return false;
    this.#judge();
    return true;
  }

  /** The eight lowest bits of a moment that move. */
  lowByte(moment: bigint): number {
    return Number(BigInt.asUintN(8, this.#step === 1 ? moment : moment / BigInt(this.#step)));
  }

  /** By how many counts the clock moves; 1 before anything is known, which is never too coarse. */
  get step(): number {
    return this.#step;
  }

  /**
   * The most common value estimate of the differences' low bytes in the last whole window: an upper bound of what one
   * moment is worth, never a claim. Source: SP 800-90B, section 6.3.1. 0..8; undefined before the first window is whole.
   */
  get minEntropyBits(): number | undefined {
    return this.#minEntropyBits;
  }

  #judge(): void {
    this.#step = this.#moves >= LEAST_MOVES ? this.#gcd : 1;
    this.#histogram.fill(0);
    let commonest = 0;
    for (const difference of this.#differences) {
      const value = (difference / this.#step) % 256;
      const count = (this.#histogram[value] ?? 0) + 1;
      this.#histogram[value] = count;
      if (count > commonest) commonest = count;
    }
    const p = commonest / WINDOW;
    const upper = Math.min(1, p + Z * Math.sqrt((p * (1 - p)) / (WINDOW - 1)));
    this.#minEntropyBits = Math.abs(Math.log2(upper));
    this.#differences.fill(0);
    this.#length = 0;
    this.#moves = 0;
    this.#gcd = 0;
  }
}

/** Euclid's. Both numbers whole, 0 or more; of 0 and b it is b. */
export function greatestCommonDivisor(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return x;
}
