import { randomFillSync } from 'node:crypto';
import type { UniformRandom } from './lamp.js';

/** Fills bytes with numbers nobody can foresee, or in a test, with numbers that are the same every time. */
export type FillNoise = (bytes: Uint8Array) => void;

/** What moves the wax and disturbs the picture. */
export interface WallRandomness {
  readonly uniform: UniformRandom;
  readonly fillNoise: FillNoise;
}

const DRAWS_AT_ONCE = 1024;

/**
 * Randomness from this process's own generator (OpenSSL's AES-256-CTR DRBG): 0.2 ms for the 691,200 bytes of a frame,
 * in place. It is why the wall is worth nothing as a source: its light holds no more than this machine's generator does.
 */
export function systemRandomness(): WallRandomness {
  const draws = new Uint32Array(DRAWS_AT_ONCE);
  let used = DRAWS_AT_ONCE;
  return {
    uniform: () => {
      if (used === DRAWS_AT_ONCE) {
        randomFillSync(draws);
        used = 0;
      }
      return (draws[used++] ?? 0) / 2 ** 32;
    },
    fillNoise: (bytes) => {
      randomFillSync(bytes);
    },
  };
}
