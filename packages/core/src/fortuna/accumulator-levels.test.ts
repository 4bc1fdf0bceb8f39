import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Part } from '../encoding.js';
import { Accumulator, type PoolLevel, type Reseed } from './accumulator.js';
import { classicDue } from './schedule.js';

const SEED: Part[] = [{ label: 'os', bytes: new Uint8Array(32) }];
const SECRET = Uint8Array.from({ length: 32 }, (_, index) => 0xa0 + index);

function noting(schedule: 'classic' | 'improved') {
  const clock = { ms: 0 };
  const reseeds: Reseed[] = [];
  const accumulator = new Accumulator({
    schedule,
    monotonicMs: () => clock.ms,
    onReseed: (reseed) => reseeds.push(reseed),
  });
  return { accumulator, clock, reseeds };
}

describe('what an accumulator lets anybody know', () => {
  it('levels and sources follow the book: as a model that keeps every event in a list', () => {
    const step = fc.oneof(
      fc.record({ source: fc.integer({ min: 0, max: 255 }), events: fc.integer({ min: 1, max: 80 }) }),
      fc.constant('read' as const),
      fc.constant('beacon' as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { accumulator, clock, reseeds } = noting('classic');
        accumulator.reseedDirect('seed', SEED);
        const told: Reseed[] = [{ sources: [], labels: ['os'] }];
        const pools: { source: number; bytes: number }[][] = Array.from({ length: 32 }, () => []);
        const drains = pools.map(() => 1);
        const heard = new Map<number, number>();
        const sum = (pool: { bytes: number }[] = []): number =>
          pool.reduce((all, { bytes }) => all + bytes, 0);
        let scheduled = 0;
        for (const one of steps) {
          clock.ms += 100;
          if (one === 'beacon') {
            accumulator.reseedDirect('beacon', [{ label: 'beacon/relay', bytes: SECRET }]);
            told.push({ sources: [], labels: ['beacon/relay'] });
          } else if (one === 'read') {
            accumulator.generate(1);
            if (sum(pools[0]) < 64) continue;
            scheduled += 1;
            const due = classicDue(scheduled);
            const sources = new Set(due.flatMap((pool) => (pools[pool] ?? []).map(({ source }) => source)));
            told.push({ sources: [...sources].sort((a, b) => a - b), labels: [] });
            for (const pool of due) {
              pools[pool] = [];
              drains[pool] = (drains[pool] ?? 0) + 1;
            }
          } else {
            for (let event = 0; event < one.events; event++) {
              const position = heard.get(one.source) ?? 0;
              heard.set(one.source, position + 1);
              accumulator.add(one.source, SECRET);
              pools[position % 32]?.push({ source: one.source, bytes: 34 });
            }
          }
        }
        expect(accumulator.pools).toEqual(
          pools.map((pool, index): PoolLevel => ({ lengthBytes: sum(pool), drainCount: drains[index] ?? 0 })),
        );
        expect(reseeds).toEqual(told);
        expect(reseeds.length).toBe(accumulator.reseedCount);
      }),
    );
  });

  it('the first seeding tells of everybody who was heard before it, and of parts that had bytes', () => {
    const { accumulator, reseeds } = noting('improved');
    accumulator.add(9, Uint8Array.of(1));
    accumulator.add(4, Uint8Array.of(1));
    accumulator.reseedDirect('seed', [
      { label: 'camera/wall', bytes: SECRET },
      { label: 'feed/office', bytes: undefined },
      { label: 'seed', bytes: new Uint8Array(0) },
      { label: 'os', bytes: SECRET },
    ]);
    expect(reseeds).toEqual([{ sources: [4, 9], labels: ['camera/wall', 'os'] }]);
  });

  it('improved: shows the pools in use, the tick, and of whom a drain was', () => {
    const { accumulator, clock, reseeds } = noting('improved');
    accumulator.reseedDirect('seed', SEED);
    expect(accumulator.pools).toEqual([{ lengthBytes: 0, drainCount: 1 }]);
    expect(accumulator.tick).toBe(0);
    const tick = (source: number): void => {
      for (let event = 0; event < 18; event++) {
        clock.ms += 10;
        accumulator.add(source, Uint8Array.of(0));
      }
    };
    tick(7);
    expect(accumulator.tick).toBe(1);
    expect(accumulator.pools).toEqual([{ lengthBytes: 18 * 3, drainCount: 1 }]);
    accumulator.generate(1);
    expect(accumulator.pools).toEqual([{ lengthBytes: 0, drainCount: 2 }]);
    tick(8);
    tick(7);
    expect(accumulator.pools).toHaveLength(2);
    accumulator.generate(1);
    expect(reseeds.slice(1)).toEqual([
      { sources: [7], labels: [] },
      { sources: [7, 8], labels: [] },
    ]);
    // From here on an event may lie in a pool that is not due: over a whole round of the deepest, each is told of.
    for (let k = 0; k < 6; k++) tick(3);
    accumulator.generate(1);
    expect(reseeds.at(-1)).toEqual({ sources: [3], labels: [] });
  });

  it('classic has no ticks, and 32 pools from the beginning', () => {
    const { accumulator } = noting('classic');
    expect(accumulator.tick).toBeUndefined();
    expect(accumulator.pools).toHaveLength(32);
  });

  it('is told after the reseed, never when there was none, and holds no byte of what was heard', () => {
    const seen: string[] = [];
    const accumulator: Accumulator = new Accumulator({
      schedule: 'improved',
      monotonicMs: () => 0,
      onReseed: () => seen.push(`${accumulator.reseedCount} ${accumulator.seeded}`),
    });
    expect(() => accumulator.reseedDirect('seed', [])).toThrow(RangeError);
    expect(accumulator.reseedIfDue()).toBe(false);
    expect(seen).toEqual([]);
    accumulator.add(1, SECRET);
    accumulator.reseedDirect('seed', SEED);
    expect(seen).toEqual(['1 true']);
    accumulator.generate(16);
    expect(seen).toHaveLength(1);
    expect(JSON.stringify(accumulator.pools)).toBe('[{"lengthBytes":0,"drainCount":1}]');
  });

  it('stays readable once destroyed', () => {
    const { accumulator } = noting('improved');
    accumulator.add(1, SECRET);
    accumulator.destroy();
    expect(accumulator.pools).toEqual([{ lengthBytes: 0, drainCount: 0 }]);
    expect(accumulator.tick).toBe(0);
  });
});
