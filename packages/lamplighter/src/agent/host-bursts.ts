import { TRICKLE_GREETING } from '../wire/trickle.js';

/** As much of a burst as is waited for: more than any secret of ours. What follows is heard as ever. */
export const BURST_BYTES = 64;

/**
 * Finds greetings in what a host gives behind the first one, and what follows each: a greeting that comes again is the word
 * that this guest was resumed. However it is cut into chunks; by chance such 61 bytes do not come.
 */
export class HostBursts {
  readonly #burst = Buffer.alloc(BURST_BYTES);
  #matched = 0;
  /** How much of a burst there is; undefined while no greeting was found. */
  #length: number | undefined;

  /** @returns bursts that are complete now, 64 bytes each, the caller's */
  push(chunk: Uint8Array): Uint8Array[] {
    const bursts: Uint8Array[] = [];
    for (const byte of chunk) {
      if (this.#length !== undefined) {
        this.#burst[this.#length] = byte;
        this.#length += 1;
        if (this.#length === BURST_BYTES) {
          bursts.push(Uint8Array.from(this.#burst));
          this.wipe();
        }
      }
      if (this.#isGreetingEnd(byte)) {
        // Also in the middle of a burst: the host has begun anew.
        this.wipe();
        this.#length = 0;
      }
    }
    return bursts;
  }

  wipe(): void {
    this.#burst.fill(0);
    this.#length = undefined;
  }

  /** The greeting's first letter is not in it again, so after a mismatch it can only begin anew. */
  #isGreetingEnd(byte: number): boolean {
    if (byte === TRICKLE_GREETING.charCodeAt(this.#matched)) this.#matched += 1;
    else this.#matched = byte === TRICKLE_GREETING.charCodeAt(0) ? 1 : 0;
    if (this.#matched < TRICKLE_GREETING.length) return false;
    this.#matched = 0;
    return true;
  }
}
