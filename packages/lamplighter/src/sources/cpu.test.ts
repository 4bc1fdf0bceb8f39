import { readFile } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { able, unable } from '../local/ability.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { cpuSource } from './cpu.js';
import { describeSourceCompliance } from './source.compliance.js';

const NEVER = new AbortController().signal;
const NEITHER = 'this CPU has neither RDSEED nor RDRAND';

/** The compliance suite needs a CPU that answers; where there is none it runs on the OS RNG in its place. */
const answering = (): Environment => {
  const system = systemEnvironment();
  if (system.cpuRandom(16, 'seed').supported) return system;
  return { ...system, cpuRandom: (lengthBytes) => able(system.osRandom(lengthBytes)) };
};

describeSourceCompliance('cpu', () =>
  Promise.resolve({
    source: cpuSource({ periodMs: 20 }, answering()),
    cleanUp: () => Promise.resolve(),
  }),
);

afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

describe('cpu', () => {
  it('asks for seed-grade bytes, 16 at a time, and gives 32 to a round', async () => {
    const asked: [number, string][] = [];
    let fill = 0;
    const environment: Environment = {
      ...systemEnvironment(),
      cpuRandom(lengthBytes, use) {
        asked.push([lengthBytes, use]);
        return able(new Uint8Array(lengthBytes).fill((fill += 1)));
      },
    };
    const bytes = await cpuSource({}, environment).sample(NEVER);
    expect([...(bytes ?? [])]).toEqual([...Array<number>(16).fill(1), ...Array<number>(16).fill(2)]);
    expect(asked).toEqual([
      [16, 'seed'],
      [16, 'seed'],
    ]);
  });

  it('a CPU that has neither instruction is absent: no fault, and nothing is heard', async () => {
    const environment = { ...systemEnvironment(), cpuRandom: () => unable(NEITHER) };
    const source = cpuSource({}, environment);
    let events = 0;
    await source.start({ hear: () => (events += 1) }, NEVER);
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'absent',
      reason: { code: 'ERR_SOURCE_ABSENT', message: NEITHER },
    });
    expect(events).toBe(0);
    await source.stop();
  });

  it('knows absence by the words of the addon itself', async () => {
    const addon = await readFile(new URL('../../../native/src/cpu.c', import.meta.url), 'utf8');
    expect(addon).toContain('"this CPU has neither " SEED_NAME');
  });

  it('without the addon it is absent', async () => {
    vi.stubEnv('LAMPLIGHTER_NATIVE', 'off');
    vi.resetModules();
    const { systemEnvironment: without } = await import('../local/environment.js');
    const source = cpuSource({}, without());
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'absent', reason: { code: 'ERR_SOURCE_ABSENT' } });
  });

  it.each([
    'RDSEED is stuck: all ones',
    'RDRAND gave nothing, however often it was asked',
    'this CPU has a new fault',
  ])('%s: failed, nothing in its place, and back', async (reason) => {
    let isBroken = true;
    const environment: Environment = {
      ...systemEnvironment(),
      cpuRandom: (lengthBytes) => (isBroken ? unable(reason) : able(new Uint8Array(lengthBytes))),
    };
    const source = cpuSource({}, environment);
    expect(await source.sample(NEVER)).toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_CPU_RNG', message: reason },
    });
    isBroken = false;
    expect(await source.sample(NEVER)).toHaveLength(32);
    expect(source.status().state).toBe('ok');
  });

  it('fails between two pieces: the round gets neither', async () => {
    let piece = 0;
    const first = new Uint8Array(16).fill(7);
    const environment: Environment = {
      ...systemEnvironment(),
      cpuRandom: () => ((piece += 1) === 1 ? able(first) : unable('RDSEED is stuck: it repeats')),
    };
    expect(await cpuSource({}, environment).sample(NEVER)).toBeUndefined();
    expect(first.every((byte) => byte === 0)).toBe(true);
  });
});
