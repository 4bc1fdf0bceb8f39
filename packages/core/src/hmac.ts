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
 * hashing it. It holds secrets only while {@link hmac} runs.
 */
const WORKSPACE = new Uint8Array(2_048);

/**
 * HMAC over the concatenation of `chunks`. Source: RFC 2104, FIPS 198-1; the RFC's formula stands above each line.
 *
 * Concatenation is not injective: callers pass either one encoding (see {@link encode}) or fields of fixed length.
 * Written out over the one-shot hash because `createHmac` takes 10 to 18 µs on Node 24, which finds out that a raw key is
 * no KeyObject by throwing and catching two errors; this takes 2.7 µs there and on Node 20, as `createHmac` does on
 * Node 20. A KeyObject would be as quick, but cannot be wiped; what holds the key here is.
 *
 * @param key - any length; longer than the hash's block is hashed first, shorter is padded with zeros
 * @returns a new array of {@link HASH_LENGTH_BYTES} bytes
 * @throws TypeError if the key or a chunk is no Uint8Array
 */
export function hmac(hash: HashName, key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array {
  assertBytes('an HMAC key', key);
  for (const chunk of chunks) assertBytes('an HMAC message', chunk);
  const B = BLOCK_LENGTH_BYTES[hash];
  const K = key.length > B ? plainBytes(digestOf(hash, key, 'buffer')) : key;
  // H((K ⊕ ipad) ‖ text)
  const inner = keyedHash(hash, K, IPAD, chunks);
  // H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text))
  const outer = keyedHash(hash, K, OPAD, [inner]);
  wipe(inner);
  if (K !== key) wipe(K);
  return outer;
}

/** H((K ⊕ pad) ‖ text). */
function keyedHash(hash: HashName, K: Uint8Array, pad: number, text: readonly Uint8Array[]): Uint8Array {
  const B = BLOCK_LENGTH_BYTES[hash];
  const lengthBytes = text.reduce<number>((sum, chunk) => sum + chunk.length, B);
  const message =
    lengthBytes <= WORKSPACE.length ? WORKSPACE.subarray(0, lengthBytes) : new Uint8Array(lengthBytes);
  for (let index = 0; index < B; index++) message[index] = (K[index] ?? 0) ^ pad;
  let offset = B;
  for (const chunk of text) {
    message.set(chunk, offset);
    offset += chunk.length;
  }
  const digest = plainBytes(digestOf(hash, message, 'buffer'));
  wipe(message);
  return digest;
}
