import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DrawChoice, faultOf, fromHex, hex, shown } from './draw-value.js';

const choice = (more: Partial<DrawChoice>): DrawChoice => ({
  kind: 'hex',
  from: 1,
  to: 100,
  dice: 2,
  ...more,
});
const value = Uint8Array.from({ length: 32 }, (_, i) => i);
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('a value is shown', () => {
  it('as hex, base64 and a UUID of version 4', () => {
    expect(shown(value, choice({ kind: 'hex' }))).toBe(Buffer.from(value).toString('hex'));
    expect(shown(value, choice({ kind: 'base64' }))).toBe(Buffer.from(value).toString('base64'));
    expect(shown(value, choice({ kind: 'uuid' }))).toBe('00010203-0405-4607-8809-0a0b0c0d0e0f');
  });

  it('as a number of the range, both ends included', () => {
    fc.assert(
      fc.property(bytes32, fc.maxSafeInteger(), fc.maxSafeInteger(), (drawn, a, b) => {
        const wanted = choice({ kind: 'integer', from: Math.min(a, b), to: Math.max(a, b) });
        fc.pre(faultOf(wanted) === undefined);
        const number = Number(shown(drawn, wanted));
        return Number.isSafeInteger(number) && number >= wanted.from && number <= wanted.to;
      }),
    );
  });

  it('as a number by passing over words that would favour some', () => {
    // The greatest word is above the last multiple of 100; the one after it is taken.
    const drawn = new Uint8Array(32).fill(255, 0, 8);
    drawn[15] = 41;
    expect(shown(drawn, choice({ kind: 'integer' }))).toBe('42');
    expect(shown(new Uint8Array(32).fill(255), choice({ kind: 'integer' }))).toBeUndefined();
    // A power of two favours none, so that nothing is passed over.
    expect(shown(new Uint8Array(32).fill(255), choice({ kind: 'integer', to: 128 }))).toBe('128');
  });

  it('as dice and coins that fall evenly', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 6_000; i++) {
      const drawn = randomBytes(32);
      for (const die of (shown(drawn, choice({ kind: 'dice', dice: 4 })) ?? '').split(' ')) {
        counts.set(die, (counts.get(die) ?? 0) + 1);
      }
      const coin = shown(drawn, choice({ kind: 'coin' })) ?? '';
      counts.set(coin, (counts.get(coin) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted()).toEqual(['1', '2', '3', '4', '5', '6', 'heads', 'tails']);
    // Six standard deviations.
    for (const die of ['1', '2', '3', '4', '5', '6'])
      expect(Math.abs((counts.get(die) ?? 0) - 4_000)).toBeLessThan(350);
    expect(Math.abs((counts.get('heads') ?? 0) - 3_000)).toBeLessThan(240);
  });
});

it.each([
  [{ from: 5, to: 5 }, 'less than'],
  [{ from: 1.5, to: 5 }, 'whole numbers'],
  [{ from: NaN, to: 5 }, 'whole numbers'],
  [{ from: -Number.MAX_SAFE_INTEGER, to: Number.MAX_SAFE_INTEGER }, 'too wide'],
])('refuses the range %o', (range, why) => {
  const wanted = choice({ kind: 'integer', ...range });
  expect(faultOf(wanted)).toContain(why);
  expect(() => shown(value, wanted)).toThrow(RangeError);
});

it('refuses a number of dice that there are no words for', () => {
  for (const dice of [0, 5, 1.5, NaN])
    expect(faultOf(choice({ kind: 'dice', dice }))).toBe('One to four dice.');
});

it('reads what it writes, and nothing else', () => {
  expect(fromHex(hex(value))).toEqual(value);
  for (const text of ['', 'zz', hex(value).slice(2), undefined, 7]) expect(fromHex(text)).toBeUndefined();
});
