const MINUTE_NS = 60_000_000_000;

/**
 * A token bucket, kept as the one moment at which it is full again (the generic cell rate algorithm, ITU-T I.371): nothing has to
 * be filled, and all arithmetic is on whole nanoseconds, so that whoever comes when he was told to come is served.
 *
 * A clock that stands still or goes backwards gives nothing, and takes no more than the whole bucket.
 */
export class Bucket {
  /** Everything taken since it was made. */
  taken = 0;
  /** What one unit takes to come back, ns. */
  #costNs: number;
  #burst: number;
  #fullAtNs = Number.NEGATIVE_INFINITY;

  /**
   * @param perMinute - units that come back, 1..600,000,000
   * @param burst - the most it holds, ≥ 1
   */
  constructor(perMinute: number, burst: number) {
    this.#costNs = Math.round(MINUTE_NS / perMinute);
    this.#burst = burst;
  }

  /**
   * Takes units if they are there.
   * @param amount - whole, at most the burst
   * @param nowNs - whole nanoseconds of a monotonic clock
   * @returns 0 when they were taken; else whole milliseconds after which they will be there, and nothing is taken
   * @throws RangeError when it never holds so many; nothing is taken
   */
  take(amount: number, nowNs: number): number {
    if (amount > this.#burst) throw new RangeError('more than the bucket holds');
    const missingNs = this.#missingNs(nowNs);
    const overNs = missingNs - (this.#burst - amount) * this.#costNs;
    if (overNs > 0) return Math.ceil(overNs / 1e6);
    this.#fullAtNs = nowNs + missingNs + amount * this.#costNs;
    this.taken += amount;
    return 0;
  }

  /** Whether nothing is missing from it. */
  isFull(nowNs: number): boolean {
    return this.#missingNs(nowNs) === 0;
  }

  /** Holds another number from now on. What is missing stays missing, but never more than the whole. */
  become(perMinute: number, burst: number, nowNs: number): void {
    const missing = this.#missingNs(nowNs) / this.#costNs;
    this.#costNs = Math.round(MINUTE_NS / perMinute);
    this.#burst = burst;
    this.#fullAtNs = nowNs + Math.ceil(Math.min(missing, burst) * this.#costNs);
  }

  #missingNs(nowNs: number): number {
    const wholeNs = this.#burst * this.#costNs;
    return Math.min(Math.max(this.#fullAtNs - nowNs, 0), wholeNs);
  }
}
