/**
 * So many equal bytes in a row are no noise: a source with only one bit of min-entropy a byte would show that once in
 * 2^63 bytes (SP 800-90B 4.4.1: α = 2^(-H (C - 1))).
 */
const STUCK_BYTES = 64;
/** So many bytes without such a run, and it speaks again: between two stuck stretches the state does not flicker. */
const RECOVERED_BYTES = 1024;

/** Notices a source that says one byte over and over: a pulled cable, a dead chip, /dev/zero. It informs, it never holds bytes back. */
export class Sameness {
  #last = -1;
  #run = 0;
  /** Bytes still to come before it counts as recovered; 0 when nothing is wrong. */
  #suspect = 0;

  /** @param bytes - in the order heard, however they are cut */
  see(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#run = byte === this.#last ? this.#run + 1 : 1;
      this.#last = byte;
      if (this.#run >= STUCK_BYTES) this.#suspect = RECOVERED_BYTES;
      else if (this.#suspect > 0) this.#suspect -= 1;
    }
  }

  get stuck(): boolean {
    return this.#suspect > 0;
  }
}
