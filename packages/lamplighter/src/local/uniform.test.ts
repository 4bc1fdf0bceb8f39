import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { below } from './uniform.js';

/** A stream that gives these words, one after the other. */
function giving(...words: readonly number[]) {
  let next = 0;
  const take = (): number => {
    const word = words[next];
    if (word === undefined) throw new Error('nothing is left');
    next += 1;
    return word;
  };
  return { uint32: take, uint48: take, taken: () => next };
}

describe('below', () => {
  it('is the high half of word · range, exactly', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.integer({ min: 1, max: 2 ** 21 }),
        (word, range) => {
          const product = BigInt(word) * BigInt(range);
          const isRejected = product % 2n ** 32n < 2n ** 32n % BigInt(range);
          // After a rejection the last word of all is taken, which never is.
          const stream = giving(word, 2 ** 32 - 1);
          expect(below(stream, range)).toBe(
            isRejected ? Number((BigInt(2 ** 32 - 1) * BigInt(range)) >> 32n) : Number(product >> 32n),
          );
          expect(stream.taken()).toBe(isRejected ? 2 : 1);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('gives every number equally many words of those that are left: counted for all 2^16 of a word one half as long', () => {
    // The same rule on 16-bit words, where all can be tried.
    for (const range of [3, 5, 6, 7, 100, 255, 1_000]) {
      const counts = Array.from({ length: range }, () => 0);
      for (let word = 0; word < 2 ** 16; word += 1) {
        const product = word * range;
        if (product % 2 ** 16 < 2 ** 16 % range) continue;
        const value = Math.floor(product / 2 ** 16);
        counts[value] = (counts[value] ?? 0) + 1;
      }
      expect(new Set(counts).size).toBe(1);
    }
  });

  it('rejects 48-bit words beyond the last multiple of a large range', () => {
    const range = 2 ** 47 + 1;
    const stream = giving(2 ** 48 - 1, range, 5);
    expect(below(stream, range)).toBe(5);
    expect(stream.taken()).toBe(3);
  });

  it('knows both ends of every range', () => {
    for (const range of [1, 2, 2 ** 21, 2 ** 21 + 1, 2 ** 32, 2 ** 48 - 1]) {
      expect(below(giving(2 ** 32 % range, 2 ** 32 - 1, range), range)).toBeLessThan(range);
      expect(below(giving(range - 1 > 2 ** 32 - 1 ? range - 1 : 2 ** 32 - 1), range)).toBeLessThan(range);
    }
  });
});
