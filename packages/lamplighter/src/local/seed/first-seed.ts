import { mix, noSecretKey, wipe } from '@lamplighter/core';
import type { Environment } from '../environment.js';
import { LocalSamples } from '../local-samples.js';
import type { ProcessEnvironment } from '../process-environment.js';
import { separators } from '../separators.js';
import { whirlwind } from '../whirlwind.js';
import type { SeedStore } from './seed-store.js';

/**
 * A seed from what this machine has by itself: s = mix(key, "seed", [separators, whirlwind, cpu, os]).
 *
 * Source: DESIGN section 5, the fourth use of mix. As good as the best of these and no better: a machine whose own sources
 * are all known to somebody gets its first secret from enrolment, or from the first beacon he did not record.
 * @returns 64 secret bytes, the caller's to wipe
 * @throws LamplighterError ERR_OS_RNG: no seed is made without the OS
 */
export function firstSeed(environment: Environment, process: ProcessEnvironment): Uint8Array {
  const samples = new LocalSamples(environment);
  const burst = whirlwind(environment);
  const cpu = samples.cpu('seed');
  const os = samples.os();
  const key = noSecretKey();
  try {
    return mix(key, 'seed', [
      ...separators(environment, process, process.nextRoot()),
      { label: 'whirlwind', bytes: burst },
      { label: 'cpu', bytes: cpu },
      { label: 'os', bytes: os },
    ]);
  } finally {
    wipe(burst, cpu, os, key);
  }
}

/**
 * Makes the seed that there is not, or in place of one that is lost.
 * @throws LamplighterError as {@link SeedStore.create} and {@link firstSeed}
 */
export async function makeSeed(
  store: SeedStore,
  why: 'missing' | 'lost',
  { environment, process }: { environment: Environment; process: ProcessEnvironment },
): Promise<void> {
  const seed = firstSeed(environment, process);
  try {
    await store.create(seed, { replace: why === 'lost' });
  } finally {
    wipe(seed);
  }
}
