import { createHash } from 'node:crypto';

const BLOCK_LENGTH_BYTES = 16;

/**
 * Looks at whole answers of a generator that should never repeat itself, and knows one that is stuck: all its bytes are equal, two
 * of its blocks of 16 bytes are, or it is the answer that came before.
 *
 * Source: the continuous test of FIPS 140-2, section 4.9.2, over 16 bytes. False alarms: below 2^-120 an answer of 64 bytes.
 * Of the answer before only a SHA-256 is kept.
 */
export class StuckBytes {
  #before: Buffer | undefined;

  /**
   * @param answer - 1 byte or more; not kept
   * @returns what is wrong, for a person; undefined when nothing is
   */
  fault(answer: Uint8Array): string | undefined {
    const before = this.#before;
    this.#before = createHash('sha256').update(answer).digest();
    // Short answers are equal by chance.
    if (answer.length < BLOCK_LENGTH_BYTES) return undefined;
    if (answer.every((byte) => byte === answer[0])) return 'is stuck: all its bytes are equal';
    if (hasEqualBlocks(answer)) return 'is stuck: it repeats within one answer';
    return before?.equals(this.#before) === true
      ? 'is stuck: it gives one answer again and again'
      : undefined;
  }
}

function hasEqualBlocks(answer: Uint8Array): boolean {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  for (let end = BLOCK_LENGTH_BYTES; end <= bytes.length; end += BLOCK_LENGTH_BYTES) {
    const block = bytes.subarray(end - BLOCK_LENGTH_BYTES, end);
    for (let next = end; next + BLOCK_LENGTH_BYTES <= bytes.length; next += BLOCK_LENGTH_BYTES) {
      if (block.equals(bytes.subarray(next, next + BLOCK_LENGTH_BYTES))) return true;
    }
  }
  return false;
}
