import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventRate } from './event-rate.js';
import { improvedSchedule, TICK_EVENTS } from './improved-schedule.js';
import { KeyedOrder } from './keyed-order.js';

const SOURCE = 1;
const UNKEYED = 0;
/** Twice the time a source within its rate needs between two events, so that every event counts. */
const AMPLE_MS = 20;
const sorted = (pools: readonly number[]): number[] => pools.toSorted((a, b) => a - b);
const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, index) => index);

function improved(key = 1) {
  const clock = { ms: 0 };
  const schedule = improvedSchedule({ monotonicMs: () => clock.ms });
  if (key !== UNKEYED) schedule.rekey(() => new Uint8Array(32).fill(key));
  /** So many counted events of one source. */
  const events = (count: number, source = SOURCE): number[] =>
    Array.from({ length: count }, () => {
      clock.ms += AMPLE_MS;
      return schedule.place(source);
    });
  const due = (): readonly number[] => schedule.takeDue(() => 0);
  return { clock, schedule, events, due };
}

/** The deepest pool that is due on tick k, as DESIGN 6.3 writes it. */
function writtenDepth(k: number): number {
  return Math.max(...upTo(20).filter((i) => k % 3 ** i === 0));
}

/** Active pools from tick k on: pool i from tick 3^i, pool 0 always. */
function writtenActive(k: number): number {
  return Math.max(1, ...upTo(17).map((i) => (k >= 3 ** i ? i + 1 : 0)));
}

describe('improved: which pools', () => {
  it('drains 0 … max{ i : 3^i | k } on tick k, for the ticks 1 … 3^8', () => {
    const { events, due } = improved();
    const joined = upTo(9).map(() => 0);
    for (let k = 1; k <= 3 ** 8; k++) {
      events(TICK_EVENTS);
      const pools = due();
      expect(pools).toEqual(upTo(writtenDepth(k)));
      for (const pool of pools) joined[pool] = (joined[pool] ?? 0) + 1;
    }
    expect(joined).toEqual([6561, 2187, 729, 243, 81, 27, 9, 3, 1, 0]);
  });

  it('past bug, SJCL: a counter that could never hit its test value: pool i is seen to take events from tick 3^i on', () => {
    const { events } = improved();
    const firstUsed = new Map<number, number>();
    for (let k = 0; k < 3 ** 7; k++) {
      for (const pool of events(TICK_EVENTS)) if (!firstUsed.has(pool)) firstUsed.set(pool, k);
    }
    // Within the first 18 events after tick 3^i every one of A ≤ 8 pools has its turn.
    for (const pool of upTo(6)) expect(firstUsed.get(pool)).toBe(pool === 0 ? 0 : 3 ** pool);
    expect(firstUsed.size).toBe(7);
  });

  it('merges whatever ticks have passed since the last read into one drain, as deep as the deepest of them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 90 }), { maxLength: 20 }), (reads) => {
        const { events, due } = improved();
        let k = 0;
        for (const ticks of reads) {
          events(ticks * TICK_EVENTS);
          const passed = upTo(ticks - 1).map((tick) => writtenDepth(k + 1 + tick));
          expect(due()).toEqual(passed.length === 0 ? [] : upTo(Math.max(...passed)));
          expect(due()).toEqual([]);
          k += ticks;
        }
      }),
    );
  });

  it('takes 18 events for a tick, not 17, whatever the number of active pools', () => {
    const { events, due } = improved();
    for (let k = 1; k <= 100; k++) {
      events(17);
      expect(due()).toEqual([]);
      events(1);
      expect(due()).not.toEqual([]);
    }
  });

  it('asks for a new key when the deepest active pool is drained, and then only', () => {
    const { schedule, events, due } = improved();
    for (let k = 1; k <= 3 ** 6; k++) {
      events(TICK_EVENTS);
      due();
      expect(schedule.rekeyDue).toBe(k % 3 ** (writtenActive(k) - 1) === 0);
    }
    due();
    expect(schedule.rekeyDue).toBe(false);
  });

  it('forgets what was due, and nothing else, when all pools were drained at once', () => {
    const { schedule, events, due } = improved();
    events(8 * TICK_EVENTS + 17);
    schedule.allDrained();
    expect(due()).toEqual([]);
    events(1);
    expect(due()).toEqual([0, 1, 2]);
  });
});

