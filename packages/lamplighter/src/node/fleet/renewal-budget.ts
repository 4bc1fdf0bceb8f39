import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../../identity/roles.js';
import { type Environment, monotonicMs } from '../../local/environment.js';

// Implementation constants.
/** At once, by who has not renewed for long: attempts whose answers were lost, and a certificate that several machines share. */
const BURST = 6;
const LONGEST_REFILL_MS = 600_000;
const MAX_IDENTITIES = 10_000;

/**
 * How often one identity may renew: six times at once, then six times an hour, or six times in the life of a certificate where
 * that is shorter. An honest one renews once.
 */
export class RenewalBudget {
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #refillMs: number;
  /** When each bucket is full again, monotonic ms; whoever has not renewed for longest stands first. */
  readonly #fullAtMs = new Map<string, number>();

  /** @param lifeMs - of the certificates that are issued */
  constructor(environment: Pick<Environment, 'monotonicNs'>, lifeMs: number) {
    this.#environment = environment;
    this.#refillMs = Math.min(LONGEST_REFILL_MS, lifeMs / BURST);
  }

  /** Identities that are counted. */
  get size(): number {
    return this.#fullAtMs.size;
  }

  /** @throws LamplighterError ERR_QUOTA with `retryAfterMs`; nothing is taken then */
  spend({ role, name }: PeerIdentity): void {
    const key = `${role}/${name}`;
    const nowMs = monotonicMs(this.#environment);
    const fullAtMs = Math.max(this.#fullAtMs.get(key) ?? 0, nowMs) + this.#refillMs;
    const waitMs = fullAtMs - nowMs - BURST * this.#refillMs;
    if (waitMs > 0) {
      throw new LamplighterError('ERR_QUOTA', 'this certificate was renewed too often', {
        retryAfterMs: waitMs,
      });
    }
    this.#fullAtMs.delete(key);
    this.#fullAtMs.set(key, fullAtMs);
    this.#drop(nowMs);
  }

  /** Full buckets need not be remembered; beyond the bound the oldest goes: it takes as many identities to gain by that. */
  #drop(nowMs: number): void {
    for (const [key, fullAtMs] of this.#fullAtMs) {
      if (fullAtMs > nowMs && this.#fullAtMs.size <= MAX_IDENTITIES) return;
      this.#fullAtMs.delete(key);
    }
  }
}
