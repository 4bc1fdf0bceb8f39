import { describe, expect, it } from 'vitest';
import { innerHash, outerHash, shad256 } from './shad256.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('SHAd-256', () => {
  // Made with Python's hashlib; `plain` of the empty string is also Bitcoin's well-known double hash.
  it.each([
    ['plain', '', '5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456'],
    ['plain', 'abc', '4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358'],
    ['book', '', 'e2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9'],
    ['book', 'abc', '4f16deb3ad853b88d8585b018319ad61455c1aba98a77a72b8fd324cbf0e775a'],
  ] as const)('%s of "%s"', (variant, message, digest) => {
    expect(hex(shad256(variant, Buffer.from(message)))).toBe(digest);
  });

  it('hashes the concatenation of its chunks, whole or piece by piece', () => {
    const pieces = ['a', '', 'bc'].map((text) => Buffer.from(text));
    const whole = hex(shad256('book', Buffer.from('abc')));
    expect(hex(shad256('book', ...pieces))).toBe(whole);
    const inner = innerHash('book');
    for (const piece of pieces) inner.update(piece);
    expect(hex(outerHash(inner))).toBe(whole);
  });
});
