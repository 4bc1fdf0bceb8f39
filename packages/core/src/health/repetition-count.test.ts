import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { repetitionCountCutoff } from './cutoffs.js';
import { RepetitionCountTest } from './repetition-count.js';

/** What push says to each sample. */
const verdicts = (test: RepetitionCountTest, samples: readonly number[]): boolean[] =>
  samples.map((sample) => test.push(sample));

describe('RepetitionCountTest', () => {
  it('by hand, C = 3: the third equal sample in a row fails, and each one after it', () => {
    const test = new RepetitionCountTest({ cutoff: 3 });
    expect(verdicts(test, [7, 7, 8, 8, 8, 8, 7, 7, 8])).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(test.failures).toBe(2);
  });

  it('C = 2: every repetition fails', () => {
    expect(verdicts(new RepetitionCountTest({ cutoff: 2 }), [0, 0, 1, 0, 0, 0])).toEqual([
      false,
      true,
      false,
      false,
      true,
      true,
    ]);
  });

  it.each([
    { alphaLog2: -20, minEntropyBits: 1, cutoff: 21 },
    { alphaLog2: -40, minEntropyBits: 8, cutoff: 6 },
    { alphaLog2: -20, minEntropyBits: 0.1, cutoff: 201 },
  ])('stuck from the start it fails at sample C = $cutoff, not before', ({ cutoff, ...options }) => {
    expect(repetitionCountCutoff(options)).toBe(cutoff);
    const test = new RepetitionCountTest({ cutoff });
    expect(verdicts(test, Array<number>(cutoff).fill(3)).indexOf(true)).toBe(cutoff - 1);
  });

  it('recovers as soon as another value comes', () => {
    const test = new RepetitionCountTest({ cutoff: 4 });
    expect(verdicts(test, [5, 5, 5, 5]).at(-1)).toBe(true);
    expect(verdicts(test, [6, 5, 5, 5])).toEqual([false, false, false, false]);
    expect(test.push(5)).toBe(true);
  });

  it('reset begins a new run and keeps the count', () => {
    const test = new RepetitionCountTest({ cutoff: 3 });
    verdicts(test, [1, 1, 1]);
    test.reset();
    expect(verdicts(test, [1, 1, 1])).toEqual([false, false, true]);
    expect(test.failures).toBe(2);
  });

  it('fails exactly at those samples that end C equal ones, whatever the samples', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 5 }),
        fc.array(fc.constantFrom(-1, 0, 0.5, 2 ** 40)),
        (C, samples) => {
          const test = new RepetitionCountTest({ cutoff: C });
          const expected = samples.map(
            (_, at) => at >= C - 1 && new Set(samples.slice(at - C + 1, at + 1)).size === 1,
          );
          expect(verdicts(test, samples)).toEqual(expected);
          expect(test.failures).toBe(expected.filter(Boolean).length);
        },
      ),
    );
  });

  it('refuses NaN and is as before', () => {
    const test = new RepetitionCountTest({ cutoff: 3 });
    expect(() => test.push(Number.NaN)).toThrow(RangeError);
    verdicts(test, [1, 1]);
    expect(() => test.push(Number.NaN)).toThrow(RangeError);
    expect(test.push(1)).toBe(true);
  });

  it.each([1, 0, -3, 2.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses a cutoff of %d', (cutoff) => {
    expect(() => new RepetitionCountTest({ cutoff })).toThrow(RangeError);
  });
});
