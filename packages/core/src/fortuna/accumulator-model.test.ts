import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { Accumulator } from './accumulator.js';
import { ClassicModel, ImprovedModel } from './fortuna-model.fixture.js';

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      source: fc.constantFrom(0, 1, 2, 255),
      event: fc.uint8Array({ minLength: 1, maxLength: 40 }),
      times: fc.constantFrom(1, 2, 64, 70),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 99, 100, 250) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('generate' as const), lengthBytes: fc.nat({ max: 100 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reseedIfDue' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rekeySchedule' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reseedDirect' as const),
      label: fc.constantFrom('beacon/a', 'seed', 'whirlwind', 'os'),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 80 }),
    }),
  },
);

const MODELS = { classic: () => new ClassicModel(), improved: () => new ImprovedModel() };

it.each(['classic', 'improved'] as const)(
  '%s: agrees byte for byte with a plain model, whatever is done in whatever order',
  (schedule) => {
    let reseeds = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const clock = { ms: 0 };
        const accumulator = new Accumulator({ schedule, monotonicMs: () => clock.ms });
        const model = MODELS[schedule]();
        for (const step of steps) {
          switch (step.do) {
            case 'add':
              for (let time = 0; time < step.times; time++) {
                if (schedule === 'improved') clock.ms += 10; // every event counts
                accumulator.add(step.source, step.event);
                model.add(step.source, step.event, clock.ms);
              }
              break;
            case 'wait':
              clock.ms += step.ms;
              break;
            case 'generate':
              if (model.directCount === 0) {
                expect(() => accumulator.generate(step.lengthBytes)).toThrow();
              } else {
                const expected = model.generate(step.lengthBytes, clock.ms);
                expect(Buffer.from(accumulator.generate(step.lengthBytes)).equals(expected)).toBe(true);
              }
              break;
            case 'reseedIfDue':
              expect(accumulator.reseedIfDue()).toBe(model.reseedIfDue(clock.ms));
              break;
            case 'rekeySchedule':
              if (model.directCount === 0) {
                expect(() => accumulator.rekeySchedule()).toThrow();
              } else {
                accumulator.rekeySchedule();
                model.rekey();
              }
              break;
            case 'reseedDirect': {
              const parts = [{ label: step.label, bytes: step.bytes }];
              accumulator.reseedDirect('test', parts);
              model.reseedDirect('test', parts);
              break;
            }
          }
          expect(accumulator.seeded).toBe(model.directCount > 0);
          expect(accumulator.directReseedCount).toBe(model.directCount);
          expect(accumulator.reseedCount).toBe(model.directCount + model.scheduledCount);
        }
        reseeds += model.scheduledCount;
      }),
      { numRuns: 150 },
    );
    // The scripts must have reached what they are about (some hundred reseeds are usual).
    expect(reseeds).toBeGreaterThan(20);
  },
);

it('improved: agrees through 3^7 ticks, eight active pools and every renewal of the key', () => {
  const clock = { ms: 0 };
  const accumulator = new Accumulator({ schedule: 'improved', monotonicMs: () => clock.ms });
  const model = new ImprovedModel();
  for (let n = 0; n < 18 * 3 ** 7 + 5; n++) {
    if (n === 100) {
      const parts = [{ label: 'os', bytes: new Uint8Array(32) }];
      accumulator.reseedDirect('boot', parts);
      model.reseedDirect('boot', parts);
    }
    clock.ms += 10;
    const event = Uint8Array.of(n, n >> 8);
    accumulator.add(n % 3, event);
    model.add(n % 3, event, clock.ms);
    // Read at every number of ticks, also at several at once.
    if (n > 100 && n % 25 === 0) expect(accumulator.reseedIfDue()).toBe(model.reseedIfDue(clock.ms));
  }
  expect(model.active).toBe(8);
  expect(model.rekeys).toBeGreaterThan(8);
  expect(model.generate(64, clock.ms).equals(accumulator.generate(64))).toBe(true);
});

it('past bug, FreeBSD: i + 1 blocks hashed where i were filled: 64 reseeds in a row take exactly the due digests', () => {
  const clock = { ms: 0 };
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => clock.ms });
  const model = new ClassicModel();
  const parts = [{ label: 'os', bytes: new Uint8Array(32) }];
  accumulator.reseedDirect('boot', parts);
  model.reseedDirect('boot', parts);
  for (let count = 1; count <= 64; count++) {
    for (let n = 0; n < 64; n++) {
      const event = Buffer.alloc(32, count + n);
      accumulator.add(9, event);
      model.add(9, event, clock.ms);
    }
    clock.ms += 100;
    expect(Buffer.from(accumulator.generate(32)).equals(model.generate(32, clock.ms))).toBe(true);
    expect(model.scheduledCount).toBe(count);
  }
});

it('splits more than 2^20 bytes into requests of their own', () => {
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
  const model = new ClassicModel();
  const parts = [{ label: 'os', bytes: new Uint8Array(32) }];
  accumulator.reseedDirect('boot', parts);
  model.reseedDirect('boot', parts);
  for (const length of [2 ** 20 + 1, 2 ** 20, 7]) {
    expect(model.generate(length, 0).equals(accumulator.generate(length))).toBe(true);
  }
});
