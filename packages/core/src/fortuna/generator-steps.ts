import { type Cipher, createCipheriv } from 'node:crypto';
import { assertLength, wipe } from '../bytes.js';
import { LamplighterError } from '../errors.js';
import { shad256, type Shad256Variant } from '../shad256.js';

/** Most bytes a single request may have: 2^20, the book's limit. */
export const MAX_REQUEST_BYTES = 2 ** 20;

/** Length of K in bytes: AES-256. */
const KEY_LENGTH_BYTES = 32;
const BLOCK_LENGTH_BYTES = 16;
/** Counter blocks encrypted per call of the cipher: 64 KiB bounds the memory and already runs at full speed. */
const BATCH_BLOCKS = 4096;

/** G, the generator's state. The steps below change it in place. */
export interface GeneratorState {
  /** K: 32 bytes. */
  readonly key: Uint8Array;
  /** C: 128 bits, the least significant byte first. OpenSSL's CTR mode counts the other way, so it cannot be used. */
  readonly counter: Uint8Array;
}

// The steps of Ferguson, Schneier, Kohno, "Cryptography Engineering" (2010), ch. 9.4, in the book's names. They are
// functions on a state handed in, so that key and counter can be checked after every step without opening the class
// that keeps them secret.

/** function InitializeGenerator, output: G, generator state. Unseeded. */
export function initializeGenerator(): GeneratorState {
  // (K, C) ← (0, 0)
  return { key: new Uint8Array(KEY_LENGTH_BYTES), counter: new Uint8Array(BLOCK_LENGTH_BYTES) };
}

/**
 * function Reseed, input: G, generator state; s, new or additional seed.
 * @param s - any length; the caller keeps it and may wipe it
 */
export function reseed(G: GeneratorState, s: Uint8Array, variant: Shad256Variant): void {
  // K ← SHAd-256(K ‖ s)
  const K = shad256(variant, G.key, s);
  G.key.set(K);
  wipe(K);
  // C ← C + 1
  increment(viewOf(G.counter));
}

/**
 * function PseudoRandomData, input: G, generator state; n, number of bytes of random data to generate.
 * @param n - 0..2^20 bytes; 0 gives no bytes and still replaces the key, as in the book
 * @returns r, a new array of n bytes
 * @throws RangeError on another n; LamplighterError ERR_NOT_SEEDED before the first reseed; state unchanged
 */
export function pseudoRandomData(G: GeneratorState, n: number): Uint8Array {
  // assert 0 ≤ n ≤ 2^20
  assertLength('the number of bytes', n, 0, MAX_REQUEST_BYTES);
  // assert C ≠ 0 (the book asserts it in GenerateBlocks; here, before anything changes)
  if (!isSeeded(G)) throw new LamplighterError('ERR_NOT_SEEDED', 'the generator has not been seeded');

  // One cipher for both calls of GenerateBlocks: K is the same. A raw key, not a KeyObject, because we can wipe ours.
  const cipher = createCipheriv('aes-256-ecb', G.key, null).setAutoPadding(false);
  // r ← first-n-bytes(GenerateBlocks(G, ⌈n/16⌉))
  const r = new Uint8Array(n);
  generateBlocks(cipher, G.counter, r);
  // K ← GenerateBlocks(G, 2)
  generateBlocks(cipher, G.counter, G.key);
  // Without padding there is nothing left to come out; it makes Node free the expanded key now instead of at collection.
  cipher.final();
  return r;
}

/** Whether C ≠ 0: the counter is never reset, so this is true from the first reseed on. */
export function isSeeded(G: GeneratorState): boolean {
  return G.counter.some((byte) => byte !== 0);
}

/**
 * function GenerateBlocks, input: G, generator state; k, number of blocks to generate; output: r, as many bytes.
 *
 * Here k = ⌈length of r / 16⌉, and what r has no room for is dropped: the next block begins with the next counter, so no
 * byte of key stream is ever used twice.
 */
function generateBlocks(cipher: Cipher, counterBytes: Uint8Array, r: Uint8Array): void {
  const C = viewOf(counterBytes);
  const k = Math.ceil(r.length / BLOCK_LENGTH_BYTES);
  const blocks = new Uint8Array(Math.min(k, BATCH_BLOCKS) * BLOCK_LENGTH_BYTES);
  const blocksView = viewOf(blocks);
  // for i = 1, …, k do r ← r ‖ E(K, C); C ← C + 1 od
  for (let done = 0; done < k; done += BATCH_BLOCKS) {
    const batchBytes = Math.min(k - done, BATCH_BLOCKS) * BLOCK_LENGTH_BYTES;
    for (let offset = 0; offset < batchBytes; offset += BLOCK_LENGTH_BYTES) {
      for (let word = 0; word < BLOCK_LENGTH_BYTES; word += 4) {
        blocksView.setUint32(offset + word, C.getUint32(word, true), true);
      }
      increment(C);
    }
    const keyStream = cipher.update(blocks.subarray(0, batchBytes));
    const start = done * BLOCK_LENGTH_BYTES;
    r.set(keyStream.subarray(0, r.length - start), start);
    wipe(keyStream);
  }
}

/** C ← C + 1, a little-endian number of 128 bits. In words of 32: bigints made this loop 7 times slower. */
function increment(C: DataView): void {
  for (let offset = 0; offset < BLOCK_LENGTH_BYTES; offset += 4) {
    const word = (C.getUint32(offset, true) + 1) >>> 0;
    C.setUint32(offset, word, true);
    if (word !== 0) return; // no carry
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
