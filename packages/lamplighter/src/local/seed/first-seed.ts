import { LamplighterError, mix, noSecretKey, wipe } from '@lamplighter/core';
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
 * Makes the seed where there is none, or where what was there is lost.
 * @returns why one was made; undefined when there was one
 * @throws LamplighterError as {@link SeedStore.create} and {@link firstSeed}
 */
export async function ensureSeed(
  store: SeedStore,
  environment: Environment,
  process: ProcessEnvironment,
): Promise<'missing' | 'lost' | undefined> {
  let why: 'missing' | 'lost';
  try {
    await store.facts();
    return undefined;
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    if (error.code !== 'ERR_SEED_MISSING' && error.code !== 'ERR_SEED_DAMAGED') throw error;
    why = error.code === 'ERR_SEED_MISSING' ? 'missing' : 'lost';
  }
  const seed = firstSeed(environment, process);
  try {
    await store.create(seed, { replace: why === 'lost' });
    return why;
  } finally {
    wipe(seed);
  }
}
