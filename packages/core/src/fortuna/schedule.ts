import { assertSource } from './pool.js';

/**
 * Decides which pool takes an event, and when which pools are drained. It sees counts and a clock, never a byte.
 *
 * Source: DESIGN 6.3. The accumulator asks; its callers know nothing of schedules but a name, so another one (keyed
 * order, other bases, ticks) is another implementation of this and one more name.
 */
export interface Schedule {
  /** How many pools there are to choose from. Constant. */
  readonly poolCount: number;
  /** How many of them, from pool 0 on, take events now. */
  readonly activePools: number;
  /** Ticks so far; undefined where there are none. */
  readonly tick: number | undefined;
  /**
   * The pool for the next event of a source. Asked exactly once per event: it moves that source's position, and nobody
   * else's (with one position for all, whoever causes events steers every honest one into a pool of his choice).
   * @param source - 0..255
   * @returns pool index, 0..poolCount - 1
   * @throws RangeError if out of range; state unchanged
   */
  place(source: number): number;
  /**
   * The pools that are due now, to be drained into one reseed. The schedule counts that reseed as done, so the caller
   * must do it.
   * @param poolLengthBytes - length(P_i) of a pool
   * @returns pool indices, ascending, without repetition; empty if nothing is due, and then nothing was counted
   */
  takeDue(poolLengthBytes: (pool: number) => number): readonly number[];
  /** Told once, at first seeding, which drains all pools: what was due has been drained with them. */
  allDrained(): void;
  /** Whether {@link Schedule.rekey} is wanted after the drain that was just taken. */
  readonly rekeyDue: boolean;
  /**
   * Makes the secret key of the order, or renews it. A schedule without one asks for nothing and does nothing.
   * @param rootOutput - gives 32 fresh bytes of root output, which are wiped after use
   */
  rekey(rootOutput: () => Uint8Array): void;
  /** Wipes the key, if there is one. */
  wipe(): void;
}

/** The schedules there are, by the name configuration and status use. */
export type ScheduleName = 'classic' | 'improved';

// Specification constants: "Cryptography Engineering" (2010), ch. 9.5.

/** P_0 … P_31: with at most ten reseeds a second, P_32 would not be used within 13 years. */
const POOL_COUNT = 32;
/** MinPoolSize, in bytes: ch. 9.5.5. */
const MIN_POOL_BYTES = 64;
/** At most ten reseeds a second, so that an attacker cannot use up the pools by asking for output. */
const MIN_PERIOD_MS = 100;

/**
 * The book's schedule: pool i joins every 2^i-th reseed.
 *
 * Source: Ferguson, Schneier, Kohno, "Cryptography Engineering" (2010), ch. 9.5.5 (RandomData) and 9.5.6
 * (AddRandomEvent). Deviations: each source's walk through the pools is kept here and not left to the source; the first
 * reseed does not wait 100 ms.
 *
 * @param options - `monotonicMs`: milliseconds of a clock that is never set back (a wall clock set back once blocked
 *   pycrypto's reseeds). If it goes back all the same, as when a machine is restored, the 100 ms begin anew from the
 *   earlier reading: reseeds are late by at most that, never blocked.
 */
export function classicSchedule(options: { monotonicMs: () => number }): Schedule {
  const { monotonicMs } = options;
  /** Where each source puts its next event. */
  const positions = new Uint8Array(256);
  let reseedCount = 0;
  let lastReseedMs: number | undefined;

  return {
    poolCount: POOL_COUNT,
    activePools: POOL_COUNT,
    tick: undefined,

    place(source) {
      assertSource(source);
      const position = positions[source] ?? 0;
      positions[source] = (position + 1) % POOL_COUNT;
      return position;
    },

    takeDue(poolLengthBytes) {
      // if length(P_0) ≥ MinPoolSize ∧ last reseed > 100 ms ago then
      if (poolLengthBytes(0) < MIN_POOL_BYTES) return [];
      const nowMs = monotonicMs();
      if (!Number.isFinite(nowMs)) throw new RangeError('the monotonic clock gave no finite number');
      if (lastReseedMs !== undefined) {
        lastReseedMs = Math.min(lastReseedMs, nowMs);
        if (nowMs - lastReseedMs < MIN_PERIOD_MS) return [];
      }
      // ReseedCnt ← ReseedCnt + 1
      reseedCount += 1;
      lastReseedMs = nowMs;
      return classicDue(reseedCount);
    },

    // The first seeding is no reseed of RandomData, so ReseedCnt stays; and the book's order has no key.
    allDrained: () => undefined,
    rekeyDue: false,
    rekey: () => undefined,
    wipe: () => undefined,
  };
}

/**
 * The pools that take part in the reseed of this number.
 *
 * Source: ch. 9.5.5: pool i if 2^i divides the reseed count.
 * @param reseedCount - from 1 on; a whole number below 2^53
 * @returns pool indices, ascending
 */
export function classicDue(reseedCount: number): readonly number[] {
  const due: number[] = [];
  // for i ∈ 0, …, 31 do if 2^i | ReseedCnt then … (% and not &: the count may pass 2^31)
  for (let i = 0; i < POOL_COUNT && reseedCount % 2 ** i === 0; i++) due.push(i);
  return due;
}
