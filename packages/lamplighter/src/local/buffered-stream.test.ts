import { Accumulator } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { type Ability, able, unable } from './ability.js';
import { BufferedStream } from './buffered-stream.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { fixedProcess } from './fixed-process.fixture.js';
import { openStream } from './stream.js';

const ROOT = [{ label: 'os', bytes: new Uint8Array(32).fill(9) }];

/** A buffered stream on a root and a machine of which the test moves every part. */
function still(cycles: () => Ability<bigint> = () => unable('fixed')) {
  const environment = { ...fixedEnvironment(), cycleCounter: cycles };
  const process = fixedProcess(environment);
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
  accumulator.reseedDirect('seed', ROOT);
  const root = {
    number: 0,
    refills: 0,
    get generation() {
      return accumulator.generation;
    },
    reseedIfDue() {
      this.refills += 1;
    },
    generate: (lengthBytes: number) => accumulator.generate(lengthBytes),
  };
  const stream = new BufferedStream(root, environment, process, 'test');
  const read = (lengthBytes: number): string => {
    const bytes = Buffer.alloc(lengthBytes);
    stream.fillRange(bytes, 0, lengthBytes);
    return bytes.toString('hex');
  };
  /** The memory in which bytes made ahead lie. */
  let memory: Uint8Array = new Uint8Array();
  stream.readSixteen((bytes) => {
    memory = bytes;
  });
  return { environment, process, accumulator, root, stream, read, memory };
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

describe('bytes made ahead', () => {
  it('are served without another refill, zeroed as they are served', () => {
    const { root, stream, read, memory } = still();
    expect(root.refills).toBe(1);
    const before = stream.madeAheadBytes;
    const ahead = Buffer.from(memory.subarray(16, 48)).toString('hex');
    expect(read(32)).toBe(ahead);
    expect(root.refills).toBe(1);
    expect(stream.madeAheadBytes).toBe(before - 32);
    expect(isZero(memory.subarray(0, 48))).toBe(true);
    expect(isZero(memory.subarray(48, 80))).toBe(false);
  });

  it('die at the end of the event-loop turn, by themselves', () => {
    const { process, root, stream, read, memory } = still();
    const next = Buffer.from(memory.subarray(16, 32)).toString('hex');
    process.endTurn();
    expect(stream.madeAheadBytes).toBe(0);
    expect(isZero(memory)).toBe(true);
    expect(read(16)).not.toBe(next);
    expect(root.refills).toBe(2);
  });

  const deaths = {
    'when the root was reseeded': ({ accumulator }) =>
      accumulator.reseedDirect('beacon', [{ label: 'beacon', bytes: Uint8Array.of(1) }]),
    'when the root number changed': ({ root }) => {
      root.number += 1;
    },
    'when more than 1 ms has passed since the refill': ({ environment }) => environment.advance(2),
  } satisfies Record<string, (machine: ReturnType<typeof still>) => void>;

  it.each(Object.entries(deaths))('die %s', (_, happen) => {
    const machine = still();
    const next = Buffer.from(machine.memory.subarray(16, 32)).toString('hex');
    happen(machine);
    expect(machine.read(16)).not.toBe(next);
    expect(machine.root.refills).toBe(2);
  });

  it('live for 1 ms: the test above would otherwise prove nothing', () => {
    const { environment, root, read, memory } = still();
    const next = Buffer.from(memory.subarray(16, 32)).toString('hex');
    environment.advance(1);
    expect(read(16)).toBe(next);
    expect(root.refills).toBe(1);
  });

  it('die when the monotonic clock went backwards', () => {
    let nowNs = 5_000_000_000n;
    const environment = {
      ...fixedEnvironment(),
      cycleCounter: () => unable('fixed'),
      monotonicNs: () => nowNs,
    };
    const { accumulator, root } = still();
    const stream = new BufferedStream(root, environment, fixedProcess(environment), 'test');
    root.refills = 0;
    stream.uint32();
    nowNs -= 1n;
    stream.uint32();
    expect(root.refills).toBe(2);
    expect(accumulator.generation).toBe(1);
  });

  it('die when the cycle counter went backwards, or is there no more', () => {
    for (const then of [able(999_999n), unable('gone')]) {
      let cycles: Ability<bigint> = able(1_000_000n);
      const { root, read, memory } = still(() => cycles);
      const next = Buffer.from(memory.subarray(16, 32)).toString('hex');
      cycles = then;
      expect(read(16)).not.toBe(next);
      expect(root.refills).toBe(2);
    }
  });

  it('die of age also where the cycle counter tells it, measured by the monotonic clock', () => {
    let cycles = 1_000_000n;
    const machine = still(() => able(cycles));
    /** 3 cycles a nanosecond. */
    const pass = (microseconds: number): void => {
      cycles += BigInt(microseconds) * 3_000n;
      for (let passed = 0; passed < microseconds; passed += 1_000) machine.environment.advance(1);
    };
    // Two refills 20 ms apart: now the rate is known.
    pass(20_000);
    do machine.read(16);
    while (machine.stream.madeAheadBytes < 100);
    const { refills } = machine.root;
    cycles += 300_000n; // 0.1 ms
    machine.read(16);
    expect(machine.root.refills).toBe(refills);
    pass(2_000);
    machine.read(16);
    expect(machine.root.refills).toBe(refills + 1);
  });

  it('are none for one call a turn, but for a rare attempt', () => {
    const { process, stream, read } = still();
    process.endTurn();
    let attempts = 0;
    for (let turn = 0; turn < 1_000; turn += 1) {
      read(32);
      if (stream.madeAheadBytes > 0) attempts += 1;
      process.endTurn();
    }
    expect(attempts).toBeGreaterThan(5);
    expect(attempts).toBeLessThan(40);
  });

  it('are never more than 64 KiB, however long the loop', () => {
    const { stream, read, root } = still();
    let most = 0;
    for (let call = 0; call < 20_000; call += 1) {
      read(32);
      most = Math.max(most, stream.madeAheadBytes);
    }
    expect(most).toBeGreaterThan(4_096);
    expect(most).toBeLessThanOrEqual(65_536);
    expect(root.refills).toBeLessThan(60);
  });

  it('need one callback a turn, and none in turns without them', () => {
    const { process, read } = still();
    for (let call = 0; call < 1_000; call += 1) read(64);
    expect(process.waiting).toBe(1);
    process.endTurn();
    read(100_000);
    expect(process.waiting).toBe(0);
  });

  it('are wiped on request and at close, and then nothing more is served', () => {
    const { stream, memory, read } = still();
    stream.wipe();
    expect(isZero(memory)).toBe(true);
    read(8);
    stream.close();
    expect(isZero(memory)).toBe(true);
    expect(() => stream.uint32()).toThrow(TypeError);
  });
});

describe('a buffered stream', () => {
  it('is the same construction as the outlets’ streams: the first request, made alone, is equal', () => {
    const one = still();
    const two = still();
    const fresh = new BufferedStream(one.root, one.environment, one.process, 'alone');
    const plain = openStream(two.root, two.environment, 'alone');
    const large = Buffer.alloc(50_000);
    fresh.fillRange(large, 0, large.length);
    expect(large.equals(plain.read(50_000))).toBe(true);
  });

  it('gives no 16-byte block twice over requests of every size, and fills exactly what it was given', () => {
    const { read, process } = still();
    const seen = new Set<string>();
    let blocks = 0;
    for (let turn = 0; turn < 60; turn += 1) {
      for (const lengthBytes of [1, 16, 31, 64, 65, 256, 257, 4_096, 4_097, 65_536, 70_000]) {
        const hex = read(lengthBytes);
        expect(hex).toHaveLength(2 * lengthBytes);
        for (let at = 0; at + 32 <= hex.length; at += 32) {
          seen.add(hex.slice(at, at + 32));
          blocks += 1;
        }
      }
      if (turn % 3 === 0) process.endTurn();
    }
    expect(seen.size).toBe(blocks);
  });

  it('writes between offset and offset + length only', () => {
    const { stream } = still();
    for (const lengthBytes of [0, 5, 64, 65, 5_000]) {
      const memory = new Uint8Array(lengthBytes + 20);
      stream.fillRange(memory, 10, lengthBytes);
      expect(isZero(memory.subarray(0, 10))).toBe(true);
      expect(isZero(memory.subarray(10 + lengthBytes))).toBe(true);
      if (lengthBytes > 8) expect(isZero(memory.subarray(10, 10 + lengthBytes))).toBe(false);
    }
  });

  it('takes numbers from all their bits', () => {
    const { stream } = still();
    let [or32, or48, and32] = [0, 0n, 0xffff_ffff];
    for (let call = 0; call < 2_000; call += 1) {
      const word = stream.uint32();
      or32 |= word;
      and32 &= word;
      or48 |= BigInt(stream.uint48());
    }
    expect(or32 >>> 0).toBe(0xffff_ffff);
    expect(and32 >>> 0).toBe(0);
    expect(or48).toBe(2n ** 48n - 1n);
  });

  it('gives nothing and keeps nothing when the root cannot be seeded', () => {
    const { environment, process } = still();
    const unseeded = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
    const root = {
      number: 0,
      generation: 0,
      reseedIfDue: () => undefined,
      generate: (lengthBytes: number) => unseeded.generate(lengthBytes),
    };
    const stream = new BufferedStream(root, environment, process, 'test');
    const memory = new Uint8Array(32);
    expect(() => stream.fillRange(memory, 0, 32)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_SEEDED' }),
    );
    expect(isZero(memory)).toBe(true);
    expect(stream.madeAheadBytes).toBe(0);
  });
});
