import { decode } from 'jpeg-js';
import { describe, expect, it } from 'vitest';
import { systemRandomness } from './randomness.js';
import { seededRandomness } from './seeded-random.fixture.js';
import { LONGEST_ADVANCE_SECONDS, Wall } from './wall.js';

const OPTIONS = { widthPx: 320, heightPx: 180, lampCount: 6 };
const seeded = (seed: number) => new Wall(OPTIONS, seededRandomness(seed));

describe('the wall', () => {
  it('is decided by its randomness alone', () => {
    const [one, same, other] = [seeded(1), seeded(1), seeded(2)];
    for (const wall of [one, same, other]) wall.advance(3);
    const photograph = one.photograph();
    expect(same.photograph()).toEqual(photograph);
    expect(other.photograph()).not.toEqual(photograph);
  });

  it('differs from run to run with the system’s randomness', () => {
    const photograph = () => new Wall(OPTIONS, systemRandomness()).photograph();
    expect(photograph()).not.toEqual(photograph());
  });

  it('shows two pictures of one moment differently, by the sensor’s noise and nothing more', () => {
    const wall = seeded(3);
    const [one, two] = [wall.photograph(), wall.photograph()].map(
      (file) => decode(file, { useTArray: true }).data,
    );
    const differences = one?.map((byte, index) => Math.abs(byte - (two?.[index] ?? 0))) ?? new Uint8Array();
    const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
    expect(mean).toBeGreaterThan(0.3);
    expect(mean).toBeLessThan(4);
  });

  it('moves by whole steps, however the time is cut', () => {
    const [atOnce, bitByBit] = [seeded(4), seeded(4)];
    atOnce.advance(2);
    for (let part = 0; part < 128; part++) bitByBit.advance(2 / 128);
    expect(bitByBit.photograph()).toEqual(atOnce.photograph());
  });

  it('does not try to make up for a long sleep', () => {
    const [slept, awake] = [seeded(5), seeded(5)];
    slept.advance(1e9);
    awake.advance(LONGEST_ADVANCE_SECONDS);
    expect(slept.photograph()).toEqual(awake.photograph());
  });

  it('refuses time that goes backwards, and stays where it was', () => {
    const wall = seeded(6);
    expect(() => wall.advance(-1)).toThrow(RangeError);
    expect(() => wall.advance(Number.NaN)).toThrow(RangeError);
    expect(wall.photograph()).toEqual(seeded(6).photograph());
  });

  it('says in the file that it is simulated', () => {
    expect(decode(seeded(7).photograph(), { useTArray: true }).comments?.join()).toContain('simulated');
  });
});

describe('the system’s randomness', () => {
  it('draws evenly from 0 to 1, and does not repeat where its store is refilled', () => {
    const { uniform } = systemRandomness();
    const draws = Array.from({ length: 20_000 }, uniform);
    expect(draws.every((draw) => draw >= 0 && draw < 1)).toBe(true);
    // Mean 0.5, standard error 0.002: nine of them.
    expect(Math.abs(draws.reduce((sum, draw) => sum + draw, 0) / draws.length - 0.5)).toBeLessThan(0.018);
    // 20,000 of 2^32 values: some 0.05 pairs are expected, a repeated store would make a thousand.
    expect(new Set(draws).size).toBeGreaterThan(19_990);
  });
});
