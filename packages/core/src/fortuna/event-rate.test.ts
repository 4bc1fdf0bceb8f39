import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventRate } from './event-rate.js';

/** A rate with a clock that is set by hand and says how often it was read. */
function rateBench(startMs = 0) {
  const clock = { ms: startMs, looks: 0 };
  const rate = new EventRate(() => {
    clock.looks += 1;
    return clock.ms;
  });
  /** How many of so many events at once count. */
  const burst = (source: number, events: number): number => {
    let counted = 0;
    for (let event = 0; event < events; event++) if (rate.counts(source)) counted += 1;
    return counted;
  };
  return { clock, rate, burst };
}

describe('the rate', () => {
  it('counts every event of a source that stays within it', () => {
    const { clock, burst } = rateBench();
    for (let event = 0; event < 1_000; event++) {
      expect(burst(1, 1)).toBe(1);
      clock.ms += 10;
    }
  });

  it('counts a burst of 100 and no more, until a second has passed since the first of them', () => {
    const { clock, burst } = rateBench();
    expect(burst(1, 100)).toBe(100);
    expect(burst(1, 10_000)).toBe(0);
    clock.ms = 999.999;
    expect(burst(1, 10_000)).toBe(0);
    clock.ms = 1000;
    expect(burst(1, 10_000)).toBe(100);
  });

  it('counts at most 100 in any second, whenever they come', () => {
    const arrivals = fc.array(
      fc.tuple(fc.constantFrom(0, 0, 1, 7, 9, 10, 11, 200, 999), fc.integer({ min: 1, max: 150 })),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(arrivals, (arrivals) => {
        const { clock, rate } = rateBench();
        const countedMs: number[] = [];
        for (const [waitMs, events] of arrivals) {
          clock.ms += waitMs;
          for (let event = 0; event < events; event++) if (rate.counts(5)) countedMs.push(clock.ms);
        }
        for (const [index, ms] of countedMs.entries()) {
          const hundredth = countedMs[index - 100];
          if (hundredth !== undefined) expect(ms - hundredth).toBeGreaterThanOrEqual(1000);
        }
      }),
    );
  });

  it('of one source is nothing to another', () => {
    const { burst } = rateBench();
    expect(burst(1, 10_000)).toBe(100);
    for (const source of [0, 2, 255]) expect(burst(source, 1_000)).toBe(100);
  });

  it.each([101, 120, 1_000, 100_000])('gives a source of %d events a second most of its 100', (perSecond) => {
    const { clock, burst } = rateBench();
    let counted = 0;
    for (let event = 0; event < 10 * perSecond; event++) {
      clock.ms = (event * 1000) / perSecond;
      counted += burst(1, 1);
    }
    // At worst it loses 64 events, 0.64 s at this rate, in every 1.64 s; 1.1 s hold 100 at 120 a second.
    expect(counted).toBeLessThanOrEqual(1_000);
    expect(counted).toBeGreaterThanOrEqual(600);
  });

  it('looks at the clock for one event in 64 of a flood', () => {
    const { clock, burst } = rateBench();
    burst(1, 100);
    clock.looks = 0;
    burst(1, 64_000);
    expect(clock.looks).toBeLessThanOrEqual(1_006);
  });

  it('past bug, pycrypto: a clock set back: here nothing waits for it to come round again', () => {
    const { clock, burst } = rateBench(1e12);
    expect(burst(1, 1_000)).toBe(100);
    clock.ms = 5; // decades earlier
    expect(burst(1, 1_000)).toBe(0);
    clock.ms = 1_004;
    expect(burst(1, 1_000)).toBe(0);
    clock.ms = 1_005;
    expect(burst(1, 1_000)).toBe(100);
  });

  it('a clock that jumps back and forth makes no second longer than its steps forward', () => {
    const { clock, burst } = rateBench(1e6);
    let counted = 0;
    for (let turn = 0; turn < 100; turn++) {
      clock.ms += turn % 2 === 0 ? -500 : 505;
      counted += burst(1, 200);
    }
    // 50 steps of 505 ms, not 50 of 5 ms and not one more.
    expect(counted).toBeLessThanOrEqual(100 * (Math.floor((50 * 505) / 1000) + 1));
    expect(counted).toBeGreaterThan(1_000);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'refuses a clock that says %s, and counts nothing',
    (ms) => {
      const { clock, rate, burst } = rateBench();
      burst(1, 50);
      clock.ms = ms;
      expect(() => rate.counts(1)).toThrow(RangeError);
      clock.ms = 0;
      expect(burst(1, 1_000)).toBe(50);
    },
  );
});
