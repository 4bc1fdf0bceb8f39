/**
 * \@lamplighter/core: mixing, Fortuna, HMAC_DRBG. Pure and synchronous: no I/O, no clock, no timers, and no dependency but
 * node:crypto's hash, HMAC and cipher. Read in this order.
 */
export { wipe } from './bytes.js';
export * from './errors.js';

// Mixing: DESIGN section 5.
export { compareLabels, isPartLabel, PART_LABELS, type PartKind, SEPARATOR_LABELS } from './labels.js';
export { encode, type Part } from './encoding.js';
export { MIX_LENGTH_BYTES, mix, noSecretKey } from './mix.js';
export { hkdfExpand, hkdfExtract } from './hkdf.js';
export { HASH_LENGTH_BYTES, type HashName, hmac } from './hmac.js';

// The accumulator and the generator: DESIGN section 6.
export { shad256, type Shad256Variant } from './shad256.js';
export { FortunaGenerator } from './fortuna/generator.js';
export { Accumulator, type AccumulatorOptions, type PoolLevel, type Reseed } from './fortuna/accumulator.js';
export type { ScheduleName } from './fortuna/schedule.js';

// HMAC_DRBG: SP 800-90A, for the seed (DESIGN section 7).
export { HmacDrbg, type HmacDrbgOptions } from './drbg/hmac-drbg.js';

// Health tests and their cutoffs: SP 800-90B, section 4.4.
export { adaptiveProportionCutoff, type CutoffOptions, repetitionCountCutoff } from './health/cutoffs.js';
export { AdaptiveProportionTest } from './health/adaptive-proportion.js';
export { RepetitionCountTest } from './health/repetition-count.js';
