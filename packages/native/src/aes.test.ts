import { createCipheriv } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { needsAddon, misuse } from './addon.fixture.js';
import { aes256CtrInto } from './aes.js';

const MODULUS = 1n << 128n;
const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits.replaceAll(' ', ''), 'hex'));

function counterBytes(value: bigint, byteOrder: 'little' | 'big'): Uint8Array {
  const bytes = hex((value % MODULUS).toString(16).padStart(32, '0'));
  return byteOrder === 'big' ? bytes : bytes.reverse();
}

/** The same by node:crypto: one block after the other, each counter spelled out. */
function blocks(
  key: Uint8Array,
  counter: bigint,
  lengthBytes: number,
  byteOrder: 'little' | 'big',
): Uint8Array {
  const count = Math.ceil(lengthBytes / 16);
  const plain = Buffer.concat(
    Array.from({ length: count }, (_, i) => counterBytes(counter + BigInt(i), byteOrder)),
  );
  const cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  return Uint8Array.from(cipher.update(plain).subarray(0, lengthBytes));
}

const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
const byteOrder = fc.constantFrom('little' as const, 'big' as const);
/** Anywhere, and where the low half or all of it overflows. */
const counter = fc.oneof(
  fc.bigInt({ min: 0n, max: MODULUS - 1n }),
  fc.bigInt({ min: 0n, max: 300n }).map((before) => MODULUS - 1n - before),
  fc
    .tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 300n }))
    .map(([high, before]) => (high << 64n) + 2n ** 64n - 1n - before),
);

const needsAes =
  process.arch === 'x64' ? needsAddon : (name: string) => it.skip(`${name} (needs x86-64)`, () => undefined);

needsAes('aes256CtrInto', () => {
  it('encrypts the example of FIPS 197, C.3', () => {
    const out = new Uint8Array(16);
    aes256CtrInto(
      hex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
      hex('00112233445566778899aabbccddeeff'),
      out,
      'big',
    );
    expect(out).toEqual(hex('8ea2b7ca516745bfeafc49904b496089'));
  });

  it('makes the output blocks of SP 800-38A, F.5.5', () => {
    const out = new Uint8Array(64);
    const block = hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
    aes256CtrInto(
      hex('603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4'),
      block,
      out,
      'big',
    );
    expect(out).toEqual(
      hex(
        '0bdf7df1591716335e9a8b15c860c502 5a6e699d536119065433863c8f657b94' +
          '1bc12c9c01610d5d0d8bd6a3378eca62 2956e1c8693536b1bee99c73a31576b6',
      ),
    );
    expect(block).toEqual(hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdff03'));
  });

  it('is what node:crypto makes of each counter, at every length, place and counter; and touches nothing else', () => {
    fc.assert(
      fc.property(key, counter, byteOrder, fc.nat(3000), fc.nat(65), (k, c, order, more, offset) => {
        const lengthBytes = more + 1;
        const memory = new Uint8Array(offset + lengthBytes + 64).fill(0xee);
        const keyBefore = k.slice();
        const next = counterBytes(c, order);
        const out = memory.subarray(offset, offset + lengthBytes);
        expect(aes256CtrInto(k, next, out, order)).toEqual({ supported: true, value: undefined });

        expect(Buffer.compare(out, blocks(k, c, lengthBytes, order))).toBe(0);
        expect(next).toEqual(counterBytes(c + BigInt(Math.ceil(lengthBytes / 16)), order));
        expect(k).toEqual(keyBefore);
        expect(memory.subarray(0, offset).every((byte) => byte === 0xee)).toBe(true);
        expect(memory.subarray(offset + lengthBytes).every((byte) => byte === 0xee)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('gives the same in pieces of whole blocks as in one', () => {
    fc.assert(
      fc.property(key, counter, byteOrder, fc.nat(200), fc.nat(200), (k, c, order, a, b) => {
        const [first, second, whole] = [16 * (a + 1), 16 * (b + 1), counterBytes(c, order)];
        const [pieces, once] = [new Uint8Array(first + second), new Uint8Array(first + second)];
        aes256CtrInto(k, whole, once, order);
        const next = counterBytes(c, order);
        aes256CtrInto(k, next, pieces.subarray(0, first), order);
        aes256CtrInto(k, next, pieces.subarray(first), order);
        expect(Buffer.compare(pieces, once)).toBe(0);
        expect(next).toEqual(whole);
      }),
    );
  });

  it('is AES-256-CTR over 1 MiB, and takes up to 16 MiB', () => {
    const k = new Uint8Array(32).fill(9);
    const out = new Uint8Array(1_048_576);
    aes256CtrInto(k, new Uint8Array(16), out, 'big');
    const expected = createCipheriv('aes-256-ctr', k, new Uint8Array(16)).update(new Uint8Array(1_048_576));
    expect(Buffer.compare(out, expected)).toBe(0);
    expect(aes256CtrInto(k, new Uint8Array(16), new Uint8Array(1 << 24), 'little').supported).toBe(true);
  });

  it('refuses other arguments, and nothing has changed', () => {
    const [k, c, out] = [new Uint8Array(32), new Uint8Array(16), new Uint8Array(64)];
    for (const args of [
      [new Uint8Array(31), c, out],
      [new Uint8Array(33), c, out],
      [k, new Uint8Array(15), out],
      [k, new Uint8Array(17), out],
      [k, c, new Uint8Array(0)],
      [k, c, new Uint8Array((1 << 24) + 1)],
    ] as const) {
      expect(() => aes256CtrInto(...args, 'little')).toThrow(RangeError);
    }
    for (const args of [
      ['key', c, out],
      [k, new DataView(c.buffer), out],
      [k, c, new Uint32Array(16)],
      [k, c, new Uint8ClampedArray(16)],
      [k, c, null],
    ]) {
      expect(misuse(aes256CtrInto, ...args, 'little')).toThrow(TypeError);
    }
    expect([...c, ...out].every((byte) => byte === 0)).toBe(true);
  });
});
