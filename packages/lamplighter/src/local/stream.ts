import { MAX_OUTPUT_BYTES } from './key-stream.js';
import { Refill, type RefillEnvironment, type Root } from './refill.js';

/** A private supply of output: what every consumer reads instead of the root. */
export interface Stream {
  /** The root's reseed count this stream has followed to. Changes only inside `read`. */
  readonly generation: number;
  /**
   * Fresh bytes, made now, never ahead, never given twice.
   * @param lengthBytes - 1..65,536
   * @throws LamplighterError ERR_NOT_SEEDED before the first direct reseed; state unchanged
   * @throws RangeError on another length; state unchanged
   */
  read(lengthBytes: number): Uint8Array;
  /**
   * As {@link Stream.read}, into memory of the caller's.
   * @param target - overwritten, 1..65,536 bytes
   */
  readInto(target: Uint8Array): void;
  /** Wipes the key; later reads throw. Idempotent. */
  close(): void;
}

/**
 * Opens a stream keyed from the root: what outlets, seeds and keys draw from.
 *
 * Source: DESIGN 6.4; {@link Refill} is the construction. Every read is one refill and nothing is made ahead: a stream
 * holds a key and a count, no output.
 *
 * @param root - an accumulator, or a root around one
 * @param environment - where the separators come from
 * @param label - names the use; two streams with the same label still differ, each takes its own root bytes
 */
export function openStream(root: Root, environment: RefillEnvironment, label: string): Stream {
  const refill = new Refill(root, environment, label);
  return {
    get generation() {
      return refill.generation;
    },
    read(lengthBytes) {
      checkLength(lengthBytes);
      const output = new Uint8Array(lengthBytes);
      refill.into(output);
      return output;
    },
    readInto(target) {
      checkLength(target.length);
      refill.into(target);
    },
    close: () => refill.close(),
  };
}

function checkLength(lengthBytes: number): void {
  if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_OUTPUT_BYTES) {
    throw new RangeError(`a stream reads 1 to ${MAX_OUTPUT_BYTES} bytes at a time`);
  }
}
