import { describe, expect, it } from 'vitest';
import { StuckTest } from './stuck-test.js';

const stuck = (...times: readonly number[]): boolean[] => {
  const test = new StuckTest();
  return times.map((time) => test.push(time));
};

describe('StuckTest', () => {
  it('first derivative: no time passed', () => {
    expect(stuck(5, 9, 0).at(-1)).toBe(true);
  });

  it('second derivative: as long as the one before', () => {
    expect(stuck(5, 9, 9).at(-1)).toBe(true);
  });

  it('third derivative: times that grow or shrink evenly', () => {
    expect(stuck(5, 9, 13).at(-1)).toBe(true);
    expect(stuck(50, 30, 10).at(-1)).toBe(true);
  });

  it('anything else moved', () => {
    expect(stuck(5, 9, 12, 14, 21, 20)).toEqual(Array<boolean>(6).fill(false));
  });
});
