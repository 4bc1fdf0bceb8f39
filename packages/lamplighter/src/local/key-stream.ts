import { createCipheriv, createSecretKey } from 'node:crypto';
import { aes256CtrInto } from '@lamplighter/native';

/** Length of a key in bytes: AES-256. */
export const KEY_BYTES = 32;
/** Most output of one key: DESIGN 6.4. */
export const MAX_OUTPUT_BYTES = 65_536;

const COUNTER_BYTES = 16;
/** Up to here a loop copies faster than the engine's own call. */
const SMALL_BYTES = 64;
/** What Node encrypts: the key stream itself comes out. */
const ZEROS = new Uint8Array(KEY_BYTES + MAX_OUTPUT_BYTES);
const ZERO_COUNTER = ZEROS.subarray(0, COUNTER_BYTES);
const counter = new Uint8Array(COUNTER_BYTES);

/**
 * `nextKey ‖ target` ← AES-256-CTR(key, from counter 0): the next key first, so that no byte of it is ever output.
 *
 * Source: DESIGN 6.4. Output and next key are disjoint key stream at every length. Every key makes one key stream only, so
 * its counter always starts at zero. By the addon where there is one: in place, and without 2 µs for an object per key.
 * @param key - 32 bytes; the caller wipes it
 * @param nextKey - 32 bytes, overwritten; not the memory of `key`
 * @param target - overwritten, 1..65,536 bytes; never the memory of a key
 */
export function expand(key: Uint8Array, nextKey: Uint8Array, target: Uint8Array): void {
  counter.fill(0);
  if (aes256CtrInto(key, counter, nextKey, 'big').supported) {
    // Two blocks further on: the counter was left there.
    aes256CtrInto(key, counter, target, 'big');
  } else {
    expandByNode(key, nextKey, target);
  }
}

/** The same by node:crypto alone. */
export function expandByNode(key: Uint8Array, nextKey: Uint8Array, target: Uint8Array): void {
  const cipher = createCipheriv('aes-256-ctr', cipherKey(key), ZERO_COUNTER);
  const keyStream = cipher.update(ZEROS.subarray(0, KEY_BYTES + target.length));
  // Nothing is left to come out; it makes Node free the expanded key now instead of at collection.
  cipher.final();
  for (let index = 0; index < KEY_BYTES; index++) nextKey[index] = keyStream[index] ?? 0;
  if (target.length > SMALL_BYTES) target.set(keyStream.subarray(KEY_BYTES));
  else for (let index = 0; index < target.length; index++) target[index] = keyStream[KEY_BYTES + index] ?? 0;
  keyStream.fill(0);
}

/** Node 24 takes 10 µs to make a cipher of raw bytes and 2 of a KeyObject, which cannot be wiped; others do not care. */
const cipherKey = /^v2[345]\./.test(process.version)
  ? (key: Uint8Array) => createSecretKey(key)
  : (key: Uint8Array) => key;
