import { LamplighterError } from '@lamplighter/core';

/**
 * The trickle: entropy for a guest over a line of its own, in the manner of MirageOS’s xentropyd.
 * Source: the two sentences are xentropyd’s, to the byte.
 *
 * The guest says {@link TRICKLE_HELLO}; the host answers {@link TRICKLE_GREETING}, and every byte behind it is entropy. There
 * is no other message and no end: a guest that was rebooted says hello again on the same line.
 */

/** The name of the virtio-serial port, as xentropyd's guests look for it. */
export const TRICKLE_PORT = 'org.openmirage.entropy.1';
export const TRICKLE_HELLO = 'Hello, may I have some entropy?\r\n';
export const TRICKLE_GREETING = 'You may treat everything following this message as entropy.\r\n';

/** How much of hellos that were begun and not finished is borne: some thirty guests that crashed while saying it. */
const MAX_UNFINISHED_BYTES = 1024;
/** How much a guest skips in front of the greeting: what an earlier boot did not read waits in buffers of the host. */
const MAX_SKIPPED_BYTES = 256 * 1024;

/**
 * The host's side: finds hellos in what a guest says, however they are cut. Holds two numbers, no bytes.
 *
 * A guest may be switched off in the middle of a hello and begin again; anything else than a hello, or its beginning with
 * another behind it, is a fault, and nothing that follows is looked at.
 */
export class TrickleHellos {
  #matched = 0;
  #unfinishedBytes = 0;

  /**
   * @returns how many hellos were finished in this chunk
   * @throws LamplighterError ERR_TRICKLE_PROTOCOL; the connection ends
   */
  push(chunk: Uint8Array): number {
    let hellos = 0;
    for (const byte of chunk) {
      this.#unfinishedBytes += 1;
      const matched = advanced(TRICKLE_HELLO, this.#matched, byte);
      if (matched === 0) throw broken('the guest says something that is no hello');
      if (this.#unfinishedBytes > MAX_UNFINISHED_BYTES) throw broken('the guest never finishes its hello');
      this.#matched = matched;
      if (matched < TRICKLE_HELLO.length) continue;
      hellos += 1;
      this.#matched = 0;
      this.#unfinishedBytes = 0;
    }
    return hellos;
  }
}

/**
 * The guest's side: finds the greeting, and gives what follows it. Holds two numbers, no bytes.
 *
 * What comes in front of it is skipped: the line may still hold what an earlier boot of this guest did not read.
 */
export class TrickleGreeting {
  #matched = 0;
  #skippedBytes = 0;

  /** Whether it has been heard. */
  get heard(): boolean {
    return this.#matched === TRICKLE_GREETING.length;
  }

  /**
   * @returns the entropy in this chunk, a view of it, often all of it or nothing; behind the greeting nothing is looked for
   * @throws LamplighterError ERR_TRICKLE_PROTOCOL when 256 KiB have come and no greeting
   */
  push(chunk: Uint8Array): Uint8Array {
    let at = 0;
    for (; !this.heard && at < chunk.length; at += 1) {
      this.#matched = advanced(TRICKLE_GREETING, this.#matched, chunk[at] ?? 0);
      this.#skippedBytes += 1;
    }
    if (!this.heard && this.#skippedBytes > MAX_SKIPPED_BYTES) throw broken('the host never greets');
    return chunk.subarray(at);
  }
}

/**
 * One step of a search: how many bytes of the message have come in a row. The first letter of either message is not in it
 * again, so after a mismatch it can only begin anew.
 */
function advanced(message: string, matched: number, byte: number): number {
  if (byte === message.charCodeAt(matched)) return matched + 1;
  return byte === message.charCodeAt(0) ? 1 : 0;
}

function broken(message: string): LamplighterError {
  return new LamplighterError('ERR_TRICKLE_PROTOCOL', message);
}
