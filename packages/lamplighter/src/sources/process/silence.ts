import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { type LinkedAbort, linkedAbort } from '../../local/linked-abort.js';

/** Ends an attempt in which nothing was heard for too long, by the monotonic clock. Closed by whoever made it. */
export class Silence {
  readonly #ending: LinkedAbort;
  readonly #environment: Pick<Environment, 'monotonicNs' | 'timers'>;
  readonly #limitMs: number;
  readonly #shown: string;
  #endsAtNs: bigint;
  #timer: { cancel(): void };

  /**
   * @param limitMs - how long it may be silent
   * @param signal - ends the attempt too; the reason is handed on
   */
  constructor(
    options: { readonly limitMs: number; readonly shown: string; readonly signal: AbortSignal },
    environment: Pick<Environment, 'monotonicNs' | 'timers'>,
  ) {
    this.#limitMs = options.limitMs;
    this.#shown = options.shown;
    this.#environment = environment;
    this.#endsAtNs = this.#later(this.#limitMs);
    this.#timer = environment.timers.after(this.#limitMs, () => this.#look());
    this.#ending = linkedAbort(options.signal);
  }

  /** Fires when the attempt shall end, with the reason. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** @param pauseMs - how long nothing will be read now, which is our doing and no silence */
  heard(pauseMs: number): void {
    this.#endsAtNs = this.#later(this.#limitMs + pauseMs);
  }

  close(): void {
    this.#timer.cancel();
    this.#ending.release();
  }

  /** One timer, set again when it is due, and not at every chunk. */
  #look(): void {
    const leftMs = Number(this.#endsAtNs - this.#environment.monotonicNs()) / 1e6;
    if (leftMs > 0) {
      this.#timer = this.#environment.timers.after(Math.ceil(leftMs), () => this.#look());
      return;
    }
    const message = `nothing was heard from ${this.#shown} for ${this.#limitMs} ms`;
    this.#ending.abort(new LamplighterError('ERR_PROCESS_SILENT', message));
  }

  #later(ms: number): bigint {
    return this.#environment.monotonicNs() + BigInt(Math.ceil(ms * 1e6));
  }
}
