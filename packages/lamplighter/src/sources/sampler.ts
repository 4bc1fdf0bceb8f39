import { createHash } from 'node:crypto';

/**
 * What a source of many bytes answers when a round asks: SHA-512 over everything heard since the last answer, so that no byte is in two
 * answers and none is left out. The hash's inner state cannot be wiped from JavaScript; it is replaced at every answer.
 */
export class Sampler {
  #hash = createHash('sha512');
  #heard = false;
  #ended = false;
  #closed = false;
  #absent = false;
  readonly #waiting: (() => void)[] = [];

  /** Takes bytes of any length ≥ 1; the caller may wipe them at once. */
  hear(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#heard = true;
    this.#absent = false;
    // One answer for one hearing: whoever waits behind it waits for the next.
    this.#waiting.shift()?.();
  }

  /**
   * @param signal - ends the wait
   * @returns 64 bytes; or undefined when nothing was heard before the signal or the end, or when it is closed or absent
   */
  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    for (;;) {
      if (signal.aborted || this.#closed) return undefined;
      if (this.#heard) return this.#answer();
      if (this.#ended || this.#absent) return undefined;
      await this.#next(signal);
    }
  }

  /** Nothing more will be heard: nobody waits any longer, but what was heard can still be asked for. */
  end(): void {
    this.#ended = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** There is nobody to hear on this machine: a round does not wait for it, until something is heard after all. */
  absent(): void {
    this.#absent = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Lets everybody who waits go without an answer, and gives none after it. */
  close(): void {
    this.#closed = true;
    this.end();
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        resolve();
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(wake);
    });
  }

  #answer(): Uint8Array {
    const digest = this.#hash.digest();
    this.#hash = createHash('sha512');
    this.#heard = false;
    // digest() may hand out a slice of Node's shared pool; the caller shall own all of what it wipes.
    const answer = Uint8Array.from(digest);
    digest.fill(0);
    return answer;
  }
}
