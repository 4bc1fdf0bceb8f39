import { isIPv6 } from 'node:net';
import { type Environment, monotonicMs } from '../../local/environment.js';

const MINUTE_MS = 60_000;
/** Bits of an IPv6 address that tell one customer from another (RFC 6177); who has one /64 has all its addresses. */
const PREFIX_GROUPS = 4;

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
    const key = budgetKey(address);
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

/** Whose budget an address is of: an IPv4 address, also one mapped into IPv6, or the /64 of an IPv6 address. */
export function budgetKey(address: string | undefined): string {
  if (address === undefined) return '';
  if (!isIPv6(address)) return address;
  const [digits = ''] = address.toLowerCase().split('%');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(digits)?.[1];
  return mapped ?? prefixOf(digits);
}

function prefixOf(digits: string): string {
  const [head = '', tail] = digits.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  // An IPv4 address at the end stands for two groups.
  const length = right.length + (digits.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - left.length - length;
  const groups = [...left, ...Array.from({ length: zeros }, () => '0'), ...right];
  const prefix = groups.slice(0, PREFIX_GROUPS).map((group) => Number.parseInt(group, 16).toString(16));
  return `${prefix.join(':')}::/64`;
}
