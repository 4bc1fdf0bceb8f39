import { describe, expect, it } from 'vitest';
import { adaptiveProportionCutoff, repetitionCountCutoff } from './cutoffs.js';

// Origin: rows of the project's known answers (health/cutoffs.json); RCT also by hand, 1 + 20 / H.
const ROWS = [
  { alphaLog2: -20, minEntropyBits: 0.1, rct: 201, apt512: 502, apt512c: 502, apt1024: 991, apt1024c: 991 },
  { alphaLog2: -20, minEntropyBits: 0.5, rct: 41, apt512: 410, apt512c: 411, apt1024: 793, apt1024c: 793 },
  { alphaLog2: -20, minEntropyBits: 1, rct: 21, apt512: 311, apt512c: 311, apt1024: 589, apt1024c: 590 },
  { alphaLog2: -40, minEntropyBits: 8, rct: 6, apt512: 19, apt512c: 20, apt1024: 26, apt1024c: 27 },
];

describe('cutoffs', () => {
  it.each(ROWS)('alpha 2^$alphaLog2, H $minEntropyBits', (row) => {
    expect(repetitionCountCutoff(row)).toBe(row.rct);
    expect(adaptiveProportionCutoff({ ...row, windowSize: 512 })).toBe(row.apt512);
    expect(adaptiveProportionCutoff({ ...row, windowSize: 512, rule: 'corrected' })).toBe(row.apt512c);
    expect(adaptiveProportionCutoff({ ...row, windowSize: 1024 })).toBe(row.apt1024);
    expect(adaptiveProportionCutoff({ ...row, windowSize: 1024, rule: 'corrected' })).toBe(row.apt1024c);
  });

  it('a small window by hand: fair coin, W = 4, alpha 1/4: P(X > 2) = 5/16 > 1/4, P(X > 3) = 1/16', () => {
    expect(adaptiveProportionCutoff({ minEntropyBits: 1, alphaLog2: -2, windowSize: 4 })).toBe(1 + 3);
  });

  it('never passes the window', () => {
    expect(adaptiveProportionCutoff({ minEntropyBits: 0.001, alphaLog2: -40, windowSize: 512 })).toBe(512);
  });

  it.each([
    { minEntropyBits: 0, alphaLog2: -20 },
    { minEntropyBits: -1, alphaLog2: -20 },
    { minEntropyBits: Number.NaN, alphaLog2: -20 },
    { minEntropyBits: 65, alphaLog2: -20 },
    { minEntropyBits: 1, alphaLog2: 0 },
    { minEntropyBits: 1, alphaLog2: 20 },
    { minEntropyBits: 1, alphaLog2: Number.NaN },
  ])('refuses %j', (options) => {
    expect(() => repetitionCountCutoff(options)).toThrow(RangeError);
    expect(() => adaptiveProportionCutoff({ ...options, windowSize: 512 })).toThrow(RangeError);
  });

  it.each([0, 1, 1.5, 65_537])('refuses a window of %d', (windowSize) => {
    expect(() => adaptiveProportionCutoff({ minEntropyBits: 1, alphaLog2: -20, windowSize })).toThrow(
      RangeError,
    );
  });
});
