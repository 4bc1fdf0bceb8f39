import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Part } from '../encoding.js';
import { Accumulator } from './accumulator.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const SEED: Part[] = [{ label: 'os', bytes: new Uint8Array(32) }];
/** A source that only the tests' own filling uses. */
const FILLER = 250;

/** An accumulator with a clock that is set by hand, and two ways to get to the next reseed. */
function bench(startMs = 0) {
  const clock = { ms: startMs };
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => clock.ms });
  /** Two rounds through the pools: 68 bytes more in each. */
  const fill = (): void => {
    for (let n = 0; n < 64; n++) accumulator.add(FILLER, new Uint8Array(32));
  };
  const scheduledReseed = (): void => {
    fill();
    clock.ms += 100;
    if (!accumulator.reseedIfDue()) throw new Error('the test did not reach its reseed');
  };
  return { accumulator, clock, fill, scheduledReseed };
}

function seededBench() {
  const all = bench();
  all.accumulator.reseedDirect('boot', SEED);
  return all;
}

/** Output before any scheduled reseed (index 0) and after each of the next `count`. */
function outputs({ accumulator, scheduledReseed }: ReturnType<typeof bench>, count: number): string[] {
  const all = [hex(accumulator.generate(32))];
  for (let reseed = 1; reseed <= count; reseed++) {
    scheduledReseed();
    all.push(hex(accumulator.generate(32)));
  }
  return all;
}

describe('seeding', () => {
  it('generates nothing before the first direct reseed, even if the pools are full', () => {
    const { accumulator, clock, fill } = bench();
    for (let round = 0; round < 10; round++) fill();
    clock.ms += 1e6;
    expect(accumulator.reseedIfDue()).toBe(false);
    expect(accumulator.seeded).toBe(false);
    for (const length of [0, 1, 32]) {
      expect(() => accumulator.generate(length)).toThrow(expect.objectContaining({ code: 'ERR_NOT_SEEDED' }));
    }
    expect(accumulator.reseedCount).toBe(0);

    accumulator.reseedDirect('boot', SEED);
    expect(accumulator.seeded).toBe(true);
    expect(accumulator.generate(32).length).toBe(32);
  });

  it('an event heard before it, in whatever pool, changes all output', () => {
    for (let pool = 0; pool < 32; pool++) {
      const run = (last: number): string[] => {
        const all = bench();
        for (let n = 0; n < pool; n++) all.accumulator.add(7, Uint8Array.of(0));
        all.accumulator.add(7, Uint8Array.of(last));
        all.accumulator.reseedDirect('boot', SEED);
        return outputs(all, 2);
      };
      const [a, b] = [run(1), run(2)];
      expect(a.filter((output, index) => output === b[index])).toEqual([]);
    }
  });

  it('refuses to be seeded from nothing, and stays unseeded with its pools', () => {
    const touched = bench();
    const clean = bench();
    for (const { accumulator } of [touched, clean]) accumulator.add(1, Uint8Array.of(1));
    for (const parts of [
      [],
      [{ label: 'os', bytes: undefined }],
      [{ label: 'os', bytes: new Uint8Array(0) }],
    ]) {
      expect(() => touched.accumulator.reseedDirect('boot', parts)).toThrow(RangeError);
    }
    expect(touched.accumulator.seeded).toBe(false);
    for (const { accumulator } of [touched, clean]) accumulator.reseedDirect('boot', SEED);
    expect(outputs(touched, 4)).toEqual(outputs(clean, 4));
  });

  it('past bug, node-forge: the seed spread one character a pool, so pool 0 decided everything: here every byte counts at once', () => {
    const seed = Uint8Array.from({ length: 64 }, (_, index) => index);
    const first = (bytes: Uint8Array): string => {
      const { accumulator } = bench();
      accumulator.reseedDirect('boot', [{ label: 'os', bytes }]);
      return hex(accumulator.generate(32));
    };
    const changed = Array.from(seed.keys(), (at) =>
      first(seed.map((byte, index) => (index === at ? byte ^ 1 : byte))),
    );
    expect(new Set([first(seed), ...changed]).size).toBe(65);
  });

  it('and every byte of an event lies in the same pool', () => {
    const event = Uint8Array.from({ length: 100 }, (_, index) => index);
    const run = (bytes: Uint8Array): string[] => {
      const all = seededBench();
      all.accumulator.add(7, bytes);
      return outputs(all, 1);
    };
    const [before, after] = run(event);
    for (const at of [0, 1, 31, 32, 33, 99]) {
      const [changedBefore, changedAfter] = run(event.map((byte, index) => (index === at ? byte ^ 1 : byte)));
      expect(changedBefore).toBe(before);
      expect(changedAfter).not.toBe(after);
    }
  });
});

