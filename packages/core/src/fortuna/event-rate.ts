// Specification constants: DESIGN 6.3.

/** A source advances the tick at most this often in any second. */
export const COUNTED_PER_SECOND = 100;
const SECOND_MS = 1000;

/**
 * Implementation constant: a source over its rate is asked for the time at its 1st, 2nd, 4th … 64th event in a row that
 * does not count, and at every 64th from there. A clock costs 40 to 100 ns, an event should cost 50. The price: after a
 * burst, up to 64 events of that source do not count although they might.
 */
const MAX_BETWEEN_LOOKS = 64;

/**
 * Says which events of each source count towards the tick: at most 100 in any second, source by source.
 *
 * Source: DESIGN 6.3. A sliding window, not one that starts anew every second: that would let 200 pass around its end.
 */
export class EventRate {
  readonly #monotonicMs: () => number;
  #lastMs: number | undefined;
  /** Time as the sum of the clock's steps forward: a clock set back loses the moment between two looks, and no more. */
  #elapsedMs = 0;
  /** When each source's last 100 counted events were, in a ring; made at its first event. 800 bytes a source. */
  readonly #rings: (Float64Array | undefined)[] = Array.from({ length: 256 }, () => undefined);
  /** Where in its ring the oldest is. */
  readonly #oldest = new Uint8Array(256);
  /** Events left that do not count and do not look at the clock. */
  readonly #unlooked = new Uint8Array(256);
  readonly #betweenLooks = new Uint8Array(256);

  /** @param monotonicMs - milliseconds of a clock that is never set back, arbitrary origin */
  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  /**
   * Whether the next event of a source counts. Asked exactly once per event.
   * @param source - 0..255, checked by the caller
   * @throws RangeError if the clock gives no finite number; state unchanged
   */
  counts(source: number): boolean {
    const unlooked = this.#unlooked[source] ?? 0;
    if (unlooked > 0) {
      this.#unlooked[source] = unlooked - 1;
      return false;
    }
    return this.#look(source);
  }

  #look(source: number): boolean {
    this.#readClock();
    const ring = (this.#rings[source] ??= new Float64Array(COUNTED_PER_SECOND).fill(
      Number.NEGATIVE_INFINITY,
    ));
    const oldest = this.#oldest[source] ?? 0;
    if (this.#elapsedMs - (ring[oldest] ?? 0) < SECOND_MS) {
      const between = Math.min(MAX_BETWEEN_LOOKS, Math.max(1, 2 * (this.#betweenLooks[source] ?? 0)));
      this.#betweenLooks[source] = between;
      this.#unlooked[source] = between - 1;
      return false;
    }
    ring[oldest] = this.#elapsedMs;
    this.#oldest[source] = (oldest + 1) % COUNTED_PER_SECOND;
    this.#betweenLooks[source] = 0;
    return true;
  }

  #readClock(): void {
    const nowMs = this.#monotonicMs();
    if (!Number.isFinite(nowMs)) throw new RangeError('the monotonic clock gave no finite number');
    if (this.#lastMs !== undefined && nowMs > this.#lastMs) this.#elapsedMs += nowMs - this.#lastMs;
    this.#lastMs = nowMs;
  }
}
