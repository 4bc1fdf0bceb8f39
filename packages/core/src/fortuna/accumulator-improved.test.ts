import { describe, expect, it } from 'vitest';
import type { Part } from '../encoding.js';
import { Accumulator } from './accumulator.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const SEED: Part[] = [{ label: 'os', bytes: new Uint8Array(32) }];
/** A source that only the tests' own filling uses. */
const FILLER = 250;
const TICK_EVENTS = 18;

/** An accumulator whose clock is set by hand, and the way to its next tick. */
function bench() {
  const clock = { ms: 0 };
  const accumulator = new Accumulator({ schedule: 'improved', monotonicMs: () => clock.ms });
  const events = (count: number): void => {
    for (let event = 0; event < count; event++) {
      clock.ms += 10;
      accumulator.add(FILLER, Uint8Array.of(0));
    }
  };
  const tick = (): void => events(TICK_EVENTS);
  return { accumulator, clock, events, tick };
}

function seededBench() {
  const all = bench();
  all.accumulator.reseedDirect('boot', SEED);
  return all;
}

/** What is read at once (index 0) and after each of the next ticks. */
function outputs({ accumulator, tick }: ReturnType<typeof bench>, ticks: number): string[] {
  const all = [hex(accumulator.generate(32))];
  for (let k = 0; k < ticks; k++) {
    tick();
    all.push(hex(accumulator.generate(32)));
  }
  return all;
}

describe('improved: seeding', () => {
  it('nothing is generated before it, however many ticks have passed', () => {
    const { accumulator, tick } = bench();
    for (let k = 0; k < 30; k++) tick();
    expect(accumulator.reseedIfDue()).toBe(false);
    for (const call of [() => accumulator.generate(32), () => accumulator.rekeySchedule()]) {
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_NOT_SEEDED' }));
    }
  });

  it('an event heard before it, in whatever pool, changes all output', () => {
    for (let before = 0; before < 6; before++) {
      const run = (last: number): string[] => {
        const all = bench();
        for (let k = 0; k < 30; k++) all.tick(); // four pools
        for (let n = 0; n < before; n++) all.accumulator.add(7, Uint8Array.of(0));
        all.accumulator.add(7, Uint8Array.of(last));
        all.accumulator.reseedDirect('boot', SEED);
        return outputs(all, 2);
      };
      const [a, b] = [run(1), run(2)];
      expect(a.filter((output, index) => output === b[index])).toEqual([]);
    }
  });

  it('drains all pools, so what was due before it is not drained once more', () => {
    const { accumulator, tick } = bench();
    for (let k = 0; k < 30; k++) tick();
    accumulator.reseedDirect('boot', SEED);
    expect(accumulator.reseedIfDue()).toBe(false);
    tick();
    expect(accumulator.reseedIfDue()).toBe(true);
  });
});

describe('improved: draining', () => {
  it('an event changes nothing before the drain of its pool and all after it; a round reaches each pool once', () => {
    // After 9 ticks there are 3 pools: pool 0 is drained on tick 10, pool 1 on 12, pool 2 on 18.
    const firstChanged = [0, 1, 2].map((n) => {
      const run = (last: number): string[] => {
        const all = seededBench();
        for (let k = 0; k < 9; k++) all.tick();
        all.accumulator.generate(0);
        for (let event = 0; event < n; event++) all.accumulator.add(7, Uint8Array.of(0));
        all.accumulator.add(7, Uint8Array.of(last));
        for (let event = n + 1; event < 3; event++) all.accumulator.add(7, Uint8Array.of(0));
        return outputs(all, 12);
      };
      const [a, b] = [run(1), run(2)];
      const first = a.findIndex((output, index) => output !== b[index]);
      expect(a.slice(first).filter((output, index) => output === b[first + index])).toEqual([]);
      return first;
    });
    expect(firstChanged.toSorted((a, b) => a - b)).toEqual([1, 3, 9]);
  });

  it('adding never reseeds; the next read does, once, however many ticks have passed', () => {
    const { accumulator, tick } = seededBench();
    for (let k = 0; k < 1_000; k++) tick();
    expect(accumulator.reseedCount).toBe(1);
    accumulator.generate(1);
    expect(accumulator.reseedCount).toBe(2);
    accumulator.generate(1);
    expect(accumulator.reseedCount).toBe(2);
  });

  it('past bug, pycrypto: a clock set back blocked reseeds: here for a second at most', () => {
    const { accumulator, clock } = seededBench();
    clock.ms = 1e12;
    const flood = (): void => {
      for (let event = 0; event < 1_000; event++) accumulator.add(1, Uint8Array.of(1));
    };
    flood();
    expect(accumulator.reseedIfDue()).toBe(true);
    clock.ms = 5;
    flood();
    expect(accumulator.reseedIfDue()).toBe(false);
    clock.ms = 1_005;
    flood();
    expect(accumulator.reseedIfDue()).toBe(true);
  });

  it('a clock that gives no number refuses the event and loses nothing that was there', () => {
    const [touched, clean] = [seededBench(), seededBench()];
    const { ms } = touched.clock;
    touched.clock.ms = Number.NaN;
    expect(() => touched.accumulator.add(1, Uint8Array.of(1))).toThrow(RangeError);
    touched.clock.ms = ms;
    expect(outputs(touched, 9)).toEqual(outputs(clean, 9));
  });
});