describe('pools', () => {
  it.each([0, 1, 2, 3, 4, 5])(
    'an event in pool %d changes no output before the reseed that drains it, and every one after',
    (pool) => {
      const run = (last: number): string[] => {
        const all = seededBench();
        for (let n = 0; n < pool; n++) all.accumulator.add(7, Uint8Array.of(0));
        all.accumulator.add(7, Uint8Array.of(last));
        return outputs(all, 40);
      };
      const [a, b] = [run(1), run(2)];
      const same = a.map((output, index) => output === b[index]);
      expect(same).toEqual(a.map((_, reseed) => reseed < 2 ** pool));
    },
  );

  it('the n-th event of a source lands in pool n mod 32, whatever others do between', () => {
    const chatter = fc.array(fc.tuple(fc.integer({ min: 0, max: 249 }), fc.integer({ min: 1, max: 40 })), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(fc.constantFrom(0, 1, 2, 3, 4, 32, 33, 34, 64), chatter, (n, chatter) => {
        const run = (last: number): [number, string][] => {
          const { accumulator, scheduledReseed } = seededBench();
          for (let event = 0; event < n; event++) {
            const [source, times] = chatter[event % (chatter.length + 1)] ?? [0, 0];
            for (let time = 0; time < times; time++)
              accumulator.add(source === 7 ? 8 : source, Uint8Array.of(5));
            accumulator.add(7, Uint8Array.of(0));
          }
          accumulator.add(7, Uint8Array.of(last));
          // Enough chatter makes the first read a reseed, so each output stands beside its count of scheduled reseeds.
          return Array.from({ length: 17 }, (_, turn) => {
            if (turn > 0) scheduledReseed();
            const output = hex(accumulator.generate(32));
            return [accumulator.reseedCount - accumulator.directReseedCount, output];
          });
        };
        const [a, b] = [run(1), run(2)];
        for (const [turn, [reseeds, output]] of a.entries()) {
          expect(output === b[turn]?.[1]).toBe(reseeds < 2 ** (n % 32));
        }
        expect(a.at(-1)?.[0]).toBeGreaterThanOrEqual(16);
      }),
      { numRuns: 40 },
    );
  });

  it('an event names its source: the same bytes from another one give other output', () => {
    const run = (source: number): string[] => {
      const all = seededBench();
      all.accumulator.add(source, Uint8Array.of(1));
      return outputs(all, 1);
    };
    expect(run(1)[1]).not.toBe(run(2)[1]);
  });

  it('an event is copied', () => {
    const run = (overwrite: boolean): string[] => {
      const all = seededBench();
      const event = Uint8Array.of(1, 2, 3);
      all.accumulator.add(1, event);
      if (overwrite) event.fill(9);
      return outputs(all, 1);
    };
    expect(run(true)).toEqual(run(false));
  });
});

describe('the limiter', () => {
  it('lets a reseed happen every 100 ms and not sooner, however full pool 0 is', () => {
    const { accumulator, clock, fill } = seededBench();
    fill();
    expect(accumulator.reseedIfDue()).toBe(true);
    fill();
    clock.ms += 99;
    expect(accumulator.reseedIfDue()).toBe(false);
    accumulator.generate(32);
    expect(accumulator.reseedCount).toBe(2);
    clock.ms += 1;
    accumulator.generate(32);
    expect(accumulator.reseedCount).toBe(3);
  });

  it('past bug, pycrypto: a clock set back blocked reseeds: here for 100 ms, not for ever', () => {
    const { accumulator, clock, fill } = bench(1e12);
    accumulator.reseedDirect('boot', SEED);
    fill();
    expect(accumulator.reseedIfDue()).toBe(true);
    fill();
    clock.ms = 0;
    expect(accumulator.reseedIfDue()).toBe(false);
    clock.ms = 100;
    expect(accumulator.reseedIfDue()).toBe(true);
  });

  it('past bug, pycrypto (CVE-2013-1445): the limiter made forked children repeat: the bypass does not ask it', () => {
    const child = (pid: number): string => {
      const { accumulator, fill } = seededBench();
      fill();
      accumulator.reseedIfDue(); // the limiter is closed from here on, and the clock stands still
      fill();
      accumulator.reseedDirect('fork', [{ label: 'process', bytes: Uint8Array.of(pid) }]);
      return hex(accumulator.generate(32));
    };
    expect(child(1)).not.toBe(child(2));
    expect(child(1)).toBe(child(1));
  });
});

