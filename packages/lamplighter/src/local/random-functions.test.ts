import nodeCrypto from 'node:crypto';
import { inspect, promisify, types } from 'node:util';
import { describe, expect, it } from 'vitest';
import { able } from './ability.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { notingNative } from './fixed-process.fixture.js';
import { Lamplighter } from './lamplighter.js';

const ours = Lamplighter.create({ native: notingNative() });
const theirs = { ...nodeCrypto, getRandomValues: crypto.getRandomValues.bind(crypto) };

type Name = 'randomBytes' | 'randomFill' | 'randomFillSync' | 'randomInt' | 'randomUUID' | 'getRandomValues';

/** A call: fresh arguments every time. `CALLBACK` stands for one. */
const CALLBACK = Symbol('callback');
type Arguments = () => readonly unknown[];

const views = (): readonly (readonly [string, () => unknown])[] => [
  ...[
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
  ].map((View) => [View.name, () => new View(16)] as const),
  ['DataView', () => new DataView(new ArrayBuffer(16), 4, 8)],
  ['ArrayBuffer', () => new ArrayBuffer(16)],
  ['SharedArrayBuffer', () => new SharedArrayBuffer(16)],
  ['Uint8Array of SharedArrayBuffer', () => new Uint8Array(new SharedArrayBuffer(16))],
  ['Buffer', () => Buffer.alloc(16)],
  ['an empty array', () => new Uint8Array(0)],
  ['a part of an array', () => new Uint8Array(new ArrayBuffer(32), 8, 8)],
  ['something dressed as an array', (): unknown => Object.create(Uint8Array.prototype)],
  ['a list', () => [0, 0]],
  ['a string', () => 'abcd'],
  ['null', () => null],
  ['undefined', () => undefined],
];

const numbers = [
  0,
  1,
  2.5,
  16,
  -1,
  -0,
  2 ** 31,
  2 ** 32,
  1e300,
  Number.NaN,
  Infinity,
  '1',
  1n,
  null,
  {},
  [],
  true,
];
const notCallbacks = [null, 0, 'done', {}];

function calls(): readonly (readonly [Name, string, Arguments])[] {
  const table: (readonly [Name, string, Arguments])[] = [];
  const add = (name: Name, makeArguments: Arguments): void => {
    table.push([
      name,
      inspect(makeArguments(), { breakLength: Infinity, maxArrayLength: 2 }).slice(0, 90),
      makeArguments,
    ]);
  };
  for (const size of numbers) {
    add('randomBytes', () => [size]);
    add('randomBytes', () => [size, CALLBACK]);
  }
  add('randomBytes', () => []);
  for (const callback of notCallbacks) add('randomBytes', () => [4, callback]);

  for (const [, view] of views()) {
    add('getRandomValues', () => [view()]);
    for (const rest of [[], [1], [1, 2], [0, 100], [3, undefined], [undefined, 2]]) {
      add('randomFillSync', () => [view(), ...rest]);
      // See the test below.
      if (rest.length === 1 && !types.isTypedArray(view())) continue;
      add('randomFill', () => [view(), ...rest, CALLBACK]);
    }
  }
  for (const number of numbers) {
    add('randomFillSync', () => [new Uint16Array(8), number]);
    add('randomFillSync', () => [new Uint16Array(8), 1, number]);
    add('randomFill', () => [new Uint16Array(8), number, CALLBACK]);
    add('randomFill', () => [new Uint16Array(8), 1, number, CALLBACK]);
  }
  add('randomFillSync', () => []);
  add('randomFill', () => [new Uint8Array(4)]);
  add('randomFill', () => [new Uint8Array(4), 0]);
  for (const callback of notCallbacks) add('randomFill', () => [new Uint8Array(4), 0, 4, callback]);
  add('getRandomValues', () => []);
  add('getRandomValues', () => [new Uint8Array(65_536)]);
  add('getRandomValues', () => [new Uint8Array(65_537)]);
  add('getRandomValues', () => [new BigUint64Array(8_193)]);

  const limits = [
    ...numbers,
    2 ** 48 - 1,
    2 ** 48,
    -(2 ** 47),
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ];
  for (const max of limits) {
    add('randomInt', () => [max]);
    add('randomInt', () => [max, CALLBACK]);
    add('randomInt', () => [-5, max]);
    add('randomInt', () => [max, 5]);
    add('randomInt', () => [-5, max, CALLBACK]);
  }
  add('randomInt', () => []);
  add('randomInt', () => [5, undefined, CALLBACK]);
  for (const callback of notCallbacks) {
    add('randomInt', () => [5, callback]);
    add('randomInt', () => [1, 5, callback]);
  }
  for (const options of [undefined, {}, { disableEntropyCache: true }, { disableEntropyCache: false }]) {
    add('randomUUID', () => [options]);
  }
  for (const options of [
    null,
    1,
    'x',
    [],
    () => 1,
    { disableEntropyCache: 1 },
    { disableEntropyCache: null },
  ]) {
    add('randomUUID', () => [options]);
  }
  add('randomUUID', () => []);
  return table;
}

