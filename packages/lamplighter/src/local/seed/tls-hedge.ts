import { compareLabels, encode, hmac, HmacDrbg, LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../environment.js';
import type { NativeDoors } from '../native-doors.js';
import { momentParts, u64s } from '../separators.js';
import type { SeedStore } from './seed-store.js';

// Specification constants: DESIGN section 7.
const ENTROPY_BYTES = 48;
const OS_BYTES = 32;
/** What goes into OpenSSL: twice its generator's strength of 256 bits. */
const OUTPUT_BYTES = 64;
const PERSONALIZATION = Buffer.from('lamplighter/openssl/v1', 'latin1');

/** What one hedge did. Holds no secret but `mixKey`. */
export interface Hedge {
  /**
   * `on`: OpenSSL draws on a seed that was rotated first. `degraded`: it was mixed in, but nothing may be claimed. `off`:
   * OpenSSL is as the OS made it.
   */
  readonly state: 'on' | 'degraded' | 'off';
  /** Why it is not `on`. */
  readonly reason?: LamplighterError;
  readonly counter?: bigint;
  /** When the seed was last changed before, ms since 1970. */
  readonly lastChangedMs?: number;
  /** Keys the final mix of a boot: 64 secret bytes, the caller's to wipe; absent when there is no seed. */
  readonly mixKey?: Uint8Array;
}

/**
 * x: what no two uses of one seed share. Not a secret.
 *
 * Source: DESIGN section 7: E of real time, monotonic time, boot id, counter, VM generation, cycle counter and 32 OS bytes.
 * The OS may fail or repeat; the others still separate.
 */
export function hedgeInput(environment: Environment, counter: bigint): Uint8Array {
  const parts = [
    ...momentParts(environment),
    { label: 'counter', bytes: u64s(counter) },
    { label: 'os', bytes: osBytes(environment) },
  ];
  return encode(
    'hedge',
    parts.sort((a, b) => compareLabels(a.label, b.label)),
  );
}

/**
 * What goes into OpenSSL for one seed key and one x.
 *
 * Source: DESIGN section 7: HMAC-SHA-512(key, x); bytes 0–47 are the entropy input, 48–63 the nonce of HMAC_DRBG (SP 800-90A,
 * SHA-512), whose first output this is.
 * @param key - 64 bytes, secret
 * @returns 64 bytes, secret, the caller's to wipe
 */
export function hedgeOutput(key: Uint8Array, x: Uint8Array): Uint8Array {
  const seedMaterial = hmac('sha512', key, x);
  const drbg = HmacDrbg.instantiate({
    hash: 'sha512',
    entropy: seedMaterial.subarray(0, ENTROPY_BYTES),
    nonce: seedMaterial.subarray(ENTROPY_BYTES),
    personalization: PERSONALIZATION,
  });
  const output = drbg.generate(OUTPUT_BYTES);
  drbg.destroy();
  wipe(seedMaterial);
  return output;
}

/**
 * Mixes the machine seed into the OpenSSL of this process, so that the TLS connections made from here on draw from a state
 * that nobody can know who knows only what the OS RNG returns. To be called before the first connection is made, before its
 * TLS context is, and again before every later one: each use rotates the seed.
 *
 * @returns what was done; a seed that is missing, lost or cannot be rotated is a state, not an error
 */
export async function hedgeTls(
  store: SeedStore,
  options: { environment: Environment; native: Pick<NativeDoors, 'available' | 'reseedOpenssl'> },
): Promise<Hedge> {
  const { environment, native } = options;
  const addon = native.available();
  let use: Awaited<ReturnType<SeedStore['take']>>;
  try {
    use = await store.take();
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    return { state: 'off', reason: error };
  }
  const { key, mixKey, counter, lastChangedMs, degraded } = use;
  const x = hedgeInput(environment, counter);
  const output = hedgeOutput(key, x);
  try {
    const done = addon.supported ? native.reseedOpenssl(output) : addon;
    if (!done.supported) {
      const reason = new LamplighterError('ERR_HEDGE_OFF', `the TLS hedge is off: ${done.reason}`, {
        hint: 'the native addon is needed: see `lamplighter doctor`',
      });
      return { state: 'off', reason, counter, lastChangedMs, mixKey };
    }
    if (degraded !== undefined)
      return { state: 'degraded', reason: degraded, counter, lastChangedMs, mixKey };
    return { state: 'on', counter, lastChangedMs, mixKey };
  } finally {
    wipe(key, output);
  }
}

function osBytes(environment: Environment): Uint8Array | undefined {
  try {
    return environment.osRandom(OS_BYTES);
  } catch {
    // x only separates: a broken OS is one separator less, and what reseeds OpenSSL reports it.
    return undefined;
  }
}
