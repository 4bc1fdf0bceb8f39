import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { able, unable } from './ability.js';
import type { Environment } from './environment.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { fixedProcess, notingNative } from './fixed-process.fixture.js';
import { LocalRoot, type LocalRootOptions } from './local-root.js';

function rootOn(environment: Environment, options: Partial<LocalRootOptions> = {}) {
  const process = fixedProcess(environment);
  const notes: { call: string; bytes: string }[] = [];
  const root = new LocalRoot({ environment, process, native: notingNative(notes), ...options });
  return { root, process, notes };
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** What the first output of a root seeded on this machine is. */
function firstOutput(environment: Environment, options?: Partial<LocalRootOptions>): string {
  const { root } = rootOn(environment, options);
  root.reseedIfDue();
  return hex(root.generate(32));
}

describe('first seeding', () => {
  it('is the same on the same machine at the same moment: the separators below are all there is', () => {
    expect(firstOutput(fixedEnvironment())).toBe(firstOutput(fixedEnvironment()));
  });

  it.each([
    ['OS RNG', { osRandom: (n: number) => new Uint8Array(n).fill(1) }],
    ['OpenSSL', { runtimeRandom: (n: number) => new Uint8Array(n).fill(1) }],
    ['CPU', { cpuRandom: (n: number) => able(new Uint8Array(n).fill(1)) }],
    ['real time', { realtimeNs: () => 1n }],
    ['monotonic time', { monotonicNs: () => 1n }],
    ['cycle counter', { cycleCounter: () => able(1n) }],
    ['boot id', { bootId: () => able(new Uint8Array(16).fill(1)) }],
    ['VM generation', { vmGeneration: () => able(Uint8Array.of(1)) }],
  ])('differs by the %s alone', (_, other: Partial<Environment>) => {
    expect(firstOutput({ ...fixedEnvironment(), ...other })).not.toBe(firstOutput(fixedEnvironment()));
  });

  it.each([
    ['process number', { pid: () => 1001 }],
    ['thread number', { threadId: 1 }],
    ['root number', { nextRoot: () => 2 }],
  ])('differs by the %s alone', (_, other) => {
    const environment = fixedEnvironment();
    const process = { ...fixedProcess(environment), ...other };
    expect(firstOutput(environment, { process })).not.toBe(firstOutput(fixedEnvironment()));
  });

  it('asks own sources first, then burst, CPU, and the OS last', () => {
    const order: string[] = [];
    const fixed = fixedEnvironment();
    const note = <A extends unknown[], R>(name: string, call: (...given: A) => R) => {
      return (...given: A): R => {
        if (order.at(-1) !== name) order.push(name);
        return call(...given);
      };
    };
    const environment: Environment = {
      ...fixed,
      osRandom: note('os', (lengthBytes: number) => fixed.osRandom(lengthBytes)),
      cpuRandom: note('cpu', () => unable('fixed')),
      monotonicNs: note('burst', () => fixed.monotonicNs()),
      cycleCounter: () => unable('fixed'),
      realtimeNs: () => 0n,
    };
    const sources = [{ name: 'mine', sample: note('mine', () => Uint8Array.of(1)) }];
    firstOutput(environment, {
      sources,
      process: { ...fixedProcess(fixed), bootTimeNs: () => unable('fixed') },
    });
    expect(order.slice(0, 4)).toEqual(['mine', 'burst', 'cpu', 'os']);
  });

  it('does not happen without the OS, however much else there is; says so; and is tried again', () => {
    let broken = true;
    const fixed = fixedEnvironment();
    const environment = {
      ...fixed,
      osRandom(lengthBytes: number) {
        if (broken) throw new LamplighterError('ERR_OS_RNG', '/dev/urandom cannot be read');
        return fixed.osRandom(lengthBytes);
      },
    };
    const { root } = rootOn(environment, { sources: [{ name: 'mine', sample: () => new Uint8Array(64) }] });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(() => root.reseedIfDue()).toThrow(expect.objectContaining({ code: 'ERR_OS_RNG' }));
      expect(() => root.generate(1)).toThrow(expect.objectContaining({ code: 'ERR_NOT_SEEDED' }));
      expect(root.seeded).toBe(false);
      expect(root.osFailure).toBe('/dev/urandom cannot be read');
    }
    broken = false;
    root.reseedIfDue();
    expect(root.seeded).toBe(true);
    expect(root.osFailure).toBeUndefined();
  });

  it('takes a source that answers later straight into the root once, and into the pools from then on', async () => {
    let answer: (bytes: Uint8Array) => void = () => undefined;
    const sample = (): Promise<Uint8Array> =>
      new Promise((resolve) => {
        answer = resolve;
      });
    const environment = fixedEnvironment();
    const { root } = rootOn(environment, { sources: [{ name: 'slow', sample }] });
    const asked = root.askOwnSources();
    root.reseedIfDue();
    expect(root.directReseeds).toBe(1);
    answer(Uint8Array.of(1));
    await asked;
    expect(root.directReseeds).toBe(2);
    environment.advance(1_000);
    root.reseedIfDue();
    answer(Uint8Array.of(2));
    await new Promise(setImmediate);
    expect(root.directReseeds).toBe(2);
    expect(root.ownSources()).toMatchObject([{ name: 'slow', state: 'ok', answers: 2 }]);
  });
});

