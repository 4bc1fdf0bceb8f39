import { hkdfSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hkdfExpand, hkdfExtract } from './hkdf.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('HKDF', () => {
  it('RFC 5869, A.1 (SHA-256)', () => {
    const ikm = Buffer.alloc(22, 0x0b);
    const prk = hkdfExtract(Buffer.from('000102030405060708090a0b0c', 'hex'), ikm, 'sha256');
    expect(hex(prk)).toBe('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
    expect(hex(hkdfExpand(prk, Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'), 42, 'sha256'))).toBe(
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    );
  });

  it('RFC 5869, A.3 (SHA-256, empty salt and info)', () => {
    const prk = hkdfExtract('', Buffer.alloc(22, 0x0b), 'sha256');
    expect(hex(prk)).toBe('19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04');
    expect(hex(hkdfExpand(prk, '', 42, 'sha256'))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    );
  });

  it('SHA-512 by default (inputs of A.1, answer made with Python hmac)', () => {
    const prk = hkdfExtract(Buffer.from('000102030405060708090a0b0c', 'hex'), Buffer.alloc(22, 0x0b));
    expect(hex(prk)).toBe(
      '665799823737ded04a88e47e54a5890bb2c3d247c7a4254a8e61350723590a26' +
        'c36238127d8661b88cf80ef802d57e2f7cebcf1e00e083848be19929c61b4237',
    );
    expect(hex(hkdfExpand(prk, Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'), 100))).toBe(
      '832390086cda71fb47625bb5ceb168e4c8e26a1a16ed34d9fc7fe92c14815793' +
        '38da362cb8d9f925d7cbcce0dff7098769cf15959867d571c1715450cb530137' +
        'be3fb62f3cf32b84feba8f1eb1b563e20d9749b8640b8264c4b69b14ad519911' +
        '5e1d609c',
    );
  });

  it('agrees with OpenSSL at every length', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('sha256' as const, 'sha512' as const),
        fc.uint8Array({ maxLength: 80 }),
        fc.uint8Array({ minLength: 1, maxLength: 80 }),
        fc.uint8Array({ maxLength: 80 }),
        fc.integer({ min: 1, max: 300 }),
        (hash, salt, ikm, info, length) => {
          const ours = hkdfExpand(hkdfExtract(salt, ikm, hash), info, length, hash);
          expect(hex(ours)).toBe(hex(new Uint8Array(hkdfSync(hash, ikm, salt, info, length))));
        },
      ),
    );
  });

  it('takes the longest output, and refuses one byte more or none', () => {
    const prk = new Uint8Array(64);
    const longest = hkdfExpand(prk, 'x', 255 * 64);
    expect(longest.length).toBe(16_320);
    expect(hex(longest.subarray(0, 100))).toBe(hex(hkdfExpand(prk, 'x', 100)));
    for (const length of [255 * 64 + 1, 0, -1, 1.5, Number.NaN]) {
      expect(() => hkdfExpand(prk, 'x', length)).toThrow(RangeError);
    }
    expect(() => hkdfExpand(prk, 'x', 255 * 32 + 1, 'sha256')).toThrow(RangeError);
  });

  it('refuses a key shorter than the hash, and labels outside ASCII', () => {
    expect(() => hkdfExpand(new Uint8Array(63), 'x', 1)).toThrow(RangeError);
    expect(() => hkdfExpand(new Uint8Array(31), 'x', 1, 'sha256')).toThrow(RangeError);
    expect(() => hkdfExpand(new Uint8Array(64), 'ü', 1)).toThrow(RangeError);
    expect(() => hkdfExtract('ü', new Uint8Array(64))).toThrow(RangeError);
  });

  it('gives unrelated output for different labels', () => {
    const prk = new Uint8Array(64).fill(1);
    expect(hex(hkdfExpand(prk, 'use', 64))).not.toBe(hex(hkdfExpand(prk, 'next', 64)));
  });
});
