import type { Environment } from './environment.js';

/** How much longer or shorter a wait may be: a fifth. */
const SHARE = 0.2;

/**
 * A wait near a period, so that machines started together do not act in step. The jitter is not secret.
 * @param periodMs - the mean
 * @returns uniformly 0.8..1.2 of `periodMs`
 */
export function jitteredMs(environment: Pick<Environment, 'runtimeRandom'>, periodMs: number): number {
  const [low = 0, high = 0] = environment.runtimeRandom(2);
  const uniform = (low + high * 256) / 65_535;
  return periodMs * (1 - SHARE + 2 * SHARE * uniform);
}
