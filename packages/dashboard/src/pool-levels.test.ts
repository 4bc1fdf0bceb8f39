import { Accumulator } from '@lamplighter/core';
import { expect, it } from 'vitest';
import { drainedBetween, isWaiting, poolLevels } from './pool-levels.js';

type Generator = Parameters<typeof poolLevels>[0];

const generator = (
  pools: readonly (readonly [bytes: number, drains: number])[],
  more: Partial<Generator>,
): Generator => ({
  schedule: 'improved',
  seeded: true,
  reseeds: 1,
  directReseeds: 1,
  pools: pools.map(([bytes, drains]) => ({ bytes, drains })),
  ...more,
});

it('measures each pool against what it will hold at its turn', () => {
  // Ten bytes a step and pool: pool 2 has its turn at ticks 9 and 18, and stands at 4 of 9.
  const levels = poolLevels(
    generator(
      [
        [5, 12],
        [15, 4],
        [45, 1],
      ],
      { tick: 13 },
    ),
  );
  expect(levels.map(({ stepsLeft }) => stepsLeft)).toEqual([1, 2, 5]);
  expect(levels.map(({ fill }) => Math.round(fill * 100))).toEqual([50, 50, 50]);
});

it('shows a pool whose due drain waits for a read as full, and the others as they are', () => {
  const levels = poolLevels(
    generator(
      [
        [130, 1],
        [130, 1],
        [130, 1],
        [135, 0],
      ],
      { tick: 13 },
    ),
  );
  expect(levels.map(({ fill }) => Math.round(fill * 10) / 10)).toEqual([1, 1, 1, 0.5]);
});

it('knows the book’s schedule too: pool i at every 2^i-th reseed that the schedule called for', () => {
  const levels = poolLevels(
    generator(
      [
        [0, 7],
        [64, 3],
        [192, 1],
      ],
      { schedule: 'classic', reseeds: 9, directReseeds: 2 },
    ),
  );
  expect(levels.map(({ periodSteps, stepsLeft }) => [periodSteps, stepsLeft])).toEqual([
    [1, 1],
    [2, 1],
    [4, 1],
  ]);
});

it('never shows less than nothing or more than full, whatever an accumulator does', () => {
  const accumulator = new Accumulator({ schedule: 'improved', monotonicMs: () => (now += 11) });
  let now = 0;
  accumulator.reseedDirect('test', [{ label: 'os', bytes: new Uint8Array(32).fill(1) }]);
  for (let i = 0; i < 2_000; i++) {
    accumulator.add(i % 3, new Uint8Array(32).fill(i));
    if (i % 7 === 0) accumulator.generate(32);
    const { tick } = accumulator;
    const pools = accumulator.pools.map(({ lengthBytes: bytes, drainCount: drains }) => ({ bytes, drains }));
    const levels = poolLevels(generator([], { pools, ...(tick !== undefined && { tick }) }));
    expect(levels.every(({ fill }) => fill >= 0 && fill <= 1)).toBe(true);
    expect(levels.map(({ bytes, drains }) => ({ bytes, drains }))).toEqual(pools);
  }
});

it('says which pools were emptied, and when turns wait', () => {
  const before = generator(
    [
      [5, 12],
      [15, 4],
    ],
    { tick: 13, reseeds: 12 },
  );
  const after = generator(
    [
      [0, 13],
      [20, 4],
    ],
    { tick: 14, reseeds: 13 },
  );
  expect(drainedBetween(before, after)).toEqual([0]);
  expect(isWaiting(before, after)).toBe(false);
  expect(isWaiting(before, { ...after, reseeds: 12 })).toBe(true);
  expect(isWaiting(before, { ...after, reseeds: 12, seeded: false })).toBe(false);
});
