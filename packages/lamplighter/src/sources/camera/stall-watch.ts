import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';

const WATCH_PERIOD_MS = 250;

/** Ends an attempt that has heard nothing for too long, by the monotonic clock. Closed by whoever made it. */
export class StallWatch {
  readonly #ending = new AbortController();
  readonly #environment: Environment;
  readonly #timer: { cancel(): void };
  readonly #stallMs: number;
  #silentAtNs: bigint;

  /** @param limits - `startMs`: how long the first byte may take; `stallMs`: each one after it */
  constructor(limits: { stallMs: number; startMs: number }, environment: Environment) {
    this.#environment = environment;
    this.#stallMs = limits.stallMs;
    this.#silentAtNs = environment.monotonicNs() + nanoseconds(limits.startMs);
    this.#timer = environment.timers.every(WATCH_PERIOD_MS, () => {
      if (environment.monotonicNs() < this.#silentAtNs) return;
      this.abort(new LamplighterError('ERR_CAMERA_STALLED', 'no video comes in'));
    });
  }

  /** Fires when the attempt shall end, with the reason. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  heard(): void {
    this.#silentAtNs = this.#environment.monotonicNs() + nanoseconds(this.#stallMs);
  }

  abort(reason: unknown): void {
    this.#ending.abort(reason);
  }

  close(): void {
    this.#timer.cancel();
  }
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}
