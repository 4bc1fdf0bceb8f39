import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkLife, lifeText, parseLife } from './life.js';

describe('parseLife', () => {
  it.each([
    ['1s', 1_000],
    ['60s', 60_000],
    ['15m', 900_000],
    ['1h', 3_600_000],
    ['30d', 2_592_000_000],
    ['36500d', 3_153_600_000_000],
    ['007d', 604_800_000],
  ])('%s', (text, lifeMs) => {
    expect(parseLife(text)).toBe(lifeMs);
  });

  it.each([
    '',
    '0s',
    '0d',
    '30',
    'd',
    '1.5h',
    '-1d',
    '1e3s',
    '36501d',
    '9999999999d',
    '1 d',
    '1w',
    '1D',
    '1s\n',
  ])('refuses %j', (text) => {
    expect(() => parseLife(text)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }) as Error);
  });
});

describe('lifeText', () => {
  it.each([
    [1, '1s'],
    [90_000, '90s'],
    [3_600_000, '1h'],
    [172_800_000, '2d'],
    [59_001, '1m'],
  ])('%d ms is %s', (lifeMs, text) => {
    expect(lifeText(lifeMs)).toBe(text);
  });

  it('is what parseLife reads', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3_153_600_000 }), (seconds) => {
        expect(parseLife(lifeText(seconds * 1_000))).toBe(seconds * 1_000);
      }),
    );
  });
});

it('takes the ends of the range and nothing beyond', () => {
  for (const good of [1_000, 3_153_600_000_000]) expect(() => checkLife(good)).not.toThrow();
  for (const bad of [999, 3_153_600_000_001, 1_000.5, Number.NaN, Infinity, -1_000]) {
    expect(() => checkLife(bad)).toThrow(RangeError);
  }
});