describe('improved: the bypass', () => {
  it('drains no pool and moves no tick: events appear with the drain of their pool, neither sooner nor later', () => {
    const run = (bypasses: number, last: number): string[] => {
      const all = seededBench();
      for (let k = 0; k < 9; k++) all.tick();
      all.accumulator.generate(0);
      for (let n = 0; n < 3; n++) all.accumulator.add(7, Uint8Array.of(last));
      return Array.from({ length: 12 }, () => {
        for (let time = 0; time < bypasses; time++) {
          all.accumulator.reseedDirect('beacon', [{ label: 'beacon/a', bytes: Uint8Array.of(1) }]);
        }
        const output = hex(all.accumulator.generate(32));
        all.tick();
        return output;
      });
    };
    for (const bypasses of [0, 1, 50]) {
      const [a, b] = [run(bypasses, 1), run(bypasses, 2)];
      // Pool 0 is drained on the tenth tick.
      expect(a.findIndex((output, index) => output !== b[index])).toBe(1);
    }
  });

  it('of thousands between two ticks leaves the count of scheduled reseeds as it is', () => {
    const scheduled = (bypasses: number): number => {
      const { accumulator, events } = seededBench();
      for (let turn = 0; turn < 100; turn++) {
        events(5);
        for (let time = 0; time < bypasses; time++) accumulator.reseedDirect('resume', SEED);
        accumulator.reseedIfDue();
      }
      return accumulator.reseedCount - accumulator.directReseedCount;
    };
    expect(scheduled(0)).toBe(Math.floor(500 / TICK_EVENTS));
    expect(scheduled(20)).toBe(scheduled(0));
  });
});

describe('improved: the key of the order', () => {
  it('is renewed by rekeySchedule from root output, which drains nothing and is no reseed', () => {
    const { accumulator, events } = seededBench();
    events(17);
    const generation = accumulator.generation;
    accumulator.rekeySchedule();
    expect(accumulator.generation).toBe(generation);
    expect(accumulator.reseedIfDue()).toBe(false);
    events(1);
    expect(accumulator.reseedIfDue()).toBe(true);
  });

  it('parts two copies of one machine when their roots have parted', () => {
    // Two restores of one snapshot: the same events then lie in different pools, seen by which tick brings them out.
    const firstChanged = (beacon: number): number[] =>
      Array.from({ length: 40 }, (_, n) => {
        const run = (last: number): string[] => {
          const all = seededBench();
          for (let k = 0; k < 9; k++) all.tick();
          all.accumulator.generate(0);
          all.accumulator.reseedDirect('resume', [{ label: 'whirlwind', bytes: Uint8Array.of(beacon) }]);
          all.accumulator.rekeySchedule();
          for (let event = 0; event < 40; event++) {
            all.accumulator.add(7, Uint8Array.of(event === n ? last : 0));
          }
          return outputs(all, 9);
        };
        const [a, b] = [run(1), run(2)];
        return a.findIndex((output, index) => output !== b[index]);
      });
    const one = firstChanged(1);
    expect(firstChanged(1)).toEqual(one);
    expect(firstChanged(2)).not.toEqual(one);
  });

  it('does not change what the classic schedule gives out: it has none', () => {
    const run = (rekeys: number): string => {
      const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
      accumulator.reseedDirect('boot', SEED);
      for (let time = 0; time < rekeys; time++) accumulator.rekeySchedule();
      return hex(accumulator.generate(32));
    };
    expect(run(3)).toBe(run(0));
  });
});

describe('improved: the whole', () => {
  const run = (bytes: Uint8Array): string[] => {
    const { accumulator, clock } = bench();
    accumulator.add(3, bytes);
    accumulator.reseedDirect('boot', [{ label: 'os', bytes }]);
    return Array.from({ length: 600 }, (_, index) => {
      accumulator.add(index % 5, Buffer.concat([bytes, Buffer.from([index % 256])]));
      clock.ms += 3;
      return hex(accumulator.generate(16));
    });
  };

  it('is reproducible when all of it is fixed', () => {
    expect(run(new Uint8Array(32))).toEqual(run(new Uint8Array(32)));
  });

  it('and differs when one bit is not (so that the experiment can fail)', () => {
    const [a, b] = [run(new Uint8Array(32)), run(new Uint8Array(32).with(31, 1))];
    expect(a.filter((output, index) => output === b[index])).toEqual([]);
  });

  it('throws at every call once destroyed', () => {
    const { accumulator } = seededBench();
    accumulator.destroy();
    accumulator.destroy();
    for (const call of [
      () => accumulator.add(0, Uint8Array.of(1)),
      () => accumulator.generate(1),
      () => accumulator.reseedIfDue(),
      () => accumulator.rekeySchedule(),
    ]) {
      expect(call).toThrow(TypeError);
    }
  });
});
