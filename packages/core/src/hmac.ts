import { createHmac } from 'node:crypto';
import { plainBytes } from './bytes.js';

/** The hashes used under HMAC, with their output length in bytes (HashLen in RFC 5869, outlen in SP 800-90A). */
export const HASH_LENGTH_BYTES = Object.freeze({ sha256: 32, sha512: 64 } as const);

/** A hash under HMAC. */
export type HashName = keyof typeof HASH_LENGTH_BYTES;

/**
 * HMAC over the concatenation of `chunks`. Source: RFC 2104, FIPS 198-1.
 *
 * Concatenation is not injective: callers pass either one encoding (see {@link encode}) or fields of fixed length.
 * Cost: 3.8 µs on Node 20; on Node 24 15 µs, because a raw key is made into a KeyObject first. Handing in a KeyObject
 * ourselves would be 4 times faster there, but a KeyObject cannot be wiped.
 *
 * @param key - any length; longer than the hash's block is hashed first, shorter is padded with zeros
 * @returns a new array of {@link HASH_LENGTH_BYTES} bytes
 */
export function hmac(hash: HashName, key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array {
  const state = createHmac(hash, key);
  for (const chunk of chunks) state.update(chunk);
  return plainBytes(state.digest());
}
