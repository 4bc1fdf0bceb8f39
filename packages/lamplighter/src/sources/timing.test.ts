import { describe, expect, it, vi } from 'vitest';
import { able, unable } from '../local/ability.js';
import { type Environment, newArrivals, systemEnvironment } from '../local/environment.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { describeSourceCompliance } from './source.compliance.js';
import { timingSource } from './timing.js';

const NEVER = new AbortController().signal;

describeSourceCompliance('timing', () =>
  Promise.resolve({
    source: timingSource({ periodMs: 1 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

/** No two arrivals share a turn of the event loop. */
const eachATurn = (endTurn: () => void): void => endTurn();

/**
 * A still machine on which packets arrive when the test says, at moments that are irregular to the nanosecond but the same in
 * every run, and whose clock shows them only in steps.
 */
function arriving(readClock: (trueNs: number) => bigint) {
  let trueNs = 1_000_000_000;
  let state = 1;
  const environment: Environment = {
    ...fixedEnvironment(),
    arrivals: newArrivals(eachATurn),
    cycleCounter: () => unable('none'),
    monotonicNs: () => readClock(trueNs),
  };
  return {
    environment,
    arrive: (times: number): void => {
      for (let arrival = 0; arrival < times; arrival += 1) {
        // Every 50 ms, up to 0.4 ms late: xorshift32.
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        trueNs += 50_000_000 + ((state >>> 0) % 400_000);
        environment.arrivals.note();
      }
    },
  };
}

const inStepsOf =
  (stepNs: number) =>
  (trueNs: number): bigint =>
    BigInt(Math.floor(trueNs / stepNs) * stepNs);

async function started(readClock: (trueNs: number) => bigint) {
  const { environment, arrive } = arriving(readClock);
  const source = timingSource({ periodMs: 3_600_000, diskPeriodMs: 3_600_000 }, environment);
  const heard: number[] = [];
  await source.start({ hear: (bytes) => void heard.push(...bytes) }, NEVER);
  return { source, arrive, heard };
}

/** How many of the eight bits were both 0 and 1 among these bytes. */
const movingBits = (bytes: readonly number[]): number =>
  [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => new Set(bytes.map((byte) => (byte >> bit) & 1)).size === 2).length;

describe('timing', () => {
  it('makes one event of sixteen moments, packet arrivals included', async () => {
    let count = 0x1ff00n;
    const environment = {
      ...systemEnvironment(),
      arrivals: newArrivals(eachATurn),
      cycleCounter: () => able((count += 1n)),
    };
    const events: number[][] = [];
    const source = timingSource({ periodMs: 60_000, diskPeriodMs: 60_000 }, environment);
    await source.start({ hear: (bytes) => events.push([...bytes]) }, NEVER);
    for (let i = 0; i < 15; i += 1) environment.arrivals.note();
    expect(events).toEqual([]);
    environment.arrivals.note();
    expect(events).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]]);
    expect(source.status().details).toMatchObject({ moments: 16, arrivals: 16, clock: 'cycle counter' });
    await source.stop();
    for (let i = 0; i < 32; i += 1) environment.arrivals.note();
    expect(events).toHaveLength(1);
  });

  it('hears disk completions', async () => {
    const source = timingSource({ periodMs: 60_000, diskPeriodMs: 1 }, systemEnvironment());
    let events = 0;
    await source.start({ hear: () => (events += 1) }, NEVER);
    await vi.waitFor(() => expect(events).toBeGreaterThan(0), 10_000);
    expect(source.status().details).toMatchObject({ turns: 0, arrivals: 0, diskFailures: 0 });
    await source.stop();
  });

  it('takes sixty-four turns for an answer, without being started, and knows its clock by then', async () => {
    const source = timingSource({}, systemEnvironment());
    expect(await source.sample(NEVER)).toHaveLength(64);
    expect(source.status().details['minEntropyBits']).toBeGreaterThan(0);
  });
});

describe('timing on a coarse clock', () => {
  it('1 µs: the bits are taken above the step, so that all eight move', async () => {
    const { source, arrive, heard } = await started(inStepsOf(1_000));
    arrive(65);
    expect(source.status().details).toMatchObject({ clockStep: 1_000 });
    heard.length = 0;
    arrive(15 + 10 * 16);
    expect(movingBits(heard)).toBe(8);
    expect(source.status()).toMatchObject({ state: 'ok' });
    expect(source.status().details['minEntropyBits']).toBeGreaterThan(3);
    await source.stop();
  });

  it('4.096 µs without the shift would move no bit at all; with it all move', async () => {
    const { source, arrive, heard } = await started(inStepsOf(4_096));
    arrive(64);
    expect(movingBits(heard)).toBe(0);
    arrive(1);
    heard.length = 0;
    arrive(15 + 10 * 16);
    expect(source.status().details).toMatchObject({ clockStep: 4_096 });
    expect(movingBits(heard)).toBe(8);
    await source.stop();
  });

  it('a cycle counter scaled by 26 is known for what it is', async () => {
    const { source, arrive } = await started((trueNs) => BigInt(Math.floor(trueNs / 10)) * 26n);
    arrive(65);
    expect(source.status()).toMatchObject({ state: 'ok', details: { clockStep: 26 } });
    await source.stop();
  });

  it('15.6 ms: nothing to be had; degraded with its number, and still mixed', async () => {
    const { source, arrive, heard } = await started(inStepsOf(15_600_000));
    arrive(80);
    const { state, reason, details, basis } = source.status();
    expect(state).toBe('degraded');
    expect(reason?.code).toBe('ERR_CLOCK_COARSE');
    expect(reason?.message).toContain('steps of 15600000');
    expect(details['minEntropyBits']).toBeLessThan(1);
    expect(basis.physical).toBe(false);
    expect(heard).toHaveLength(80);
    await source.stop();
  });

  it('a clock that stands still degrades it; one that moves again cures it after four windows', async () => {
    let isStill = true;
    const { source, arrive } = await started((trueNs) => (isStill ? 5n : BigInt(trueNs)));
    arrive(65);
    expect(source.status()).toMatchObject({ state: 'degraded', details: { minEntropyBits: 0 } });
    isStill = false;
    arrive(64 * 3);
    expect(source.status().state).toBe('degraded');
    arrive(64);
    expect(source.status()).toMatchObject({ state: 'ok', details: { clockStep: 1 } });
    expect(source.status().reason).toBeUndefined();
    await source.stop();
  });

  it('a clock set back is judged by what follows', async () => {
    let backNs = 0n;
    const { source, arrive } = await started((trueNs) => BigInt(trueNs) - backNs);
    arrive(30);
    backNs = 900_000_000n;
    arrive(40);
    expect(source.status()).toMatchObject({ state: 'ok', details: { clockStep: 1 } });
    await source.stop();
  });

  it('an answer on a clock that stands still is given, and the state says what it is worth', async () => {
    const source = timingSource({}, { ...fixedEnvironment(), cycleCounter: () => able(7n) });
    expect(await source.sample(NEVER)).toEqual(new Uint8Array(64).fill(7));
    expect(source.status()).toMatchObject({ state: 'degraded', reason: { code: 'ERR_CLOCK_COARSE' } });
  });
});
