import { describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { jitterSource } from './jitter.js';
import { irregular, scriptedClock } from './scripted-clock.fixture.js';

const NEVER = new AbortController().signal;

describeSourceCompliance('jitter', () =>
  Promise.resolve({
    source: jitterSource({ cpuShare: 0.1 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

/** Enough for any number of bursts: one is due every 25 ms. */
const SECOND_MS = 1_000;

describe('jitter', () => {
  it('hears every measurement, four bytes each, a burst of 64 at a time', async () => {
    const { environment } = scriptedClock((nth) => 1_000 + nth);
    const source = jitterSource({}, environment);
    const events: Uint8Array[] = [];
    await source.start({ hear: (bytes) => events.push(Uint8Array.from(bytes)) }, NEVER);
    expect(events).toHaveLength(1);
    const view = new DataView(events[0]?.buffer ?? new ArrayBuffer(0));
    expect(view.byteLength).toBe(256);
    expect([view.getInt32(0), view.getInt32(4), view.getInt32(252)]).toEqual([1_000, 1_001, 1_063]);
    await source.stop();
  });

  it('gives 256 measurements to a round, each new', async () => {
    const { environment } = scriptedClock((nth) => nth);
    const source = jitterSource({}, environment);
    const first = await source.sample(NEVER);
    const second = await source.sample(NEVER);
    expect(first).toHaveLength(1_024);
    expect(new DataView(first?.buffer ?? new ArrayBuffer(0)).getInt32(1_020)).toBe(255);
    expect(new DataView(second?.buffer ?? new ArrayBuffer(0)).getInt32(0)).toBe(256);
  });

  it.each([
    ['stands still', () => 0, 'ERR_CLOCK_COARSE'],
    ['ticks by itself', () => 1_000, 'ERR_CLOCK_COARSE'],
    ['ticks ever slower', (nth: number) => 1_000 + nth, 'ERR_HEALTH_START_UP'],
  ])('a clock that %s: degraded, still heard, and back when it is real', async (_, timeOf, code) => {
    const { environment, script } = scriptedClock(timeOf);
    const source = jitterSource({}, environment);
    let events = 0;
    await source.start({ hear: () => (events += 1) }, NEVER);
    environment.advance(SECOND_MS);
    expect(source.status()).toMatchObject({ state: 'degraded', reason: { code } });
    const before = events;
    script(irregular);
    environment.advance(3 * SECOND_MS);
    expect(events).toBeGreaterThan(before);
    expect(source.status().state).toBe('ok');
    expect(source.status().reason).toBeUndefined();
    script(timeOf);
    environment.advance(SECOND_MS);
    expect(source.status().state).toBe('degraded');
    await source.stop();
  });

  it('recovers not before three start-up tests have passed', async () => {
    const { environment, script } = scriptedClock(irregular);
    const source = jitterSource({}, environment);
    await source.start({ hear: () => undefined }, NEVER);
    environment.advance(SECOND_MS);
    expect(source.status().state).toBe('ok');
    script((nth) => (nth < 64 ? 7 : irregular(nth)));
    environment.advance(25);
    expect(source.status()).toMatchObject({
      state: 'degraded',
      reason: { code: 'ERR_HEALTH_REPETITION_COUNT' },
    });
    environment.advance(SECOND_MS);
    expect(source.status().state).toBe('degraded');
    environment.advance(SECOND_MS);
    expect(source.status().state).toBe('ok');
    await source.stop();
  });
});

describe('jitter: its share of a core', () => {
  /** What each pause after a burst was, when a measurement takes so long by the monotonic clock. */
  async function paces(measurementNs: bigint, cpuShare?: number) {
    const clock = scriptedClock(irregular);
    let nowNs = 0n;
    let readings = 0;
    const pausesMs: number[] = [];
    const lengths: number[] = [];
    const environment = {
      ...clock.environment,
      // Read once before a burst, once at its begin, then after each measurement.
      monotonicNs: () => ((readings += 1) > 2 ? (nowNs += measurementNs) : nowNs),
      timers: {
        ...clock.environment.timers,
        after: (delayMs: number) => {
          pausesMs.push(delayMs);
          return { cancel: () => undefined };
        },
      },
    };
    const source = jitterSource(cpuShare === undefined ? {} : { cpuShare }, environment);
    await source.start({ hear: (bytes) => lengths.push(bytes.length / 4) }, NEVER);
    await source.stop();
    return { pauseMs: pausesMs[0] ?? 0, measurements: lengths[0] ?? 0, burstMs: Number(nowNs) / 1e6 };
  }

  it('is 1 % unless told', async () => {
    const { pauseMs, measurements, burstMs } = await paces(10_000n);
    expect(measurements).toBe(64);
    expect(burstMs / (burstMs + pauseMs)).toBeCloseTo(0.01, 3);
  });

  it('is what it was told', async () => {
    const { pauseMs, burstMs } = await paces(10_000n, 0.2);
    expect(burstMs / (burstMs + pauseMs)).toBeCloseTo(0.2, 3);
  });

  it('on a slow machine a burst ends after 1 ms', async () => {
    const { measurements, burstMs } = await paces(200_000n);
    expect(measurements).toBe(5);
    expect(burstMs).toBeLessThan(1.5);
  });

  it('on a clock that sees nothing of it a burst has its 64 measurements and its pause', async () => {
    const { pauseMs, measurements } = await paces(0n);
    expect(measurements).toBe(64);
    expect(pauseMs).toBeCloseTo(0.25 / 0.01 - 0.25, 6);
  });

  it('a machine that slept in the middle of a burst is heard again within 10 s', async () => {
    expect((await paces(3_600_000_000_000n)).pauseMs).toBe(10_000);
  });

  it('holds up no event loop: on this machine most bursts take less than 2 ms', async () => {
    const system = systemEnvironment();
    const lastedMs: number[] = [];
    const environment = {
      ...system,
      timers: {
        ...system.timers,
        after: (delayMs: number, run: () => void) =>
          system.timers.after(delayMs, () => {
            const startedNs = system.monotonicNs();
            run();
            lastedMs.push(Number(system.monotonicNs() - startedNs) / 1e6);
          }),
      },
    };
    const source = jitterSource({ cpuShare: 0.2 }, environment);
    await source.start({ hear: () => undefined }, NEVER);
    await vi.waitFor(() => expect(lastedMs.length).toBeGreaterThan(50), 10_000);
    await source.stop();
    const median = lastedMs.sort((a, b) => a - b)[Math.floor(lastedMs.length / 2)];
    expect(median).toBeLessThan(2);
  });

  it.each([0, -1, 0.6, Number.NaN])('refuses a share of %d', (cpuShare) => {
    expect(() => jitterSource({ cpuShare }, systemEnvironment())).toThrow(RangeError);
  });
});
