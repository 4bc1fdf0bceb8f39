import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SampleRing } from './sample-ring.js';

const STEP_MS = 5_000;

/** A ring and the clocks of its samples. */
function ringOf(samples: number) {
  const ring = new SampleRing(samples);
  const at = { monotonicMs: 1_000, realtimeMs: 1_700_000_000_000 };
  const add = (values: Record<string, number> = {}): void => {
    ring.add(at, new Map(Object.entries(values)));
    at.monotonicMs += STEP_MS;
    at.realtimeMs += STEP_MS;
  };
  return { ring, at, add };
}

describe('a ring of samples', () => {
  it('keeps the last ones, as a list of which the first are dropped', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.integer()), (samples, values) => {
        const { ring, add } = ringOf(samples);
        for (const value of values) add({ memory: value });
        const { atMs, series } = ring.report();
        const kept = values.slice(-samples);
        expect(atMs).toHaveLength(kept.length);
        expect(series['memory'] ?? []).toEqual(kept.map((value) => Number(value.toPrecision(6))));
      }),
    );
  });

  it('shows a gap where a part was not there, and forgets one of which nothing is left', () => {
    const { ring, add } = ringOf(4);
    add({ a: 1 });
    add({ a: 2, b: 9 });
    add({ b: 8 });
    expect(ring.report().series).toEqual({ a: [1, 2, null], b: [null, 9, 8] });
    for (let n = 0; n < 3; n++) add({ c: n });
    expect(ring.report().series).toEqual({ b: [8, null, null, null], c: [null, 0, 1, 2] });
  });

  it('has no more than 1,024 series, however many come and go', () => {
    const { ring, add } = ringOf(2_100);
    for (let n = 0; n < 3; n++) add({ [`gone/${n}`]: n, stays: n });
    for (let n = 0; n < 2_000; n++) add({ [`new/${n}`]: n, stays: n });
    const names = Object.keys(ring.report().series);
    expect(names).toHaveLength(1_024);
    expect(names).toContain('stays');
    expect(names).toContain('new/1999');
    expect(names).not.toContain('gone/0');
  });

  describe('labels', () => {
    const steps = (labels: readonly number[]): number[] =>
      labels.slice(1).map((label, index) => label - (labels[index] ?? 0));

    it('are the real time of each sample', () => {
      const { ring, add } = ringOf(5);
      for (let n = 0; n < 3; n++) add();
      expect(ring.report().atMs).toEqual([1_700_000_000_000, 1_700_000_005_000, 1_700_000_010_000]);
    });

    it('follow a clock that was set back: what was before it moves with it, one step apart', () => {
      const { ring, at, add } = ringOf(10);
      for (let n = 0; n < 4; n++) add();
      at.realtimeMs -= 3_600_000;
      for (let n = 0; n < 2; n++) add();
      const { atMs } = ring.report();
      expect(atMs.at(-1)).toBe(1_700_000_025_000 - 3_600_000);
      expect(steps(atMs)).toEqual([5_000, 5_000, 5_000, 5_000, 5_000]);
    });

    it('are always ascending and within the span, whatever the clock does', () => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: -100_000_000, max: 100_000_000 }), { maxLength: 40 }),
          (jumps) => {
            const { ring, at, add } = ringOf(16);
            for (const jump of jumps) {
              at.realtimeMs += jump;
              add({ x: 1 });
            }
            const { atMs, series } = ring.report();
            expect(steps(atMs).every((step) => step > 0)).toBe(true);
            expect(series['x'] ?? []).toHaveLength(atMs.length);
            expect((atMs.at(-1) ?? 0) - (atMs[0] ?? 0)).toBeLessThanOrEqual(16 * STEP_MS * 1.1);
          },
        ),
      );
    });

    it('past bug of clocks: a machine that booted in 1970 shows nothing from there once the time is known', () => {
      const { ring, at, add } = ringOf(10);
      at.realtimeMs = 0;
      for (let n = 0; n < 4; n++) add({ x: n });
      at.realtimeMs = 1_700_000_000_000;
      for (let n = 4; n < 6; n++) add({ x: n });
      expect(ring.report()).toEqual({ atMs: [1_700_000_000_000, 1_700_000_005_000], series: { x: [4, 5] } });
    });
  });
});
