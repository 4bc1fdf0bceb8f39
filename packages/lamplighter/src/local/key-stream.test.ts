import { createCipheriv } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expand, expandByNode, MAX_OUTPUT_BYTES } from './key-stream.js';

const KEY = Uint8Array.from({ length: 32 }, (_, index) => 7 * index + 1);
const LENGTHS = [1, 8, 15, 16, 17, 31, 32, 33, 64, 65, 511, 512, 513, 4096, 65_535, MAX_OUTPUT_BYTES];

describe.each([
  ['expand', expand],
  ['expandByNode', expandByNode],
])('%s', (_, make) => {
  it.each(LENGTHS)(
    'gives the next key and then %i bytes, both of one key stream from counter 0',
    (lengthBytes) => {
      const keyStream = createCipheriv('aes-256-ctr', KEY, new Uint8Array(16)).update(
        new Uint8Array(32 + lengthBytes),
      );
      const nextKey = new Uint8Array(32).fill(0xee);
      const target = new Uint8Array(lengthBytes).fill(0xee);
      make(KEY, nextKey, target);
      expect(Buffer.from(nextKey).equals(keyStream.subarray(0, 32))).toBe(true);
      expect(Buffer.from(target).equals(keyStream.subarray(32))).toBe(true);
    },
  );

  it('gives no byte of the next key: output begins 32 bytes into the key stream at every length', () => {
    const nextKey = new Uint8Array(32);
    const target = new Uint8Array(4096);
    make(KEY, nextKey, target);
    const output = Buffer.from(target).toString('latin1');
    for (let at = 0; at + 8 <= 32; at += 1) {
      expect(output).not.toContain(Buffer.from(nextKey.subarray(at, at + 8)).toString('latin1'));
    }
  });

  it('writes inside the memory it was given and nowhere else', () => {
    const memory = new Uint8Array(100).fill(0xee);
    make(KEY, new Uint8Array(32), memory.subarray(20, 70));
    expect(memory.subarray(0, 20).every((byte) => byte === 0xee)).toBe(true);
    expect(memory.subarray(70).every((byte) => byte === 0xee)).toBe(true);
  });
});
