import { hash as digestOf } from 'node:crypto';
import { assertBytes, plainBytes, wipe } from './bytes.js';

/** The hashes used under HMAC, with their output length in bytes (HashLen in RFC 5869, outlen in SP 800-90A). */
export const HASH_LENGTH_BYTES = Object.freeze({ sha256: 32, sha512: 64 } as const);

/** A hash under HMAC. */
export type HashName = keyof typeof HASH_LENGTH_BYTES;

/** B, the length of a block of the hash in bytes. */
const BLOCK_LENGTH_BYTES = { sha256: 64, sha512: 128 } as const;
/** The bytes ipad and opad are made of. */
const IPAD = 0x36;
const OPAD = 0x5c;

/**
 * Messages up to this length are put together in memory laid out once: making an array of this size costs as much as
 * hashing it. It holds secrets only while {@link hmacOf} runs.
 */
const WORKSPACE = new Uint8Array(2_048);

/**
 * HMAC over the concatenation of `chunks`. Source: RFC 2104, FIPS 198-1.
 *
 * Concatenation is not injective: callers pass either one encoding (see {@link encode}) or fields of fixed length.
 * @param key - any length; longer than the hash's block is hashed first, shorter is padded with zeros
 * @returns a new array of {@link HASH_LENGTH_BYTES} bytes
 * @throws TypeError if the key or a chunk is no Uint8Array
 */
export function hmac(hash: HashName, key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array {
  let lengthBytes = 0;
  for (const chunk of chunks) {
    assertBytes('an HMAC message', chunk);
    lengthBytes += chunk.length;
  }
  return hmacOf(hash, key, lengthBytes, (text) => {
    let offset = 0;
    for (const chunk of chunks) {
      text.set(chunk, offset);
      offset += chunk.length;
    }
  });
}

/**
 * HMAC over a text that is written where it is hashed, so that no other copy of its secrets is made.
 *
 * Source: RFC 2104; its formula stands above each line. Written out over the one-shot hash because `createHmac` takes 10
 * to 18 µs on Node 24, which finds out that a raw key is no KeyObject by throwing and catching two errors; this takes 2.7
 * µs there and on Node 20, as `createHmac` does on Node 20. A KeyObject would be as quick, but cannot be wiped.
 *
 * @param key - as {@link hmac}
 * @param lengthBytes - of the text
 * @param write - writes all of the text; what it is given is wiped as soon as it is hashed
 * @returns a new array of {@link HASH_LENGTH_BYTES} bytes
 * @throws TypeError if the key is no Uint8Array; whatever `write` throws
 */
export function hmacOf(
  hash: HashName,
  key: Uint8Array,
  lengthBytes: number,
  write: (text: Uint8Array) => void,
): Uint8Array {
  assertBytes('an HMAC key', key);
  const K = key.length > BLOCK_LENGTH_BYTES[hash] ? digestOf(hash, key, 'buffer') : key;
  // H((K ⊕ ipad) ‖ text)
  const inner = keyedHash(hash, K, IPAD, lengthBytes, write);
  // H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text))
  const outer = keyedHash(hash, K, OPAD, inner.length, (text) => text.set(inner));
  wipe(inner);
  if (K !== key) wipe(K);
  return plainBytes(outer);
}

/** H((K ⊕ pad) ‖ text), where K has at most B bytes, and zeros behind them. */
function keyedHash(
  hash: HashName,
  K: Uint8Array,
  pad: number,
  lengthBytes: number,
  write: (text: Uint8Array) => void,
): Buffer {
  const B = BLOCK_LENGTH_BYTES[hash];
  const message =
    B + lengthBytes <= WORKSPACE.length
      ? WORKSPACE.subarray(0, B + lengthBytes)
      : new Uint8Array(B + lengthBytes);
  try {
    message.fill(pad, 0, B);
    for (let index = 0; index < K.length; index++) message[index] = (K[index] ?? 0) ^ pad;
    write(message.subarray(B));
    return digestOf(hash, message, 'buffer');
  } finally {
    wipe(message);
  }
}
