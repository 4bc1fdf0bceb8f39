import type { Environment } from '../../local/environment.js';

/**
 * How fast a source may be heard: after so many bytes, so long a pause. Memory: one number. It never owes more than one
 * chunk's worth of time, and time in which nothing came is not saved up.
 */
export class Pace {
  readonly #bytesPerSecond: number;
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  #nextNs = 0n;

  /** @param bytesPerSecond - > 0 */
  constructor(bytesPerSecond: number, environment: Pick<Environment, 'monotonicNs'>) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#environment = environment;
  }

  /** @returns how long to read nothing after these bytes, ms; 0 when the pace is kept already */
  pauseMs(lengthBytes: number): number {
    const nowNs = this.#environment.monotonicNs();
    const fromNs = this.#nextNs > nowNs ? this.#nextNs : nowNs;
    this.#nextNs = fromNs + BigInt(Math.ceil((lengthBytes * 1e9) / this.#bytesPerSecond));
    const pauseMs = Number(this.#nextNs - nowNs) / 1e6;
    // Timers have milliseconds; what is less is carried over instead of being rounded up at every byte.
    return pauseMs < 1 ? 0 : pauseMs;
  }
}
