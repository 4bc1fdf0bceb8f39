import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FixedEnvironment, fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import type { Policy } from './policy.js';
import { watchPolicy } from './policy-watch.js';

const DAY_MS = 86_400_000;

let folder: string;
let stop: (() => Promise<void>) | undefined;
beforeEach(async () => {
  folder = join(await fs.mkdtemp(join(tmpdir(), 'lamplighter-watch-')), 'policy');
  await fs.mkdir(folder);
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
  await fs.rm(join(folder, '..'), { recursive: true, force: true });
});

interface Watched {
  readonly policies: Policy[];
  readonly faults: (readonly LamplighterError[])[];
  /** Resolves once something that was told, now or later, is as it should be. */
  readonly until: (
    isSo: (latest: Policy | undefined, faults: readonly LamplighterError[]) => boolean,
  ) => Promise<void>;
}

function watch(
  environment: Pick<Environment, 'fs' | 'monotonicNs' | 'realtimeNs' | 'timers'>,
  prune = false,
): Watched {
  const stopping = new AbortController();
  const policies: Policy[] = [];
  const faults: (readonly LamplighterError[])[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  const watching = watchPolicy(
    folder,
    environment,
    {
      onPolicy: (policy) => {
        policies.push(policy);
        wake();
      },
      onFaults: (found) => {
        faults.push(found);
        wake();
      },
    },
    stopping.signal,
    { prune },
  );
  stop = () => {
    stopping.abort();
    return watching;
  };
  return {
    policies,
    faults,
    until: (isSo) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!isSo(policies.at(-1), faults.at(-1) ?? [])) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

/** As `ca revoke` does it. */
async function decide(file: string, content: object | string = {}): Promise<void> {
  const path = join(folder, file);
  await fs.writeFile(`${path}.tmp`, typeof content === 'string' ? content : JSON.stringify(content));
  await fs.rename(`${path}.tmp`, path);
}

/** No look by the clock ever comes: what is heard was told by the file system. */
function onlyTold(): Environment {
  const system = systemEnvironment();
  return { ...system, timers: { ...system.timers, after: () => ({ cancel: () => undefined }) } };
}

/** The file system tells nothing: what is heard was looked at. */
function neverTold(): Environment {
  const system = systemEnvironment();
  const silent: typeof fs = {
    ...fs,
    watch: ((_path: string, { signal }: { signal: AbortSignal }) =>
      (async function* () {
        yield* [];
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      })()) as unknown as typeof fs.watch,
  };
  return { ...system, fs: silent };
}

describe('watchPolicy', () => {
  it('tells what there is, and every change as soon as the file system tells of it', async () => {
    await decide('name-before.json');
    const { until, policies } = watch(onlyTold());
    await until((policy) => policy?.revokedNames.has('before') === true);
    const tookMs: number[] = [];
    for (let i = 0; i < 20; i++) {
      const path = join(folder, `name-web-${i}.json`);
      await fs.writeFile(`${path}.tmp`, '{}');
      // Of the renaming alone is what follows told.
      const startedMs = performance.now();
      await fs.rename(`${path}.tmp`, path);
      await until((policy) => policy?.revokedNames.has(`web-${i}`) === true);
      tookMs.push(performance.now() - startedMs);
    }
    await fs.rm(join(folder, 'name-before.json'));
    await until((policy) => policy?.revokedNames.has('before') === false);
    expect(policies.at(-1)?.revokedNames.size).toBe(20);
    // The quickest says what it takes; the slowest, what else this machine does.
    expect(Math.min(...tookMs)).toBeLessThan(100);
  });

  it('hears of a quota that is written over in its place', async () => {
    await decide('quota-web-1.json', { connections: 1 });
    const { until } = watch(onlyTold());
    await until((policy) => policy?.quotas.get('web-1')?.connections === 1);
    await fs.writeFile(join(folder, 'quota-web-1.json'), '{"connections":2}');
    await until((policy) => policy?.quotas.get('web-1')?.connections === 2);
  });

  it('looks where nobody tells', async () => {
    const { until } = watch(neverTold());
    await until((policy) => policy !== undefined);
    await decide('name-web-1.json');
    await until((policy) => policy?.revokedNames.has('web-1') === true);
    await decide('name-web-2.json');
    await until((policy) => policy?.revokedNames.has('web-2') === true);
  });

  it('says when nobody will tell', async () => {
    const system = systemEnvironment();
    const full: typeof fs = {
      ...fs,
      watch: () => {
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      },
    };
    const { until } = watch({ ...system, fs: full });
    await until((_, faults) => faults[0]?.message.includes('ENOSPC') === true);
    await decide('name-web-1.json');
    await until((policy) => policy?.revokedNames.has('web-1') === true);
  });

  it('keeps what it knows while the folder is away, says so, and follows the one that comes', async () => {
    await decide('name-web-1.json');
    const { until, policies } = watch(systemEnvironment());
    await until((policy, faults) => policy !== undefined && faults.length === 0);
    await fs.rename(folder, `${folder}-aside`);
    await until((_, faults) => faults[0]?.code === 'ERR_POLICY_FILE');
    expect(policies.at(-1)?.revokedNames).toEqual(new Set(['web-1']));
    expect(policies).toHaveLength(1);

    await fs.mkdir(folder);
    await decide('name-web-2.json');
    await until((policy, faults) => policy?.revokedNames.has('web-2') === true && faults.length === 0);
    await decide('name-web-3.json');
    await until((policy) => policy?.revokedNames.has('web-3') === true);
  });

  it('tells of a torn entry, which revokes all the same, and when it is put right', async () => {
    const { until, policies } = watch(onlyTold());
    await until((policy, faults) => policy !== undefined && faults.length === 0);
    await decide('name-web-1.json', '{"at":');
    await until((policy, faults) => policy?.revokedNames.has('web-1') === true && faults.length === 1);
    await decide('name-web-1.json', {});
    await until((_, faults) => faults.length === 0);
    expect(policies.at(-1)?.revokedNames).toEqual(new Set(['web-1']));
  });
});

describe('a certificate whose life is over', () => {
  /** A clock that this test moves, and files that are the real ones. */
  function slowly(environment: FixedEnvironment, realtimeMs: () => number) {
    return {
      fs,
      monotonicNs: () => environment.monotonicNs(),
      realtimeNs: () => BigInt(realtimeMs()) * 1_000_000n,
      timers: {
        ...environment.timers,
        // The pause after a look; the looks themselves come by `advance`.
        sleep: async () => undefined,
      },
    };
  }

  it('is forgotten only after the clock has said so for a day, and not when it was set forward and back', async () => {
    const start = Date.parse('2025-06-01T00:00:00Z');
    await decide('serial-A.json', { notAfter: '2025-05-01T00:00:00Z' });
    await decide('serial-B.json', { notAfter: '2025-08-01T00:00:00Z' });
    const environment = fixedEnvironment();
    let stepMs = 0;
    const startNs = environment.monotonicNs();
    const nowMs = (): number => start + Number((environment.monotonicNs() - startNs) / 1_000_000n) + stepMs;
    const { until, policies } = watch(slowly(environment, nowMs), true);
    await until((policy, faults) => policy !== undefined && faults.length === 0);

    /** A change makes one look, whenever it is. */
    let changes = 0;
    const look = async (): Promise<void> => {
      const name = `web-${changes++}`;
      await decide(`name-${name}.json`);
      await until((policy) => policy?.revokedNames.has(name) === true);
      // The look that told of it has ended when another one tells of the next.
      await decide(`name-${name}-again.json`);
      await until((policy) => policy?.revokedNames.has(`${name}-again`) === true);
    };
    await look();
    // Somebody sets the clock to next year, for half a day.
    stepMs = 365 * DAY_MS;
    await look();
    environment.advance(DAY_MS / 2);
    await look();
    stepMs = 0;
    await look();
    expect(policies.at(-1)?.revokedSerials).toEqual(new Set(['A', 'B']));

    environment.advance(DAY_MS / 2);
    await look();
    await until((policy) => policy?.revokedSerials.has('A') === false);
    expect(policies.at(-1)?.revokedSerials).toEqual(new Set(['B']));
    expect(await fs.readdir(folder)).not.toContain('serial-A.json');
    expect(await fs.readdir(folder)).toContain('serial-B.json');
  });
});
