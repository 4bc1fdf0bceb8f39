import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdaptiveProportionTest } from './adaptive-proportion.js';
import { adaptiveProportionCutoff } from './cutoffs.js';

/** Indices of the samples at which push said that the test fails. */
const failedAt = (test: AdaptiveProportionTest, samples: Iterable<number>): number[] =>
  [...samples].flatMap((sample, at) => (test.push(sample) ? [at] : []));

/** Bits that are the same in every run: SHA-256 in counter mode. */
function* coins(count: number): Generator<number> {
  for (let block = 0; block < count / 256; block += 1) {
    for (const byte of createHash('sha256').update(`coins ${block}`).digest()) {
      for (let bit = 0; bit < 8; bit += 1) yield (byte >> bit) & 1;
    }
  }
}

describe('AdaptiveProportionTest', () => {
  it('by hand, W = 5, C = 3: told at the sample that brings the first one to three', () => {
    const test = new AdaptiveProportionTest({ cutoff: 3, windowSize: 5 });
    const windows = [
      [9, 1, 9, 1, 9],
      [9, 1, 1, 1, 1],
      [4, 4, 4, 4, 4],
      [9, 9, 1, 1, 1],
    ];
    expect(failedAt(test, windows.flat())).toEqual([4, 12]);
    expect(test.failures).toBe(2);
  });

  it('a failed window runs on to its end, silent, and the next begins with a new first sample', () => {
    const test = new AdaptiveProportionTest({ cutoff: 2, windowSize: 4 });
    // Were the window begun anew at the failure, the second 7 would fail too.
    expect(failedAt(test, [1, 1, 7, 7, /* next */ 7, 8, 9, 1])).toEqual([1]);
  });

  it.each([
    { alphaLog2: -20, minEntropyBits: 1, windowSize: 1024, cutoff: 589 },
    { alphaLog2: -20, minEntropyBits: 1, windowSize: 512, cutoff: 311 },
    { alphaLog2: -40, minEntropyBits: 8, windowSize: 512, cutoff: 19 },
  ])('W = $windowSize: C = $cutoff of one value fail, C - 1 do not', ({ windowSize, cutoff, ...options }) => {
    expect(adaptiveProportionCutoff({ ...options, windowSize })).toBe(cutoff);
    const windowWith = (times: number): number[] =>
      Array.from({ length: windowSize }, (_, at) => (at < times ? 3 : 4 + at));
    const test = new AdaptiveProportionTest({ cutoff, windowSize });
    expect(failedAt(test, windowWith(cutoff - 1))).toEqual([]);
    expect(failedAt(test, windowWith(cutoff))).toEqual([cutoff - 1]);
    // And back: a window as it should be is no failure, whatever came before it.
    expect(failedAt(test, windowWith(1))).toEqual([]);
  });

  it('is only told of the window’s first value: another one may be as common as it likes', () => {
    const test = new AdaptiveProportionTest({ cutoff: 2, windowSize: 100 });
    expect(failedAt(test, [1, ...Array<number>(99).fill(2)])).toEqual([]);
  });

  it('reset begins a new window and keeps the count', () => {
    const test = new AdaptiveProportionTest({ cutoff: 3, windowSize: 4 });
    failedAt(test, [1, 1, 1]);
    test.reset();
    expect(failedAt(test, [1, 1, 2, 2, /* next */ 1, 1, 1, 1])).toEqual([6]);
    expect(test.failures).toBe(2);
  });

  it('judges every whole window as the standard does, whatever the samples', () => {
    const shapes = fc.integer({ min: 2, max: 12 }).chain((W) =>
      fc.record({
        W: fc.constant(W),
        C: fc.integer({ min: 2, max: W }),
        samples: fc.array(fc.constantFrom(0, 1, -2.5), { maxLength: 100 }),
      }),
    );
    fc.assert(
      fc.property(shapes, ({ W, C, samples }) => {
        const test = new AdaptiveProportionTest({ cutoff: C, windowSize: W });
        const whole = samples.slice(0, samples.length - (samples.length % W));
        const failed = failedAt(test, whole).map((at) => Math.floor(at / W));
        const expected = Array.from({ length: whole.length / W }, (_, window) => window).filter((window) => {
          const [A, ...rest] = whole.slice(window * W, (window + 1) * W);
          return 1 + rest.filter((sample) => sample === A).length >= C;
        });
        expect(failed).toEqual(expected);
      }),
    );
  });

  it('on fair coins it alarms about as often as α says, and α is an upper bound for the corrected cutoff', () => {
    const options = { minEntropyBits: 1, alphaLog2: -5, windowSize: 64 };
    const cutoff = adaptiveProportionCutoff({ ...options, rule: 'corrected' });
    const test = new AdaptiveProportionTest({ cutoff, windowSize: 64 });
    const windows = 8_192;
    failedAt(test, coins(64 * windows));
    // P(1 + X ≥ C) for X binomial(63, 1/2) lies just below 1/32; three standard deviations of 8192 windows are 47.
    expect(test.failures).toBeGreaterThan(windows / 128);
    expect(test.failures).toBeLessThan(windows / 32 + 47);
  });

  it('refuses NaN and is as before', () => {
    const test = new AdaptiveProportionTest({ cutoff: 2, windowSize: 2 });
    expect(() => test.push(Number.NaN)).toThrow(RangeError);
    test.push(1);
    expect(() => test.push(Number.NaN)).toThrow(RangeError);
    expect(test.push(1)).toBe(true);
  });

  it.each([
    { cutoff: 1, windowSize: 512 },
    { cutoff: 513, windowSize: 512 },
    { cutoff: 2.5, windowSize: 512 },
    { cutoff: Number.NaN, windowSize: 512 },
    { cutoff: 2, windowSize: 1 },
    { cutoff: 2, windowSize: 65_537 },
    { cutoff: 2, windowSize: 10.5 },
  ])('refuses %j', (options) => {
    expect(() => new AdaptiveProportionTest(options)).toThrow(RangeError);
  });
});
