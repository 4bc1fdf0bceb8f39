import { asciiBytes, assertBytes, assertLength, wipe } from './bytes.js';
import { HASH_LENGTH_BYTES, type HashName, hmac } from './hmac.js';

/**
 * HKDF-Extract: a pseudorandom key from input keying material.
 *
 * Source: RFC 5869, section 2.2: PRK = HMAC-Hash(salt, IKM).
 * @param salt - any length, need not be secret; text is taken as printable ASCII; empty means HashLen zeros, as in the RFC
 * @param ikm - input keying material, any length
 * @param hash - SHA-512 unless said
 * @returns PRK, a new array of HashLen bytes (64 for SHA-512)
 * @throws RangeError if a text salt is not printable ASCII; TypeError if `ikm` is no Uint8Array
 */
export function hkdfExtract(
  salt: string | Uint8Array,
  ikm: Uint8Array,
  hash: HashName = 'sha512',
): Uint8Array {
  assertBytes('input keying material', ikm);
  // An empty HMAC key and a key of zeros are the same key, so the RFC's default salt needs no case of its own.
  return hmac(hash, bytesOf(salt), ikm);
}

/**
 * HKDF-Expand: one output for one purpose.
 *
 * Source: RFC 5869, section 2.3, where `label` is called info.
 * @param prk - a pseudorandom key of at least HashLen bytes (64 for SHA-512), from {@link hkdfExtract} or a mix
 * @param label - the purpose; text is taken as printable ASCII
 * @param lengthBytes - L, 1..255 · HashLen
 * @param hash - SHA-512 unless said
 * @returns OKM, a new array of `lengthBytes`
 * @throws RangeError on a shorter key, another length, or a text label that is not printable ASCII
 * @throws TypeError if `prk` is no Uint8Array
 */
export function hkdfExpand(
  prk: Uint8Array,
  label: string | Uint8Array,
  lengthBytes: number,
  hash: HashName = 'sha512',
): Uint8Array {
  const hashLength = HASH_LENGTH_BYTES[hash];
  assertBytes('a pseudorandom key', prk);
  if (prk.length < hashLength) throw new RangeError(`a pseudorandom key has at least ${hashLength} bytes`);
  assertLength('the output length in bytes', lengthBytes, 1, 255 * hashLength);
  const info = bytesOf(label);

  const okm = new Uint8Array(lengthBytes);
  // T(0) = empty string
  let t: Uint8Array = new Uint8Array(0);
  for (let i = 1, filled = 0; filled < lengthBytes; i++, filled += hashLength) {
    // T(i) = HMAC-Hash(PRK, T(i-1) | info | i)
    const next = hmac(hash, prk, t, info, Uint8Array.of(i));
    wipe(t);
    t = next;
    // OKM = first L octets of T = T(1) | T(2) | ...
    okm.set(t.subarray(0, lengthBytes - filled), filled);
  }
  wipe(t);
  return okm;
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  if (typeof text === 'string') return asciiBytes(text);
  assertBytes('a salt or label', text);
  return text;
}
