/** Scene values run from 0 (black) to this (white), in the eye's scale like the bytes of a picture, but four times finer. */
export const WHITE = 1023;

const GAMMA = 2.2;
/** A small phone sensor at a high gain; at this depth mid grey carries a noise of about 3 of 255. */
const FULL_WELL_ELECTRONS = 6000;
const READ_NOISE_ELECTRONS = 2.5;

/** Takes one exposure of a scene; see {@link createSensor}. */
export type Sensor = (scene: Uint16Array, noise: Uint8Array, pixels: Uint8Array) => void;

/**
 * A camera's sensor: turns what each pixel should see into what it counted.
 *
 * The number of electrons a pixel counts is Poisson distributed around the light that falls on it (here its Gaussian
 * limit), so the noise grows with the square root of the signal; the amplifier adds a constant. One byte of noise
 * decides one count. All cases stand in one table of 256 KiB, so an exposure costs one look-up a value.
 *
 * @returns a function of three arrays of one length: scene values 0..{@link WHITE}, noise bytes, and where to write
 *   the picture's bytes. It throws RangeError when the lengths differ, with nothing written
 */
export function createSensor(): Sensor {
  const table = exposureTable();
  return (scene, noise, pixels) => {
    if (scene.length !== noise.length || scene.length !== pixels.length) {
      throw new RangeError('scene, noise and pixels must have one length');
    }
    for (let index = 0; index < scene.length; index++) {
      pixels[index] = table[((scene[index] ?? 0) << 8) | (noise[index] ?? 0)] ?? 0;
    }
  };
}

function exposureTable(): Uint8Array {
  const table = new Uint8Array((WHITE + 1) * 256);
  const deviations = Float64Array.from({ length: 256 }, (_, byte) => normalQuantile((byte + 0.5) / 256));
  for (let value = 0; value <= WHITE; value++) {
    const electrons = FULL_WELL_ELECTRONS * (value / WHITE) ** GAMMA;
    const sigma = Math.sqrt(electrons + READ_NOISE_ELECTRONS ** 2);
    for (const [byte, deviation] of deviations.entries()) {
      const counted = Math.max(0, electrons + sigma * deviation);
      const level = Math.round(255 * (counted / FULL_WELL_ELECTRONS) ** (1 / GAMMA));
      table[value * 256 + byte] = Math.min(255, level);
    }
  }
  return table;
}

/**
 * The value a standard Gaussian stays under with the given probability.
 * Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.2.23; error under 4.5e-4.
 */
function normalQuantile(probability: number): number {
  const tail = Math.min(probability, 1 - probability);
  const t = Math.sqrt(-2 * Math.log(tail));
  const above = 2.515517 + t * (0.802853 + t * 0.010328);
  const below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308));
  const magnitude = t - above / below;
  return probability < 0.5 ? -magnitude : magnitude;
}
