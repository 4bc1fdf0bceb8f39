import { createHash } from 'node:crypto';
import { assertBytes, asciiBytes, plainBytes } from './bytes.js';
import { encodedLengthBytes, type Part, writeEncoding } from './encoding.js';
import { hmacOf } from './hmac.js';

/** Length of a mix key and of its result, in bytes. */
export const MIX_LENGTH_BYTES = 64;

/**
 * mix: many inputs, none trusted, into 64 bytes that are unpredictable if the key or any one part is.
 *
 * Source: DESIGN section 5: HMAC-SHA-512 under secret state that no source can read, over the encoding E. Never XOR (the
 * last speaker could cancel the others), never plain concatenation (see {@link encode}). Who is asked last must still not
 * be somebody outside: that order is the caller's duty.
 * One result serves one purpose: derive with `hkdfExpand` and a label where several are needed.
 *
 * @param key - exactly 64 secret bytes; {@link noSecretKey} where there is no secret yet. A longer or shorter key would
 *   work, but HMAC maps different keys to the same one (zero padding, hashing), so only one length is allowed
 * @param context - what the result is for, see {@link encode}
 * @param parts - see {@link encode}; absent parts included
 * @returns a new array of 64 bytes
 * @throws RangeError on a key of another length, or as {@link encode}
 * @throws TypeError if the key is no Uint8Array
 */
export function mix(key: Uint8Array, context: string, parts: readonly Part[]): Uint8Array {
  assertBytes('a mix key', key);
  if (key.length !== MIX_LENGTH_BYTES) throw new RangeError(`a mix key has ${MIX_LENGTH_BYTES} bytes`);
  const lengthBytes = encodedLengthBytes(context, parts);
  return hmacOf('sha512', key, lengthBytes, (text) => writeEncoding(text, context, parts));
}

/**
 * The mix key for when no secret exists yet: SHA-512("lamplighter/no-secret/v1").
 *
 * Source: DESIGN section 5. A public extractor salt: the result is still unpredictable if a part is, but whoever chooses a
 * part last can steer it. Report it as such wherever it is used.
 * @returns a new array each time: a typed array cannot be frozen, and a shared one could be changed by any caller
 */
export function noSecretKey(): Uint8Array {
  return plainBytes(createHash('sha512').update(asciiBytes('lamplighter/no-secret/v1')).digest());
}
