import { beforeEach, describe, expect, it } from 'vitest';
import { Pace } from './pace.js';
import { THRESHOLDS } from './thresholds.js';

let pace: Pace;
let nowMs: number;

beforeEach(() => {
  pace = new Pace();
  nowMs = 0;
});

function see(seconds: number, perSecond: number): void {
  for (const endMs = nowMs + 1_000 * seconds; nowMs < endMs; nowMs += 1_000 / perSecond) pace.see(nowMs);
}

describe('pace', () => {
  it.each([30, 10, 2, 0.25])('knows a rate of %d a second, and calls it neither slow nor silent', (rate) => {
    for (let time = 0; time < 20; time++) {
      see(10 / rate + 2, rate);
      expect(pace.isStalled(nowMs)).toBe(false);
    }
    expect(pace.picturesPerSecond(nowMs) / rate).toBeGreaterThan(0.8);
    expect(pace.picturesPerSecond(nowMs) / rate).toBeLessThan(1.25);
    expect(pace.learnedPerSecond / rate).toBeGreaterThan(0.8);
  });

  it('half the rate is what sensors do in the dark; a third is a fault, until it has been so for a minute', () => {
    see(30, 30);
    see(30, 15);
    expect(pace.isStalled(nowMs)).toBe(false);
    see(8, 5);
    expect(pace.isStalled(nowMs)).toBe(true);
    see(THRESHOLDS.rebaselineMs / 1_000 + 2, 5);
    expect(pace.isStalled(nowMs)).toBe(false);
  });

  it('pictures that stop, bytes that stop', () => {
    see(10, 10);
    // By then the rate, too, has fallen below its share.
    expect(pace.isStalled(nowMs + 2_000)).toBe(false);
    expect(pace.isStalled(nowMs + THRESHOLDS.silenceMs + 1)).toBe(true);
    pace.heard(nowMs);
    see(THRESHOLDS.silenceMs / 1_000 + 1, 10);
    expect(pace.isStalled(nowMs)).toBe(true);
  });

  it('a new connection has time for its first picture, and is measured by what was learned', () => {
    see(10, 10);
    nowMs += 60_000;
    pace.restart(nowMs);
    expect(pace.isStalled(nowMs + THRESHOLDS.neverMs)).toBe(false);
    expect(pace.isStalled(nowMs + THRESHOLDS.neverMs + 1)).toBe(true);
    see(8, 3);
    expect(pace.isStalled(nowMs)).toBe(true);
  });
});