/** What a caller can see of a result, but for the random bytes themselves. */
function shapeOf(value: unknown, given: readonly unknown[]): unknown {
  if (given.includes(value) && typeof value === 'object' && value !== null) return 'the very object given';
  if (ArrayBuffer.isView(value))
    return [value.constructor.name, value.byteLength, value.byteOffset, value.buffer.byteLength];
  return typeof value === 'string' ? ['string', value.length] : typeof value;
}

function shapeOfError(error: unknown): unknown {
  if (!(error instanceof Error)) return error === null ? null : typeof error;
  const code: unknown = Reflect.get(error, 'code');
  return { kind: error.constructor.name, name: error.name, code, message: error.message };
}

async function outcome(
  functions: typeof theirs | Lamplighter,
  name: Name,
  makeArguments: Arguments,
): Promise<unknown> {
  const given = makeArguments();
  let called: ((outcome: unknown) => void) | undefined;
  const callback = new Promise((resolve) => {
    called = resolve;
  });
  let isSync = true;
  const seen = given.map((value) =>
    value === CALLBACK
      ? (...results: unknown[]) => {
          const [error, value] = results;
          called?.([isSync, results.length, shapeOfError(error), shapeOf(value, given)]);
        }
      : value,
  );
  try {
    const returned: unknown = Reflect.apply(functions[name], undefined, seen);
    isSync = false;
    const now = shapeOf(returned, given);
    const isAwaited = given.includes(CALLBACK) && returned === undefined;
    return { returned: now, called: isAwaited ? await callback : undefined };
  } catch (error) {
    return { thrown: shapeOfError(error) };
  }
}

describe('the same call as node:crypto’s has the same outcome', () => {
  it.each(calls())('%s %s', async (name, _, makeArguments) => {
    expect(await outcome(ours, name, makeArguments)).toEqual(await outcome(theirs, name, makeArguments));
  });

  it('but for memory without elements, with an offset and no size, which Node refuses before 24', async () => {
    for (const memory of [new ArrayBuffer(16), new DataView(new ArrayBuffer(16))]) {
      const filled = await new Promise((resolve, reject) => {
        const done = (error: unknown, buffer: unknown): void =>
          error === null ? resolve(buffer) : reject(error);
        Reflect.apply(ours.randomFill, undefined, [memory, 1, done]);
      });
      expect(filled).toBe(memory);
    }
    for (const memory of [null, [], 'text']) {
      const given = [memory, 1, () => undefined];
      expect(() => {
        Reflect.apply(ours.randomFill, undefined, given);
      }).toThrow(TypeError);
    }
  });

  it('and fills the same part of memory: what was zero stays zero, the rest does not', () => {
    for (const [, view] of views()) {
      for (const rest of [[], [1], [1, 2]]) {
        const touched = [ours, theirs].map((functions) => {
          const memory = view();
          try {
            // 16 calls, so that a byte that is zero by chance is so once in 2^128.
            const seen = new Uint8Array(32);
            for (let call = 0; call < 16; call += 1) {
              Reflect.apply(functions.randomFillSync, undefined, [memory, ...rest]);
              const bytes = ArrayBuffer.isView(memory)
                ? new Uint8Array(memory.buffer)
                : new Uint8Array(memory as ArrayBuffer);
              for (const [index, byte] of bytes.entries()) seen[index] = (seen[index] ?? 0) | byte;
            }
            return [...seen].map((byte) => byte !== 0);
          } catch {
            return 'refused';
          }
        });
        expect(touched[0]).toEqual(touched[1]);
      }
    }
  });
});