describe('while it is used', () => {
  it('hears OS, CPU and own sources once a second at most, and reseeds from what it heard', () => {
    let asked = 0;
    const fixed = fixedEnvironment();
    const environment = {
      ...fixed,
      osRandom(lengthBytes: number) {
        asked += 1;
        return fixed.osRandom(lengthBytes);
      },
    };
    const { root } = rootOn(environment);
    root.reseedIfDue();
    for (let refill = 0; refill < 1_000; refill += 1) root.reseedIfDue();
    expect(asked).toBe(1);
    for (let second = 0; second < 40; second += 1) {
      fixed.advance(1_000);
      root.reseedIfDue();
    }
    expect(asked).toBe(41);
    expect(root.directReseeds).toBe(1);
    expect(root.generation).toBeGreaterThan(2);
  });

  it('goes on when the OS RNG fails later, and names it', () => {
    let broken = false;
    const fixed = fixedEnvironment();
    const environment = {
      ...fixed,
      osRandom(lengthBytes: number) {
        if (broken) throw new Error('EMFILE');
        return fixed.osRandom(lengthBytes);
      },
    };
    const { root } = rootOn(environment);
    root.reseedIfDue();
    broken = true;
    fixed.advance(1_000);
    root.reseedIfDue();
    expect(root.generate(8)).toHaveLength(8);
    expect(root.osFailure).toBe('EMFILE');
  });
});

