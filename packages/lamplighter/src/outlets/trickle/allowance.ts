import type { Environment } from '../../local/environment.js';

/** Bursts that may follow each other at once, and how often one comes back. */
const BURSTS = 4;
const BURST_EVERY_MS = 60_000;

/**
 * What one guest may still have. It is the guest's and not its connection's: a guest that is rebooted needs its burst again,
 * and one that does nothing but reboot, or makes its line break, gets no more than so many.
 */
export class TrickleAllowance {
  /** When its next piece is due, monotonic. */
  nextPieceNs = 0n;
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  #bursts = BURSTS;
  #countedAtNs: bigint;

  constructor(environment: Pick<Environment, 'monotonicNs'>) {
    this.#environment = environment;
    this.#countedAtNs = environment.monotonicNs();
  }

  /** Spends one burst. @returns false when there is none */
  takeBurst(): boolean {
    const nowNs = this.#environment.monotonicNs();
    const grown = Number(nowNs - this.#countedAtNs) / 1e6 / BURST_EVERY_MS;
    this.#bursts = Math.min(BURSTS, this.#bursts + grown);
    this.#countedAtNs = nowNs;
    if (this.#bursts < 1) return false;
    this.#bursts -= 1;
    return true;
  }
}
