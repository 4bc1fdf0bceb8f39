import type { WallRandomness } from './randomness.js';

/** Numbers from 0 to 1 that are the same for the same seed: mulberry32, good enough to shake wax in a test. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** All of a wall's randomness from one seed. */
export function seededRandomness(seed: number): WallRandomness {
  const uniform = seededRandom(seed);
  const noise = seededRandom(~seed);
  return {
    uniform,
    fillNoise: (bytes) => {
      for (let index = 0; index < bytes.length; index++) bytes[index] = noise() * 256;
    },
  };
}
