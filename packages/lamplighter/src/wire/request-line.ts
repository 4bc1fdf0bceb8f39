import { LamplighterError } from '@lamplighter/core';
import { WaitingLine } from './waiting-line.js';

// Implementation constants.
/** What one turn of the event loop answers at least, because on a crowded machine the time may be gone before anything was done in it. */
const TURN_LEAST = 4;
/** A line is short that is shorter than this part of what may wait as long as it has to. */
const SHORT_OF_FULL = 0.5;
/** Those turned away come back spread over this, and not all at once. */
const RETRY_MS = { least: 1_000, most: 5_000 };

/** When requests are too many. */
export interface RequestLineLimits {
  /** What one turn of the event loop gives to answering; whatever else is due comes in between. */
  readonly answerBudgetMs: number;
  /** For which a request may wait for its turn, once others wait too. */
  readonly maxLagMs: number;
  /** Requests that may wait as long as they have to. */
  readonly maxQueued: number;
}

/** What is done with a request when its turn has come; neither may throw. */
export interface RequestTurn {
  answer(): void;
  refuse(error: LamplighterError): void;
}

/**
 * Answers requests at once while there is time, and else in a line in which everybody takes turns, so that one who asks a
 * thousand times does not stand in front of one who asks once.
 *
 * What waits here is not asked again, so a turn of the event loop stays short however many ask: Node accepts one connection a
 * turn, and beside clients that kept asking a new one had to wait for seconds. Who has waited for `maxLagMs` is turned away if
 * he has more requests in the line: a single one is everybody's.
 */
export class RequestLine {
  readonly #limits: RequestLineLimits;
  readonly #onRoom: () => boolean;
  readonly #line = new WaitingLine<Waiting>();
  /** Until when this turn of the loop may answer; undefined before it has answered any. */
  #turnEndsMs: number | undefined;

  /**
   * @param onRoom - called at the end of a turn that leaves the line short: whoever was sent away may come back. Returns whether
   *   there are more of them, and is then called after the next turn too
   */
  constructor(limits: RequestLineLimits, onRoom: () => boolean = () => false) {
    this.#limits = limits;
    this.#onRoom = onRoom;
  }

  /** Requests that wait for their turn. */
  get size(): number {
    return this.#line.size;
  }

  /**
   * Answers a request, now or when its turn comes, or refuses it with ERR_OVERLOADED and `retryAfterMs`.
   * @param who - in whose turn
   */
  take(who: string, turn: RequestTurn): void {
    const nowMs = performance.now();
    this.#turnEndsMs ??= this.#beginTurn(nowMs);
    if (this.#line.size === 0 && nowMs < this.#turnEndsMs) turn.answer();
    else this.#line.add({ group: who, turn, sinceMs: nowMs });
  }

  #beginTurn(nowMs: number): number {
    setImmediate(() => this.#endTurn());
    return nowMs + this.#limits.answerBudgetMs;
  }

  #endTurn(): void {
    this.#turnEndsMs = undefined;
    if (this.#line.size > 0) this.#drain();
    const isShort = this.#line.size <= SHORT_OF_FULL * this.#limits.maxQueued;
    if (isShort && this.#onRoom()) this.#turnEndsMs ??= this.#beginTurn(performance.now());
  }

  #drain(): void {
    let nowMs = performance.now();
    const endMs = (this.#turnEndsMs = this.#beginTurn(nowMs));
    for (let done = 0; done < TURN_LEAST || nowMs < endMs; done += 1) {
      const next = this.#line.take(() => true);
      if (next === undefined) return;
      if (this.#isTooMuch(next, nowMs)) next.turn.refuse(overloaded());
      else next.turn.answer();
      nowMs = performance.now();
    }
  }

  #isTooMuch({ group, sinceMs }: Waiting, nowMs: number): boolean {
    const { maxLagMs, maxQueued } = this.#limits;
    const hasMore = this.#line.sizeOf(group) > 0;
    return hasMore && nowMs - sinceMs > maxLagMs && this.#line.size >= maxQueued;
  }
}

/** One request in the line. */
interface Waiting {
  /** Whose turn it takes. */
  readonly group: string;
  readonly turn: RequestTurn;
  /** Monotonic milliseconds (performance.now). */
  readonly sinceMs: number;
}

function overloaded(): LamplighterError {
  const { least, most } = RETRY_MS;
  return new LamplighterError('ERR_OVERLOADED', 'there are more requests than can be answered', {
    retryAfterMs: least + Math.random() * (most - least),
  });
}