describe('the bypass', () => {
  it('changes the next byte', () => {
    const { accumulator } = seededBench();
    const other = seededBench().accumulator;
    accumulator.reseedDirect('beacon', [{ label: 'beacon/a', bytes: Uint8Array.of(1) }]);
    other.reseedDirect('beacon', [{ label: 'beacon/a', bytes: Uint8Array.of(2) }]);
    expect(hex(accumulator.generate(32))).not.toBe(hex(other.generate(32)));
  });

  it('leaves pools and schedule untouched: an event still appears at the reseed of its pool, neither sooner nor later', () => {
    for (const pool of [0, 1, 2, 3]) {
      const run = (last: number): string[] => {
        const all = seededBench();
        const bypass = (): void =>
          all.accumulator.reseedDirect('beacon', [{ label: 'beacon/a', bytes: Uint8Array.of(1) }]);
        for (let n = 0; n < pool; n++) all.accumulator.add(7, Uint8Array.of(0));
        all.accumulator.add(7, Uint8Array.of(last));
        const seen: string[] = [];
        for (let reseed = 0; reseed <= 10; reseed++) {
          if (reseed > 0) all.scheduledReseed();
          for (let time = 0; time < 5; time++) bypass();
          seen.push(hex(all.accumulator.generate(32)));
        }
        return seen;
      };
      const [a, b] = [run(1), run(2)];
      expect(a.findIndex((output, index) => output !== b[index])).toBe(2 ** pool);
    }
  });

  it('does not set back the limiter', () => {
    const { accumulator, clock, fill } = seededBench();
    fill();
    accumulator.reseedIfDue();
    fill();
    clock.ms += 100;
    accumulator.reseedDirect('beacon', SEED);
    expect(accumulator.reseedIfDue()).toBe(true);
  });

  it('counts apart, and raises the generation like any reseed', () => {
    const { accumulator, scheduledReseed } = bench();
    const counts = (): number[] => [
      accumulator.reseedCount,
      accumulator.directReseedCount,
      accumulator.generation,
    ];
    expect(counts()).toEqual([0, 0, 0]);
    accumulator.reseedDirect('boot', SEED);
    expect(counts()).toEqual([1, 1, 1]);
    scheduledReseed();
    expect(counts()).toEqual([2, 1, 2]);
    accumulator.reseedDirect('beacon', SEED);
    expect(counts()).toEqual([3, 2, 3]);
    accumulator.generate(32);
    expect(counts()).toEqual([3, 2, 3]);
  });

  it('binds the context', () => {
    const [a, b] = [seededBench().accumulator, seededBench().accumulator];
    a.reseedDirect('resume', SEED);
    b.reseedDirect('beacon', SEED);
    expect(hex(a.generate(32))).not.toBe(hex(b.generate(32)));
  });

  it.each(['certificate', 'os', 'whirlwind', 'seed'])(
    'the pools enter the first one at their place beside %s',
    (label) => {
      const { accumulator } = bench();
      accumulator.reseedDirect('boot', [{ label, bytes: Uint8Array.of(1) }]);
      expect(accumulator.seeded).toBe(true);
    },
  );
});

describe('a rejected call changes nothing', () => {
  const part = (label: string): Part => ({ label, bytes: Uint8Array.of(1) });
  const rejected: [string, (accumulator: Accumulator) => unknown][] = [
    ['add: source -1', (a) => a.add(-1, Uint8Array.of(1))],
    ['add: source 256', (a) => a.add(256, Uint8Array.of(1))],
    ['add: source 1.5', (a) => a.add(1.5, Uint8Array.of(1))],
    ['add: an empty event', (a) => a.add(7, new Uint8Array(0))],
    // @ts-expect-error plain JavaScript may hand in text
    ['add: text', (a) => a.add(7, 'text')],
    ['generate: -1', (a) => a.generate(-1)],
    ['generate: 0.5', (a) => a.generate(0.5)],
    ['generate: NaN', (a) => a.generate(Number.NaN)],
    ['generate: 2^30 + 1', (a) => a.generate(2 ** 30 + 1)],
    ['reseedDirect: no context', (a) => a.reseedDirect('', SEED)],
    ['reseedDirect: no parts', (a) => a.reseedDirect('x', [])],
    ['reseedDirect: out of order', (a) => a.reseedDirect('x', [part('os'), part('cpu')])],
    ['reseedDirect: the part pools', (a) => a.reseedDirect('x', [part('pools')])],
    ['reseedDirect: a named part pools', (a) => a.reseedDirect('x', [part('pools/a')])],
  ];

  it.each(rejected)('%s', (_, call) => {
    for (const make of [bench, seededBench]) {
      const [touched, clean] = [make(), make()];
      for (const { accumulator, fill } of [touched, clean]) {
        accumulator.add(7, Uint8Array.of(1));
        fill();
      }
      touched.clock.ms = clean.clock.ms = 1000;
      expect(() => call(touched.accumulator)).toThrow();
      expect(touched.accumulator.generation).toBe(clean.accumulator.generation);
      for (const { accumulator } of [touched, clean]) {
        accumulator.add(7, Uint8Array.of(2));
        accumulator.reseedDirect('boot', SEED);
      }
      expect(outputs(touched, 4)).toEqual(outputs(clean, 4));
    }
  });
});

