import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClockGrain, greatestCommonDivisor } from './clock-grain.js';

/** A grain that has seen moments so far apart, one window of 64 differences. */
function seen(differences: (nth: number) => bigint): ClockGrain {
  const grain = new ClockGrain();
  let moment = 10n ** 15n;
  expect(grain.note(moment)).toBe(false);
  for (let nth = 0; nth < 64; nth += 1) {
    moment += differences(nth);
    expect(grain.note(moment)).toBe(nth === 63);
  }
  return grain;
}

describe('ClockGrain', () => {
  it('knows the step of any clock, and gives the bits above it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20_000_000 }), (step) => {
        // 7 and 9 have no common divisor, whatever the step.
        const grain = seen((nth) => BigInt(step) * (nth % 2 === 0 ? 7n : 9n));
        expect(grain.step).toBe(step);
        expect(grain.lowByte(BigInt(step) * 1_027n)).toBe(3);
      }),
    );
  });

  it('believes in no step before sixteen differences agree on one', () => {
    expect(seen((nth) => (nth < 15 ? 4_096n : 0n)).step).toBe(1);
    expect(seen((nth) => (nth < 16 ? 4_096n : 0n)).step).toBe(4_096);
  });

  it('forgets a step when the clock is exchanged', () => {
    const grain = seen(() => 1_000n);
    let moment = 10n ** 16n;
    for (let nth = 0; nth < 65; nth += 1) grain.note((moment += BigInt(1_000 + (nth % 3))));
    expect(grain.step).toBe(1);
  });

  it('estimates by the commonest value: all equal 0 bits, one of two about 0.6, all different more than 3', () => {
    expect(seen(() => 1_000n).minEntropyBits).toBe(0);
    // p = 1/2 of 64: upper bound 0.5 + 2.576 · sqrt(0.25 / 63) = 0.662, and -log2 of it 0.5945.
    expect(seen((nth) => (nth % 2 === 0 ? 1n : 2n)).minEntropyBits).toBeCloseTo(0.5945, 3);
    expect(seen((nth) => BigInt(nth + 1)).minEntropyBits).toBeGreaterThan(3);
  });

  it('a moment before the last makes no difference', () => {
    const grain = new ClockGrain();
    grain.note(1_000n);
    expect(grain.note(10n)).toBe(false);
    for (let nth = 1; nth < 64; nth += 1) expect(grain.note(10n + BigInt(nth))).toBe(false);
    expect(grain.note(74n)).toBe(true);
  });
});

describe('greatestCommonDivisor', () => {
  it.each([
    [0, 0, 0],
    [0, 5, 5],
    [12, 18, 6],
    [7, 9, 1],
  ])('of %d and %d is %d', (a, b, expected) => {
    expect(greatestCommonDivisor(a, b)).toBe(expected);
  });
});
