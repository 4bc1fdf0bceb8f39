import { encode, hmac, mix, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import type { SeedStore } from '../local/seed/seed-store.js';
import { cpuSource } from '../sources/cpu.js';
import { osSource } from '../sources/os.js';
import { round } from '../sources/round.js';
import { timingSource } from '../sources/timing.js';
import { whirlwindSource } from '../sources/whirlwind.js';

/** The sources are all of this machine: none of them waits for anybody. */
const LOCAL_DEADLINE_MS = 1_000;

/**
 * Makes the machine's seed from its token and from what it has by itself:
 * s = mix(HKDF(token secret, "seed"), "enroll", [whirlwind, timing, cpu, os]), absent ones marked.
 *
 * Source: DESIGN sections 5 and 7. Where there was a seed before, s ← HMAC(s, E("fold", [seed])) with the mix key of its last use: more
 * input never hurts, and less could, were the token known to somebody.
 * @param options - `key`: `TokenKeys.seed`; `before`: the mix key of the old seed's use; both stay the caller's to wipe
 * @throws LamplighterError as `SeedStore.create`; the old seed is in force then. ERR_STOPPED when the signal fires
 */
export async function makeEnrolledSeed(
  store: SeedStore,
  environment: Environment,
  options: {
    readonly key: Uint8Array;
    readonly before: Uint8Array | undefined;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { key, before, signal } = options;
  const sources = [whirlwindSource, timingSource, cpuSource, osSource].map((make) => make({}, environment));
  const parts = await round(sources, { environment, deadlineMs: LOCAL_DEADLINE_MS, signal });
  await Promise.all(sources.map((source) => source.stop()));
  const made = mix(key, 'enroll', parts);
  for (const { bytes } of parts) wipe(bytes);
  const seed = before === undefined ? made : folded(made, before);
  try {
    await store.create(seed, { replace: true });
  } finally {
    wipe(made, seed);
  }
}

function folded(seed: Uint8Array, before: Uint8Array): Uint8Array {
  const text = encode('fold', [{ label: 'seed', bytes: before }]);
  const result = hmac('sha512', seed, text);
  wipe(text);
  return result;
}