it('a first direct reseed that leaves no room for the part pools drains nothing', () => {
  const parts = Array.from({ length: 65_535 }, (_, index) => ({
    label: `feed/${String(index).padStart(5, '0')}`,
    bytes: Uint8Array.of(1),
  }));
  const [touched, clean] = [bench(), bench()];
  for (const { accumulator } of [touched, clean]) accumulator.add(7, Uint8Array.of(1));
  expect(() => touched.accumulator.reseedDirect('boot', parts)).toThrow(RangeError);
  expect(touched.accumulator.seeded).toBe(false);
  for (const { accumulator } of [touched, clean]) accumulator.reseedDirect('boot', SEED);
  expect(outputs(touched, 4)).toEqual(outputs(clean, 4));
});

describe('the whole', () => {
  const run = (bytes: Uint8Array, clockStep: number): string[] => {
    const { accumulator, clock } = bench();
    accumulator.add(3, bytes);
    accumulator.reseedDirect('boot', [{ label: 'os', bytes }]);
    return Array.from({ length: 300 }, (_, index) => {
      accumulator.add(index % 5, Buffer.concat([bytes, Buffer.from([index % 256])]));
      clock.ms += clockStep;
      return hex(accumulator.generate(index));
    });
  };

  it('is reproducible when all of it is fixed', () => {
    expect(run(new Uint8Array(32), 10)).toEqual(run(new Uint8Array(32), 10));
  });

  it('and differs when one bit is not (so that the experiment can fail)', () => {
    const bytes = new Uint8Array(32);
    const [a, b] = [run(bytes, 10), run(bytes.with(31, 1), 10)];
    // index 0 reads nothing, index 1 a single byte
    expect(a.filter((output, index) => index > 8 && output === b[index])).toEqual([]);
  });

  it('gives 10,000 reads of 16 bytes that all differ, across reseeds', () => {
    const { accumulator, clock, fill } = seededBench();
    const seen = new Set<string>();
    for (let index = 0; index < 10_000; index++) {
      seen.add(hex(accumulator.generate(16)));
      clock.ms += 1;
      if (index % 50 === 0) fill();
    }
    expect(seen.size).toBe(10_000);
    expect(accumulator.reseedCount).toBeGreaterThan(90);
  });

  it('refuses a schedule nobody knows', () => {
    // @ts-expect-error plain JavaScript may ask for one
    expect(() => new Accumulator({ schedule: 'none', monotonicMs: () => 0 })).toThrow(RangeError);
  });

  it('throws at every call once destroyed, keeps its counts, and may be destroyed again', () => {
    const { accumulator } = seededBench();
    accumulator.destroy();
    accumulator.destroy();
    expect(accumulator.seeded).toBe(false);
    expect(accumulator.reseedCount).toBe(1);
    expect(() => accumulator.add(0, Uint8Array.of(1))).toThrow(TypeError);
    expect(() => accumulator.generate(0)).toThrow(TypeError);
    expect(() => accumulator.generate(32)).toThrow(TypeError);
    expect(() => accumulator.reseedIfDue()).toThrow(TypeError);
    expect(() => accumulator.reseedDirect('boot', SEED)).toThrow(TypeError);
  });

  it('shows no secret when it is printed, listed or serialised', () => {
    const { accumulator } = seededBench();
    expect(Reflect.ownKeys(accumulator)).toEqual([]);
    expect(JSON.stringify(accumulator)).toBe('{}');
  });
});
