import { type Environment, monotonicMs } from '../../local/environment.js';
import { networkOf } from '../../wire/network.js';

// Implementation constants.
const WINDOW_MS = 60_000;
/** Failures a minute of one IPv4 address or IPv6 /64. */
const MAX_PER_ADDRESS = 30;
/** Failures a minute of all; beyond, who has failed once waits, and everybody else is still served. */
const MAX_IN_ALL = 600;
const MAX_ADDRESSES = 10_000;

/**
 * How often whom has failed in the last minute. Only failures count: a thousand machines behind one address enrol at once.
 *
 * A token is never put out of use by failures: its id is no secret, and who knows it could then spoil it.
 */
export class FailedAttempts {
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #counts = new Map<string, number>();
  #inAll = 0;
  #sinceMs = -Infinity;

  constructor(environment: Pick<Environment, 'monotonicNs'>) {
    this.#environment = environment;
  }

  /**
   * Whether an address may try.
   * @param address - as the socket gives it; those without one are counted together
   * @returns 0 when it may; otherwise ms until it may again
   */
  waitMs(address: string | undefined): number {
    const leftMs = this.#turn();
    const failed = this.#counts.get(networkOf(address)) ?? 0;
    const isRefused = failed >= MAX_PER_ADDRESS || (failed > 0 && this.#inAll >= MAX_IN_ALL);
    return isRefused ? leftMs : 0;
  }

  /** An address has failed. */
  note(address: string | undefined): void {
    this.#turn();
    const key = networkOf(address);
    const before = this.#counts.get(key);
    this.#inAll += 1;
    // Who comes when the table is full is let through once more: he has as many addresses as the table places.
    if (before === undefined && this.#counts.size >= MAX_ADDRESSES) return;
    this.#counts.set(key, (before ?? 0) + 1);
  }

  /** Begins a new minute when the last is over. @returns ms until the next one begins */
  #turn(): number {
    const nowMs = monotonicMs(this.#environment);
    if (nowMs - this.#sinceMs >= WINDOW_MS) {
      this.#sinceMs = nowMs;
      this.#inAll = 0;
      this.#counts.clear();
    }
    return this.#sinceMs + WINDOW_MS - nowMs;
  }
}
