import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { Accumulator, encode, LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { openStream } from './stream.js';

const OS = [{ label: 'os', bytes: new Uint8Array(32).fill(9) }];

function fixedRoot() {
  const environment = fixedEnvironment();
  const accumulator = new Accumulator({
    schedule: 'classic',
    monotonicMs: () => Number(environment.monotonicNs() / 1_000_000n),
  });
  return { environment, accumulator };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('stream', () => {
  it('gives nothing before the root is seeded, and is unchanged by having been asked', () => {
    const one = fixedRoot();
    const two = fixedRoot();
    const asked = openStream(one.accumulator, one.environment, 'test');
    expect(() => asked.read(32)).toThrow(LamplighterError);
    one.accumulator.reseedDirect('seed', OS);
    two.accumulator.reseedDirect('seed', OS);
    expect(hex(asked.read(32))).toBe(hex(openStream(two.accumulator, two.environment, 'test').read(32)));
  });

  it('is what its docstring says, computed independently', () => {
    const { accumulator, environment } = fixedRoot();
    const twin = fixedRoot().accumulator;
    accumulator.reseedDirect('seed', OS);
    twin.reseedDirect('seed', OS);
    const stream = openStream(accumulator, environment, 'test');
    const u64 = (value: bigint): Uint8Array => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, value);
      return bytes;
    };
    let key: Uint8Array = createHash('sha256').update('lamplighter/stream/v1/test').digest();
    for (const [counter, lengthBytes] of [1, 32, 100, 65_536].entries()) {
      const refill = createHmac('sha256', key)
        .update(
          encode('stream', [
            { label: 'monotonic', bytes: u64(environment.monotonicNs()) },
            { label: 'counter', bytes: u64(BigInt(counter)) },
            { label: 'cycles', bytes: u64(environment.monotonicNs()) },
            { label: 'root', bytes: counter === 0 ? twin.generate(32) : undefined },
            { label: 'cpu', bytes: undefined },
          ]),
        )
        .digest();
      const keyStream = createCipheriv('aes-256-ctr', refill, new Uint8Array(16)).update(
        new Uint8Array(32 + lengthBytes),
      );
      key = keyStream.subarray(0, 32);
      expect(hex(stream.read(lengthBytes))).toBe(hex(keyStream.subarray(32)));
    }
  });

  it('fills memory of the caller’s with what it would have read', () => {
    const [one, two] = [fixedRoot(), fixedRoot()];
    for (const { accumulator } of [one, two]) accumulator.reseedDirect('seed', OS);
    const reading = openStream(one.accumulator, one.environment, 'test');
    const filling = openStream(two.accumulator, two.environment, 'test');
    const target = new Uint8Array(64);
    for (let time = 0; time < 3; time += 1) {
      filling.readInto(target);
      expect(hex(target)).toBe(hex(reading.read(64)));
    }
    expect(() => filling.readInto(new Uint8Array(0))).toThrow(RangeError);
    expect(() => filling.readInto(new Uint8Array(65_537))).toThrow(RangeError);
  });

  it('follows the root before its next byte, and only when the root was reseeded', () => {
    const { accumulator, environment } = fixedRoot();
    const undisturbed = fixedRoot();
    for (const root of [accumulator, undisturbed.accumulator]) root.reseedDirect('seed', OS);
    const stream = openStream(accumulator, environment, 'test');
    const twin = openStream(undisturbed.accumulator, undisturbed.environment, 'test');
    expect(hex(stream.read(16))).toBe(hex(twin.read(16)));
    expect(stream.generation).toBe(1);
    accumulator.reseedDirect('beacon', [{ label: 'beacon', bytes: Uint8Array.of(1) }]);
    expect(hex(stream.read(16))).not.toBe(hex(twin.read(16)));
    expect(stream.generation).toBe(2);
  });

  it('parts from a copy of itself as soon as the clock differs', () => {
    const [one, two] = [fixedRoot(), fixedRoot()];
    for (const { accumulator } of [one, two]) accumulator.reseedDirect('seed', OS);
    two.environment.advance(1);
    const a = openStream(one.accumulator, one.environment, 'test');
    const b = openStream(two.accumulator, two.environment, 'test');
    expect(hex(a.read(16))).not.toBe(hex(b.read(16)));
  });

  it('gives two streams of one label, and two labels, different bytes', () => {
    const { accumulator, environment } = fixedRoot();
    accumulator.reseedDirect('seed', OS);
    const seen = ['a', 'a', 'b'].map((label) => hex(openStream(accumulator, environment, label).read(32)));
    expect(new Set(seen).size).toBe(3);
  });

  it('hands out its own copy: wiping it changes nothing later', () => {
    const [one, two] = [fixedRoot(), fixedRoot()];
    for (const { accumulator } of [one, two]) accumulator.reseedDirect('seed', OS);
    const a = openStream(one.accumulator, one.environment, 'test');
    const b = openStream(two.accumulator, two.environment, 'test');
    a.read(64).fill(0);
    b.read(64);
    expect(hex(a.read(64))).toBe(hex(b.read(64)));
  });

  it.each([0, -1, 1.5, 65_537, Number.NaN])('refuses to read %s bytes and is unchanged', (lengthBytes) => {
    const [one, two] = [fixedRoot(), fixedRoot()];
    for (const { accumulator } of [one, two]) accumulator.reseedDirect('seed', OS);
    const a = openStream(one.accumulator, one.environment, 'test');
    expect(() => a.read(lengthBytes)).toThrow(RangeError);
    expect(hex(a.read(8))).toBe(hex(openStream(two.accumulator, two.environment, 'test').read(8)));
  });

  it('throws after close, twice closed or not', () => {
    const { accumulator, environment } = fixedRoot();
    accumulator.reseedDirect('seed', OS);
    const stream = openStream(accumulator, environment, 'test');
    stream.close();
    stream.close();
    expect(() => stream.read(1)).toThrow(TypeError);
  });
});
