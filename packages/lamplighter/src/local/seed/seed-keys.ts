import { hkdfExpand, hkdfExtract, wipe } from '@lamplighter/core';
import { SEED_LENGTH_BYTES } from './seed-record.js';

/** Everything that comes out of one seed s, once. 64 bytes each, secret; wiped by {@link wipeKeys}. */
export interface SeedKeys {
  /** Keys the hedge of TLS: HMAC(use, x). Touched only after `next` is durable. */
  readonly use: Uint8Array;
  /** The seed after this one. */
  readonly next: Uint8Array;
  /** Keys the final mix of a boot. */
  readonly mix: Uint8Array;
  /** Stands in for `use` when the seed could not be rotated: more input never hurts, but nothing is claimed of it. */
  readonly unrotated: Uint8Array;
}

/**
 * Derives all keys of a seed.
 *
 * Source: DESIGN section 7: PRK = HKDF-Extract("lamplighter/seed/v1", s); each key = Expand(PRK, label, 64).
 * @param seed - s, 64 bytes; the caller wipes it
 * @throws RangeError on another length
 */
export function seedKeys(seed: Uint8Array): SeedKeys {
  if (seed.length !== SEED_LENGTH_BYTES) throw new RangeError(`a seed has ${SEED_LENGTH_BYTES} bytes`);
  const prk = hkdfExtract('lamplighter/seed/v1', seed);
  const key = (label: keyof SeedKeys): Uint8Array => hkdfExpand(prk, label, SEED_LENGTH_BYTES);
  const keys = { use: key('use'), next: key('next'), mix: key('mix'), unrotated: key('unrotated') };
  wipe(prk);
  return keys;
}

/** Wipes all of them. */
export function wipeKeys(keys: SeedKeys): void {
  wipe(keys.use, keys.next, keys.mix, keys.unrotated);
}