describe('with callbacks and promises', () => {
  it('util.promisify works on every function that takes a callback', async () => {
    expect(await promisify(ours.randomBytes)(24)).toHaveLength(24);
    const memory = new Uint8Array(8);
    expect(await promisify<Uint8Array, Uint8Array>(ours.randomFill)(memory)).toBe(memory);
    const value = await promisify<number, number>(ours.randomInt)(10);
    expect(value).toBeGreaterThanOrEqual(0);
    expect(value).toBeLessThan(10);
  });

  it('a large request takes several turns, so that others get theirs', async () => {
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const bytes = await promisify(ours.randomBytes)(8 * 2 ** 20);
    isDone = true;
    expect(turns).toBeGreaterThanOrEqual(8);
    expect(bytes.subarray(-32).equals(Buffer.alloc(32))).toBe(false);
  });

  it('a root that cannot be seeded is the callback’s error, or thrown where there is none', async () => {
    const environment = {
      ...fixedEnvironment(),
      osRandom(): Uint8Array {
        throw new Error('no device');
      },
    };
    const broken = Lamplighter.create({ environment, native: notingNative() });
    const code = expect.objectContaining({ code: 'ERR_OS_RNG' }) as Error;
    expect(() => broken.randomBytes(8)).toThrow(code);
    expect(() => broken.randomInt(8)).toThrow(code);
    expect(() => broken.randomUUID()).toThrow(code);
    await expect(promisify(broken.randomBytes)(8)).rejects.toEqual(code);
    await expect(promisify<number, number>(broken.randomInt)(8)).rejects.toEqual(code);
  });
});

describe('what they give', () => {
  it('is ours: not one byte of it comes from node:crypto', () => {
    const make = (): Lamplighter =>
      Lamplighter.create({
        environment: fixedEnvironment(),
        native: notingNative(),
        process: {
          pid: () => 1,
          threadId: 0,
          nextRoot: () => 1,
          bootTimeNs: () => able(0n),
          atEndOfTurn: (run) => void setImmediate(run),
          later: () => ({ cancel: () => undefined }),
        },
      });
    const results = [make(), make()].map((fixed) => [
      fixed.randomBytes(40).toString('hex'),
      fixed.randomUUID(),
      fixed.randomUUID({ disableEntropyCache: true }),
      fixed.randomInt(1_000_000),
      fixed.randomInt(2 ** 47),
      Buffer.from(fixed.getRandomValues(new Uint8Array(40))).toString('hex'),
      Buffer.from(fixed.randomFillSync(new Uint8Array(70_000))).toString('hex'),
    ]);
    expect(results[0]).toEqual(results[1]);
  });

  it('randomUUID: version 4, variant 10, 122 bits that all move, none twice', () => {
    const seen = new Set<string>();
    const [ones, zeros] = [new Uint8Array(16), new Uint8Array(16)];
    for (let call = 0; call < 5_000; call += 1) {
      const uuid = ours.randomUUID();
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      seen.add(uuid);
      for (const [index, byte] of Buffer.from(uuid.replaceAll('-', ''), 'hex').entries()) {
        ones[index] = (ones[index] ?? 0) | byte;
        zeros[index] = (zeros[index] ?? 0) | (byte ^ 0xff);
      }
    }
    expect(seen.size).toBe(5_000);
    const moving = (index: number): number => (index === 6 ? 0x0f : index === 8 ? 0x3f : 0xff);
    for (let index = 0; index < 16; index += 1) {
      expect((ones[index] ?? 0) & (zeros[index] ?? 0)).toBe(moving(index));
    }
  });

  // 99.9999 % quantiles of chi-squared with range - 1 degrees of freedom.
  it.each([
    [2, 23.9],
    [3, 27.6],
    [7, 38.3],
    [100, 175],
  ])('randomInt(%i) is uniform', (range, limit) => {
    const draws = 50_000;
    for (const [min, max] of [
      [0, range],
      [-3, range - 3],
    ] as const) {
      const counts = new Map<number, number>();
      for (let draw = 0; draw < draws; draw += 1) {
        const value = ours.randomInt(min, max);
        counts.set(value, (counts.get(value) ?? 0) + 1);
      }
      const expected = draws / range;
      let chiSquared = 0;
      for (let value = min; value < max; value += 1) {
        chiSquared += ((counts.get(value) ?? 0) - expected) ** 2 / expected;
      }
      expect(chiSquared).toBeLessThan(limit);
      expect([...counts.keys()].every((value) => value >= min && value < max)).toBe(true);
    }
  });
});
