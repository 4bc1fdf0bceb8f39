import { type Environment, monotonicMs } from '../../local/environment.js';
import { networkOf } from '../../wire/network.js';

const MINUTE_MS = 60_000;

/**
 * How often each address may ask: so many times at once, and so many a minute.
 *
 * An IPv4 address has a budget of its own, an IPv6 /64 one together. The table is bounded: beyond, the address that has not been
 * heard of for longest is forgotten, and starts anew should it come back. Whoever can make us forget has more addresses than the
 * table has places, and so more budgets than it could ever hold him to.
 *
 * Source: the generic cell rate algorithm, ITU-T I.371: one moment an address, when all it was given would be earned again.
 */
export class AddressBudgets {
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #perMinute: number;
  readonly #maxAddresses: number;
  /** When what was taken is earned again, monotonic ms; the address not heard of for longest stands first. */
  readonly #earnedAtMs = new Map<string, number>();

  /** @param options - `perMinute`: ≥ 1; `maxAddresses`: ≥ 1, some 100 bytes each */
  constructor(
    options: { readonly perMinute: number; readonly maxAddresses: number },
    environment: Pick<Environment, 'monotonicNs'>,
  ) {
    this.#perMinute = options.perMinute;
    this.#maxAddresses = options.maxAddresses;
    this.#environment = environment;
  }

  /** Addresses and prefixes remembered now. */
  get size(): number {
    return this.#earnedAtMs.size;
  }

  /**
   * Takes one request from an address's budget.
   * @param address - as the socket gives it; undefined where there is none: all of those share one budget
   * @returns 0 when there was one; otherwise how many ms until there is, and nothing was taken
   */
  take(address: string | undefined): number {
    const key = networkOf(address);
    const nowMs = monotonicMs(this.#environment);
    const earnedAtMs = Math.max(nowMs, this.#earnedAtMs.get(key) ?? nowMs);
    const nextMs = earnedAtMs + MINUTE_MS / this.#perMinute;
    const waitMs = nextMs - nowMs - MINUTE_MS;
    const isRefused = waitMs > 0;
    this.#earnedAtMs.delete(key);
    this.#earnedAtMs.set(key, isRefused ? earnedAtMs : nextMs);
    if (this.#earnedAtMs.size > this.#maxAddresses) {
      const [oldest] = this.#earnedAtMs.keys();
      if (oldest !== undefined) this.#earnedAtMs.delete(oldest);
    }
    return isRefused ? waitMs : 0;
  }
}