describe('improved: where', () => {
  it('puts each active pool exactly once among A events of one source, while A grows from 1 to 8', () => {
    const { events } = improved();
    const pools = events(TICK_EVENTS * (3 ** 7 + 100));
    let rounds = 0;
    for (let n = 0; n + 8 <= pools.length; n++) {
      const active = writtenActive(Math.floor(n / TICK_EVENTS));
      const last = n + active - 1;
      if (n % active !== 0 || writtenActive(Math.floor(last / TICK_EVENTS)) !== active) continue;
      expect(sorted(pools.slice(n, n + active))).toEqual(upTo(active - 1));
      rounds += 1;
    }
    expect(rounds).toBeGreaterThan(5_000);
  });

  it('an attacker who interleaves any pattern of his own events, knowing sk, moves no honest event', () => {
    const attack = fc.array(
      fc.record({
        source: fc.integer({ min: 2, max: 255 }),
        times: fc.integer({ min: 0, max: 150 }),
        waitMs: fc.constantFrom(0, 1, 10, 1000),
      }),
      { minLength: 30, maxLength: 120 },
    );
    fc.assert(
      fc.property(attack, (attack) => {
        const { clock, schedule } = improved(7);
        // The honest source without him. All that is left to him is the number of pools, which rises 17 times in all.
        const alone = new KeyedOrder();
        alone.rekey(new Uint8Array(32).fill(7));
        const rate = new EventRate(() => clock.ms);
        let counted = 0;
        let active = 1;
        const heard = (source: number): void => {
          if (rate.counts(source)) counted += 1;
          const now = writtenActive(Math.floor(counted / TICK_EVENTS));
          if (now !== active) alone.activate(now);
          active = now;
        };
        for (const { source, times, waitMs } of attack) {
          clock.ms += waitMs;
          for (let time = 0; time < times; time++) {
            schedule.place(source);
            heard(source);
          }
          expect(schedule.place(SOURCE)).toBe(alone.next(SOURCE));
          heard(SOURCE);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('before the first key walks 0, 1, 2, …', () => {
    const { events } = improved(UNKEYED);
    expect(events(TICK_EVENTS * 27).slice(TICK_EVENTS * 9, TICK_EVENTS * 9 + 6)).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it.each([-1, 256, 0.5, Number.NaN])('refuses source %d, and moves nobody', (source) => {
    const [touched, clean] = [improved(), improved()];
    for (const { events } of [touched, clean]) events(TICK_EVENTS * 9 - 1);
    expect(() => touched.schedule.place(source)).toThrow(RangeError);
    expect(touched.events(40)).toEqual(clean.events(40));
    expect(touched.due()).toEqual(clean.due());
  });

  it('refuses a clock that gives no number, and moves nobody', () => {
    const [touched, clean] = [improved(), improved()];
    for (const { events } of [touched, clean]) events(TICK_EVENTS * 9 - 1);
    const { ms } = touched.clock;
    touched.clock.ms = Number.NaN;
    expect(() => touched.schedule.place(SOURCE)).toThrow(RangeError);
    touched.clock.ms = ms;
    expect(touched.events(40)).toEqual(clean.events(40));
    expect(touched.due()).toEqual(clean.due());
  });
});

describe('improved: when', () => {
  it.each([1, 3, 16])(
    'who floods with %d sources brings pool i no nearer than 3^i · 18 / (100 · sources) seconds',
    (sources) => {
      const { clock, schedule, due } = improved();
      const seconds = 60;
      const drains = upTo(17).map(() => 0);
      for (let turn = 0; turn < seconds * 100; turn++) {
        for (let event = 0; event < 20 * sources; event++) {
          schedule.place(2 + (event % sources));
          for (const pool of due()) drains[pool] = (drains[pool] ?? 0) + 1;
        }
        clock.ms += 10;
      }
      const mostTicks = (100 * sources * seconds) / TICK_EVENTS;
      for (const [pool, count] of drains.entries()) expect(count).toBeLessThanOrEqual(mostTicks / 3 ** pool);
      // And the flood does reach the bound, or nearly: the test would see a flood that goes further.
      expect(drains[0]).toBeGreaterThan(0.8 * mostTicks);
    },
  );

  it('a flood within one moment moves 100 events a source and no more', () => {
    const { schedule, due } = improved();
    for (let event = 0; event < 100_000; event++) schedule.place(1);
    expect(due()).toEqual([0, 1]); // ticks 1 … 5
    for (let event = 0; event < 100_000; event++) schedule.place(1);
    expect(due()).toEqual([]);
  });

  it('events that do not count still walk the pools', () => {
    const { schedule } = improved();
    for (let event = 0; event < 100; event++) schedule.place(1); // 5 ticks: two pools
    const pools = Array.from({ length: 20 }, () => schedule.place(1));
    for (let n = 0; n < 20; n += 2) expect(sorted(pools.slice(n, n + 2))).toEqual([0, 1]);
  });

  it('past bug, pycrypto: a clock set back blocked reseeds: here for a second at most, and only whoever spent his 100', () => {
    const { clock, schedule, due } = improved();
    clock.ms = 1e12;
    for (let event = 0; event < 1_000; event++) schedule.place(1);
    due();
    clock.ms = 5; // decades earlier
    for (let event = 0; event < TICK_EVENTS; event++) schedule.place(2);
    expect(due()).toEqual([0, 1]); // tick 6
    clock.ms = 1_005;
    for (let event = 0; event < 1_000; event++) schedule.place(1);
    expect(due()).toEqual([0, 1, 2]); // ticks 7 … 11
  });
});
