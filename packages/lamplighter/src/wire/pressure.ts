import { LamplighterError } from '@lamplighter/core';

// Implementation constants.
const WINDOW_MS = 1_000;
/** Those turned away come back spread over this, and not all at once. */
const RETRY_MS = { least: 1_000, most: 5_000 };

/** When requests are too many. */
export interface PressureLimits {
  /** How far behind the event loop may be with its requests before some are turned away. */
  readonly maxLagMs: number;
  /** Requests that may wait for one turn of the loop. Fewer are no overload, whatever has kept the loop. */
  readonly maxQueued: number;
}

/**
 * Turns requests away when they come faster than they are answered: those who took the most in the last second first, so that
 * a quiet machine is still served.
 *
 * How far behind we are is how long this turn of the event loop and the one before have been at their requests: what is
 * answered now has waited for about that. At `maxLagMs` nobody gets more than an equal share of the second's requests; at
 * twice that, than half of it; one request a second is everybody's.
 */
export class Pressure {
  readonly #limits: PressureLimits;
  #windowBeganMs = -Infinity;
  /** Requests of each in this second. */
  #counts = new Map<string, number>();
  #total = 0;
  /** The same of the second before. */
  #countsBefore: ReadonlyMap<string, number> = this.#counts;
  #totalBefore = 0;
  #turn: Turn | undefined;
  #turnBefore: Turn = { beganMs: 0, endedMs: -Infinity, requests: 0 };

  constructor(limits: PressureLimits) {
    this.#limits = limits;
  }

  /**
   * Counts a request, before anything is done for it.
   * @param who - whose share it is of
   * @throws LamplighterError ERR_OVERLOADED with `retryAfterMs`, when we are behind and this one took more than his share
   */
  admit(who: string): void {
    const nowMs = performance.now();
    this.#moveWindow(nowMs);
    const count = (this.#counts.get(who) ?? 0) + 1;
    this.#counts.set(who, count);
    this.#total += 1;
    const lagMs = this.#noteTurn(nowMs);
    if (lagMs <= this.#limits.maxLagMs) return;
    const known = Math.max(this.#counts.size, this.#countsBefore.size);
    const share = ((this.#total + this.#totalBefore) / known) * (this.#limits.maxLagMs / lagMs);
    const takenBefore = count - 1 + (this.#countsBefore.get(who) ?? 0);
    if (takenBefore <= Math.max(1, share)) return;
    const { least, most } = RETRY_MS;
    throw new LamplighterError('ERR_OVERLOADED', 'there are more requests than can be answered', {
      retryAfterMs: least + Math.random() * (most - least),
    });
  }

  /** @returns for how long requests have been answered without a pause; 0 when they are few */
  #noteTurn(nowMs: number): number {
    const turn = (this.#turn ??= this.#beginTurn(nowMs));
    turn.requests += 1;
    const before = this.#turnBefore;
    if (turn.requests + before.requests <= this.#limits.maxQueued) return 0;
    return nowMs - turn.beganMs + (before.endedMs - before.beganMs);
  }

  #beginTurn(nowMs: number): Turn {
    const { beganMs, endedMs } = this.#turnBefore;
    // A loop that has since rested for as long as it worked had nothing waiting.
    if (nowMs - endedMs > endedMs - beganMs) this.#turnBefore = { beganMs: 0, endedMs: 0, requests: 0 };
    const turn: Turn = { beganMs: nowMs, endedMs: nowMs, requests: 0 };
    setImmediate(() => {
      turn.endedMs = performance.now();
      this.#turnBefore = turn;
      this.#turn = undefined;
    });
    return turn;
  }

  #moveWindow(nowMs: number): void {
    const passedMs = nowMs - this.#windowBeganMs;
    if (passedMs < WINDOW_MS) return;
    const isNext = passedMs < 2 * WINDOW_MS;
    this.#countsBefore = isNext ? this.#counts : new Map<string, number>();
    this.#totalBefore = isNext ? this.#total : 0;
    this.#counts = new Map<string, number>();
    this.#total = 0;
    this.#windowBeganMs = nowMs;
  }
}

/** One turn of the event loop that brought requests; monotonic milliseconds. */
interface Turn {
  /** When the first of them was seen. */
  readonly beganMs: number;
  endedMs: number;
  requests: number;
}
