import { describe, expect, it } from 'vitest';
import { able, unable } from '../local/ability.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { describeSourceCompliance } from './source.compliance.js';
import { whirlwindSource } from './whirlwind.js';

describeSourceCompliance('whirlwind', () =>
  Promise.resolve({
    source: whirlwindSource({ periodMs: 50 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

/** The real machine, brought back to one state before each burst: its counter begins at 0 again, as in a restored clone. */
function restored(counter: (system: Environment) => bigint): Environment {
  const system = systemEnvironment();
  const restoredAt = counter(system);
  return {
    ...system,
    cycleCounter: () => able(counter(system) - restoredAt),
    monotonicNs: () => counter(system) - restoredAt,
  };
}

async function burstOf(environment: Environment): Promise<string> {
  const bytes = await whirlwindSource({}, environment).sample(new AbortController().signal);
  expect(bytes).toHaveLength(800);
  return Buffer.from(bytes ?? []).toString('hex');
}

async function bursts(make: () => Environment): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let resume = 0; resume < 50; resume += 1) seen.add(await burstOf(make()));
  return seen;
}

describe('whirlwind: fifty resumes from one state (Everspaugh et al., section VI)', () => {
  it('no two bursts are equal, by the cycle counter', async () => {
    const cycles = (system: Environment): bigint => {
      const counter = system.cycleCounter();
      return counter.supported ? counter.value : system.monotonicNs();
    };
    expect((await bursts(() => restored(cycles))).size).toBe(50);
  });

  it('no two bursts are equal, by the monotonic clock alone', async () => {
    const withoutCounter = (): Environment => ({
      ...restored((system) => system.monotonicNs()),
      cycleCounter: () => unable('switched off'),
    });
    expect((await bursts(withoutCounter)).size).toBe(50);
  });

  it('the experiment can fail: where nothing moves by itself, all are', async () => {
    const ticking = (): Environment => {
      let ticks = 0n;
      return { ...fixedEnvironment(), cycleCounter: () => able((ticks += 997n)) };
    };
    expect((await bursts(ticking)).size).toBe(1);
  });
});

describe('whirlwind', () => {
  it('speaks at start and every period', async () => {
    const environment = fixedEnvironment();
    const source = whirlwindSource({ periodMs: 60_000 }, environment);
    const events: number[] = [];
    await source.start({ hear: (bytes) => events.push(bytes.length) }, new AbortController().signal);
    expect(events).toEqual([800]);
    environment.advance(59_999);
    expect(events).toEqual([800]);
    environment.advance(1);
    expect(events).toEqual([800, 800]);
    await source.stop();
    environment.advance(600_000);
    expect(events).toEqual([800, 800]);
  });

  it('a clock that stands still degrades it, and it is heard all the same; a clock that moves cures it', async () => {
    let ticks = 0n;
    let step = 0n;
    const environment = { ...fixedEnvironment(), cycleCounter: () => able((ticks += step)) };
    const source = whirlwindSource({}, environment);
    expect(await source.sample(new AbortController().signal)).toHaveLength(800);
    expect(source.status()).toMatchObject({ state: 'degraded', reason: { code: 'ERR_CLOCK_COARSE' } });
    step = 1n;
    await source.sample(new AbortController().signal);
    expect(source.status()).toMatchObject({ state: 'ok', details: { movedShare: 1 } });
    expect(source.status().reason).toBeUndefined();
  });
});