describe('resume', () => {
  it('wipes, then burst, kernel, OS, OpenSSL in this order; own steps where they belong; and drains no pool', () => {
    const fixed = fixedEnvironment();
    const order: string[] = [];
    const environment: Environment = {
      ...fixed,
      osRandom(lengthBytes) {
        order.push('os');
        return fixed.osRandom(lengthBytes);
      },
      cpuRandom(lengthBytes) {
        order.push('cpu');
        return able(new Uint8Array(lengthBytes).fill(3));
      },
    };
    const own = (name: string) => () => {
      order.push(name);
      return able(true);
    };
    const note = (name: string) => () => own(name)();
    const { root } = rootOn(environment, {
      native: {
        ...notingNative(),
        addEntropy: note('addEntropy'),
        reseedKernel: note('reseedKernel'),
        reseedOpenssl: note('openssl'),
      },
      steps: {
        destroyConnections: own('destroyConnections'),
        hostEntropy: own('hostEntropy'),
        rotateSeed: own('rotateSeed'),
        fetchBeacons: own('fetchBeacons'),
      },
    });
    root.onWipe(() => order.push('wipe'));
    root.reseedIfDue();
    order.length = 0;
    const scheduled = root.generation - root.directReseeds;
    const report = root.resume();
    expect(order).toEqual([
      'destroyConnections',
      'wipe',
      'cpu',
      'hostEntropy',
      'addEntropy',
      'reseedKernel',
      'os',
      'openssl',
      'rotateSeed',
      'fetchBeacons',
    ]);
    expect(report).toMatchObject({ sign: 'resume', os: 'fresh' });
    expect(report.steps.every(({ undone }) => undone === undefined)).toBe(true);
    expect(root.generation - root.directReseeds).toBe(scheduled);
    expect(root.number).toBe(1);
  });

  it('credits the kernel nothing, and gives kernel and OpenSSL different bytes', () => {
    const { root, notes } = rootOn(fixedEnvironment());
    root.resume();
    expect(notes.map(({ call }) => call)).toEqual(['addEntropy(0)', 'reseedKernel', 'reseedOpenssl']);
    const [kernel, , openssl] = notes;
    expect(kernel?.bytes).toHaveLength(64);
    expect(openssl?.bytes).toHaveLength(128);
    expect(openssl?.bytes).not.toContain(kernel?.bytes);
  });

  it('does not touch the kernel’s reseed when nothing could be added, and reports that the OS may repeat', () => {
    const native = { ...notingNative(), addEntropy: () => unable('needs CAP_SYS_ADMIN') };
    const { root } = rootOn(fixedEnvironment(), { native });
    const report = root.resume();
    expect(report.os).toBe('may repeat');
    expect(report.steps).toContainEqual({ name: 'reseedKernel', undone: 'needs CAP_SYS_ADMIN' });
  });

  it.each([
    ['pid', 0],
    ['vm-generation', 1],
    ['clock', 1],
    ['cycle-counter', 0],
  ] as const)('happens before the next byte on the sign %s', (sign, afterMs) => {
    const fixed = fixedEnvironment();
    let copied = false;
    const environment: Environment = {
      ...fixed,
      vmGeneration: () => able(Uint8Array.of(copied && sign === 'vm-generation' ? 2 : 1)),
      realtimeNs: () => fixed.realtimeNs() + (copied && sign === 'clock' ? 10_000_000_000n : 0n),
      cycleCounter: () => able(copied && sign === 'cycle-counter' ? 5n : fixed.monotonicNs()),
    };
    const { root, process } = rootOn(environment);
    root.reseedIfDue();
    copied = true;
    if (sign === 'pid') process.number += 1;
    fixed.advance(afterMs);
    root.reseedIfDue();
    expect(root.lastResume?.sign).toBe(sign);
    expect(root.number).toBe(1);
    root.reseedIfDue();
    expect(root.number).toBe(1);
  });

  it('on clock steps at most once a second, however often the clock is set', () => {
    const fixed = fixedEnvironment();
    let stepNs = 0n;
    const { root } = rootOn({ ...fixed, realtimeNs: () => fixed.realtimeNs() + stepNs });
    root.reseedIfDue();
    for (let passedMs = 0; passedMs < 3_000; passedMs += 10) {
      stepNs += 5_000_000_000n;
      fixed.advance(10);
      root.reseedIfDue();
    }
    expect(root.number).toBe(3);
  });

  it('before first use seeds first: a burst alone never makes a root look seeded', () => {
    const environment = {
      ...fixedEnvironment(),
      osRandom(): Uint8Array {
        throw new LamplighterError('ERR_OS_RNG', 'no device');
      },
    };
    const { root } = rootOn(environment);
    expect(() => root.resume()).toThrow(expect.objectContaining({ code: 'ERR_OS_RNG' }));
    expect(root.seeded).toBe(false);
  });
});
