import { createCipheriv, createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { encode, type Part } from '../encoding.js';
import { compareLabels } from '../labels.js';
import { Accumulator } from './accumulator.js';

/**
 * The book's Fortuna written down as slowly and plainly as possible, with whole pools in memory and the rules of DESIGN
 * 6.2 and 6.3. It shares no code with the implementation but `encode`.
 */
class Model {
  key: Buffer = Buffer.alloc(32);
  counter = 0n;
  pools: Buffer[] = Array.from({ length: 32 }, () => EMPTY);
  positions = new Map<number, number>();
  scheduledCount = 0;
  directCount = 0;
  lastMs: number | undefined;

  add(source: number, event: Uint8Array): void {
    const record = event.length > 32 ? sha256(event) : Buffer.from(event);
    const position = this.positions.get(source) ?? 0;
    this.positions.set(source, position + 1);
    const pool = position % 32;
    this.pools[pool] = Buffer.concat([
      this.pools[pool] ?? EMPTY,
      Buffer.from([source, record.length]),
      record,
    ]);
  }

  reseedIfDue(nowMs: number): boolean {
    if (this.directCount === 0 || (this.pools[0]?.length ?? 0) < 64) return false;
    if (this.lastMs !== undefined && nowMs - this.lastMs < 100) return false;
    this.lastMs = nowMs;
    this.scheduledCount += 1;
    const digests = this.pools.flatMap((pool, i) => {
      if (this.scheduledCount % 2 ** i !== 0) return [];
      this.pools[i] = EMPTY;
      return [shad256(pool)];
    });
    this.#reseed(Buffer.concat(digests));
    return true;
  }

  reseedDirect(context: string, parts: readonly Part[]): void {
    const all = [...parts];
    if (this.directCount === 0) all.push({ label: 'pools', bytes: Buffer.concat(this.pools.map(shad256)) });
    if (this.directCount === 0) this.pools.fill(EMPTY);
    this.#reseed(
      Buffer.from(
        encode(
          context,
          all.sort((a, b) => compareLabels(a.label, b.label)),
        ),
      ),
    );
    this.directCount += 1;
  }

  generate(lengthBytes: number, nowMs: number): Buffer {
    this.reseedIfDue(nowMs);
    const out: Buffer[] = [];
    for (let left = lengthBytes; left > 0 || out.length === 0; left -= 2 ** 20) {
      const n = Math.min(left, 2 ** 20);
      const blocks = Array.from({ length: Math.ceil(n / 16) }, () => this.#block());
      out.push(Buffer.concat(blocks).subarray(0, n));
      this.key = Buffer.concat([this.#block(), this.#block()]);
    }
    return Buffer.concat(out);
  }

  #block(): Buffer {
    const C = Buffer.from(this.counter.toString(16).padStart(32, '0'), 'hex').reverse();
    this.counter += 1n;
    return createCipheriv('aes-256-ecb', this.key, null).setAutoPadding(false).update(C);
  }

  #reseed(s: Buffer): void {
    this.key = shad256(Buffer.concat([this.key, s]));
    this.counter += 1n;
  }
}

const EMPTY = Buffer.alloc(0);
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const shad256 = (bytes: Uint8Array): Buffer => sha256(sha256(Buffer.concat([Buffer.alloc(64), bytes])));

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
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reseedDirect' as const),
      label: fc.constantFrom('beacon/a', 'seed', 'whirlwind', 'os'),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 80 }),
    }),
  },
);

it('agrees byte for byte with a plain model of the book, whatever is done in whatever order', () => {
  let reseeds = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const clock = { ms: 0 };
      const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => clock.ms });
      const model = new Model();
      for (const step of steps) {
        switch (step.do) {
          case 'add':
            for (let time = 0; time < step.times; time++) {
              accumulator.add(step.source, step.event);
              model.add(step.source, step.event);
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
});

it('past bug, FreeBSD: i + 1 blocks hashed where i were filled: 64 reseeds in a row take exactly the due digests', () => {
  const clock = { ms: 0 };
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => clock.ms });
  const model = new Model();
  const parts = [{ label: 'os', bytes: new Uint8Array(32) }];
  accumulator.reseedDirect('boot', parts);
  model.reseedDirect('boot', parts);
  for (let count = 1; count <= 64; count++) {
    for (let n = 0; n < 64; n++) {
      const event = Buffer.alloc(32, count + n);
      accumulator.add(9, event);
      model.add(9, event);
    }
    clock.ms += 100;
    expect(Buffer.from(accumulator.generate(32)).equals(model.generate(32, clock.ms))).toBe(true);
    expect(model.scheduledCount).toBe(count);
  }
});

it('splits more than 2^20 bytes into requests of their own', () => {
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
  const model = new Model();
  const parts = [{ label: 'os', bytes: new Uint8Array(32) }];
  accumulator.reseedDirect('boot', parts);
  model.reseedDirect('boot', parts);
  for (const length of [2 ** 20 + 1, 2 ** 20, 7]) {
    expect(model.generate(length, 0).equals(accumulator.generate(length))).toBe(true);
  }
});
