import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classicDue, classicSchedule } from './schedule.js';

/** A schedule with a clock that is set by hand. */
function classic(startMs = 0) {
  const clock = { ms: startMs };
  const schedule = classicSchedule({ monotonicMs: () => clock.ms });
  const takeDue = (pool0Bytes = 64) => schedule.takeDue((pool) => (pool === 0 ? pool0Bytes : 0));
  return { clock, schedule, takeDue };
}

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, index) => index);

describe('classic: which pools', () => {
  it.each([
    [1, 0],
    [2, 1],
    [3, 0],
    [4, 2],
    [2 ** 30, 30],
    [2 ** 31 - 1, 0],
    [2 ** 31, 31],
    [2 ** 31 + 2 ** 30, 30],
    // Beyond 32 bits, where & would see nothing: P_31 is the last there is.
    [2 ** 32, 31],
    [2 ** 32 + 1, 0],
    [2 ** 40, 31],
  ])('at reseed %d the deepest is pool %d', (reseedCount, deepest) => {
    expect(classicDue(reseedCount)).toEqual(upTo(deepest));
  });

  it('pool i joins when 2^i divides the reseed count', () => {
    const { clock, takeDue } = classic();
    const deepest: number[] = [];
    for (let count = 1; count <= 16; count++) {
      clock.ms += 100;
      const due = takeDue();
      expect(due).toEqual(upTo(due.length - 1));
      deepest.push(due.length - 1);
    }
    expect(deepest).toEqual([0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0, 4]);
  });

  it('past bug, SJCL: a counter that could never hit its test value: every pool up to 16 is seen to join, on time', () => {
    const { clock, takeDue } = classic();
    const firstJoined = new Map<number, number>();
    for (let count = 1; count <= 2 ** 16; count++) {
      clock.ms += 100;
      for (const pool of takeDue()) if (!firstJoined.has(pool)) firstJoined.set(pool, count);
    }
    expect([...firstJoined]).toEqual(upTo(16).map((pool) => [pool, 2 ** pool]));
  });
});

describe('classic: when', () => {
  it('not before pool 0 holds 64 bytes', () => {
    const { takeDue } = classic();
    expect(takeDue(63)).toEqual([]);
    expect(takeDue(64)).toEqual([0]);
  });

  it('not within 100 ms of the last scheduled reseed', () => {
    const { clock, takeDue } = classic();
    expect(takeDue()).toEqual([0]);
    clock.ms = 99.999;
    expect(takeDue()).toEqual([]);
    clock.ms = 100;
    expect(takeDue()).toEqual([0, 1]);
  });

  it('past bug, FreeBSD: pacing once blocked the first seed: the first reseed waits for no clock', () => {
    for (const start of [0, -1e9, 1e15]) expect(classic(start).takeDue()).toEqual([0]);
  });

  it('what is not due is not counted: asking too early, however often, moves nothing', () => {
    const { clock, takeDue } = classic();
    takeDue();
    for (let index = 0; index < 1000; index++) expect(takeDue()).toEqual([]);
    for (let index = 0; index < 1000; index++) expect(takeDue(0)).toEqual([]);
    clock.ms = 100;
    expect(takeDue()).toEqual([0, 1]);
  });

  it('past bug, pycrypto: a clock set back blocked reseeds: here by 100 ms at most', () => {
    const { clock, takeDue } = classic(1e12);
    takeDue();
    clock.ms = 5; // decades earlier
    expect(takeDue()).toEqual([]);
    clock.ms = 104;
    expect(takeDue()).toEqual([]);
    clock.ms = 105;
    expect(takeDue()).toEqual([0, 1]);
  });

  it('at most ten reseeds a second, whatever a clock that does not go back does', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 250, noNaN: true }), { maxLength: 200 }), (steps) => {
        const { clock, takeDue } = classic();
        const reseedsMs: number[] = [];
        for (const step of steps) {
          clock.ms += step;
          if (takeDue().length > 0) reseedsMs.push(clock.ms);
        }
        for (const [index, ms] of reseedsMs.entries()) {
          if (index > 0) expect(ms - (reseedsMs[index - 1] ?? 0)).toBeGreaterThanOrEqual(100);
        }
      }),
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses a clock that says %s, and counts nothing',
    (ms) => {
      const { clock, takeDue } = classic();
      takeDue();
      clock.ms = ms;
      expect(() => takeDue()).toThrow(RangeError);
      clock.ms = 100;
      expect(takeDue()).toEqual([0, 1]);
    },
  );
});

describe('classic: where', () => {
  it('the n-th event of a source goes to pool n mod 32, whatever the others do', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 500 }), (sources) => {
        const { schedule } = classic();
        const counts = new Map<number, number>();
        for (const source of sources) {
          const n = counts.get(source) ?? 0;
          expect(schedule.place(source)).toBe(n % 32);
          counts.set(source, n + 1);
        }
      }),
    );
  });

  it('walks on through drains', () => {
    const { schedule, takeDue } = classic();
    schedule.place(1);
    takeDue();
    expect(schedule.place(1)).toBe(1);
  });

  it.each([-1, 256, 0.5, Number.NaN])('refuses source %d, and moves nobody', (source) => {
    const { schedule } = classic();
    expect(() => schedule.place(source)).toThrow(RangeError);
    for (let source = 0; source < 256; source++) expect(schedule.place(source)).toBe(0);
  });
});
