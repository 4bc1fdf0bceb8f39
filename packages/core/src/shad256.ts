import { createHash, type Hash } from 'node:crypto';
import { plainBytes, wipe } from './bytes.js';

/**
 * Which double hash "SHAd-256" means.
 *
 * - `book`: SHA-256(SHA-256(0^512 ‖ m)), as defined in "Cryptography Engineering" (2010), ch. 5.4.2. Some lists of known
 *   answers call it `fsk`, after its authors.
 * - `plain`: SHA-256(SHA-256(m)), without the block of zeros: what "Practical Cryptography" (2003) and many
 *   implementations have. Here to check their known answers.
 */
export type Shad256Variant = 'book' | 'plain';

/** Length of a SHAd-256 digest, in bytes. */
export const SHAD256_LENGTH_BYTES = 32;

/** 0^512: one block of SHA-256. Without it the inner hash of m is plain SHA-256(m), which others may also compute. */
const ZERO_BLOCK = new Uint8Array(64);

/**
 * SHAd-256 of the concatenation of `chunks`. It has no length extension, unlike SHA-256.
 *
 * @param variant - see {@link Shad256Variant}
 * @returns a new array of 32 bytes
 */
export function shad256(variant: Shad256Variant, ...chunks: readonly Uint8Array[]): Uint8Array {
  const inner = innerHash(variant);
  for (const chunk of chunks) inner.update(chunk);
  return outerHash(inner);
}

/** Starts the inner hash, for a message that comes in pieces; finish it with {@link outerHash}. */
export function innerHash(variant: Shad256Variant): Hash {
  const inner = createHash('sha256');
  if (variant === 'book') inner.update(ZERO_BLOCK);
  return inner;
}

/** Ends the inner hash and hashes its digest once more. */
export function outerHash(inner: Hash): Uint8Array {
  const digest = inner.digest();
  const outer = plainBytes(createHash('sha256').update(digest).digest());
  wipe(digest);
  return outer;
}
