import { assertBytes, wipe } from '../bytes.js';
import type { Shad256Variant } from '../shad256.js';
import {
  type GeneratorState,
  initializeGenerator,
  isSeeded,
  pseudoRandomData,
  reseed,
} from './generator-steps.js';

/**
 * Fortuna's generator: secret state, and the steps of generator-steps.ts on it.
 *
 * Source: Ferguson, Schneier, Kohno, "Cryptography Engineering" (2010), ch. 9.4; DESIGN 6.1. AES-256 over a 16-byte
 * little-endian counter. The key is replaced after every request, so a captured state tells nothing of earlier output;
 * the counter is never reset, so no block is encrypted twice even if a key came back.
 * Deviation: none. The variant of SHAd-256 is a parameter, see {@link Shad256Variant}.
 */
export class FortunaGenerator {
  readonly #shad256: Shad256Variant;
  #state: GeneratorState | undefined = initializeGenerator();

  /** @param options - `shad256`: `book` unless known answers of another implementation are checked */
  constructor(options: { shad256: Shad256Variant }) {
    this.#shad256 = options.shad256;
  }

  /** Whether there was a reseed. False again once destroyed. */
  get seeded(): boolean {
    return this.#state !== undefined && isSeeded(this.#state);
  }

  /**
   * Mixes new bytes into the key: K ← SHAd-256(K ‖ s).
   * @param s - any length, 0 included; the caller keeps it and may wipe it
   * @throws TypeError if destroyed or not given bytes; state unchanged
   */
  reseed(s: Uint8Array): void {
    const state = this.#alive();
    assertBytes('a seed', s);
    reseed(state, s, this.#shad256);
  }

  /**
   * Pseudo-random bytes; the key is another one afterwards.
   * @param lengthBytes - 0..2^20; 0 gives no bytes and still replaces the key
   * @returns a new array, not kept here
   * @throws RangeError on another length; LamplighterError ERR_NOT_SEEDED; TypeError if destroyed; state unchanged
   */
  generate(lengthBytes: number): Uint8Array {
    return pseudoRandomData(this.#alive(), lengthBytes);
  }

  /** Wipes the key; every later call throws. Idempotent. */
  destroy(): void {
    wipe(this.#state?.key, this.#state?.counter);
    this.#state = undefined;
  }

  #alive(): GeneratorState {
    // Fail closed: a zero key would go on giving bytes that look random.
    if (this.#state === undefined) throw new TypeError('the generator was destroyed');
    return this.#state;
  }
}
