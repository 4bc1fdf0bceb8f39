import { LamplighterError } from '@lamplighter/core';
import { type ENDED, keepTrying, type RetryOptions } from '../local/retry.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason, SourceState } from '../wire/status.js';

/** How a life's runs follow each other; `onFault` notes the fault unless told. */
export type LifeOptions = Omit<RetryOptions, 'signal' | 'onFault'> & Partial<Pick<RetryOptions, 'onFault'>>;

/**
 * The life of a source that listens: begun once, run again after every fault, let go once; and how it is meanwhile.
 *
 * What is noted after its end is no news: whatever the last run comes to, a source that was stopped says so.
 */
export class SourceLife {
  readonly #stopping = new AbortController();
  readonly #letGo: () => void;
  #running: Promise<void> | undefined;
  #state: SourceState = 'starting';
  #reason: Reason | undefined;

  /** @param letGo - called at the end, maybe more than once: whoever waits for an answer goes without one */
  constructor(letGo: () => void = () => undefined) {
    this.#letGo = letGo;
  }

  /** Fires at the end. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  get isOver(): boolean {
    return this.#stopping.signal.aborted;
  }

  get state(): SourceState {
    return this.#state;
  }

  /** As a status has it. */
  get condition(): { readonly state: SourceState; readonly reason?: Reason } {
    return { state: this.#state, ...(this.#reason && { reason: this.#reason }) };
  }

  /**
   * Begins to run.
   * @param run - see {@link keepTrying}
   * @param signal - the node's: its end is the life's
   * @throws TypeError when it was begun before
   */
  begin(
    run: (signal: AbortSignal) => Promise<void | typeof ENDED>,
    signal: AbortSignal,
    options: LifeOptions,
  ): Promise<void> {
    if (this.#running !== undefined) throw new TypeError('a source is started once');
    signal.addEventListener('abort', () => void this.end(), { once: true, signal: this.signal });
    if (signal.aborted) void this.end();
    const onFault = (error: unknown): void => void this.fail(error);
    this.#running = keepTrying(run, { onFault, ...options, signal: this.signal });
    return Promise.resolve();
  }

  /** Says how it is. */
  note(state: SourceState, reason?: Reason): void {
    if (this.isOver) return;
    this.#state = state;
    this.#reason = reason;
  }

  /** Notes a fault. What this machine does not have is `absent`: no fault, and looked for again. */
  fail(error: unknown): 'absent' | 'failed' {
    const isAbsent = error instanceof LamplighterError && error.code === 'ERR_SOURCE_ABSENT';
    const state = isAbsent ? 'absent' : 'failed';
    this.note(state, reasonOf(error));
    return state;
  }

  /** Ends it; resolves when no run is under way. Idempotent. */
  async end(): Promise<void> {
    this.note('stopped');
    this.#stopping.abort();
    this.#letGo();
    await this.#running;
  }
}
