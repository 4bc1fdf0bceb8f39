import { HEALTH_HEIGHT, HEALTH_PIXELS, HEALTH_WIDTH } from './picture.js';

/** Any number: it only has to be the same for ever, so that verdicts are. */
const SEED = 0x1a3b_5c7d;

/**
 * All pixels but those of the border, in an order in which neighbours are far apart: a quiet corner is then no run of equal
 * samples, and the first thousand are a fair sample of the picture. Not secret, and need not be.
 */
export const SCATTERED_PIXELS: Uint16Array = scattered();

function scattered(): Uint16Array {
  const pixels: number[] = [];
  for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
    const column = pixel % HEALTH_WIDTH;
    const row = Math.floor(pixel / HEALTH_WIDTH);
    const isInside = column > 0 && column < HEALTH_WIDTH - 1 && row > 0 && row < HEALTH_HEIGHT - 1;
    if (isInside) pixels.push(pixel);
  }
  // Fisher and Yates with a congruential generator (Numerical Recipes): even enough for an order.
  let state = SEED;
  for (let last = pixels.length - 1; last > 0; last--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (last + 1));
    const kept = pixels[last] ?? 0;
    pixels[last] = pixels[other] ?? 0;
    pixels[other] = kept;
  }
  return Uint16Array.from(pixels);
}
