import { HEALTH_HEIGHT, HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';

/** What a synthetic camera sees; everything may be changed between two pictures. */
export interface SyntheticScene {
  /** SD of the sensor's noise, levels. */
  noise: number;
  /** Level of the background. */
  background: number;
  /** Added to all levels, as flicker or another exposure does. */
  offset: number;
  /** The lamps stand on the other side: somebody turned the camera. */
  isTurned: boolean;
  sourceWidth: number;
  sourceHeight: number;
}

const NORMALS = 8_192;

/** Two lamps that move before a background, seen by a noisy sensor: every picture is the same for the same seed. */
export class SyntheticCamera {
  readonly scene: SyntheticScene = {
    noise: 3,
    background: 70,
    offset: 0,
    isTurned: false,
    sourceWidth: 640,
    sourceHeight: 480,
  };
  readonly #normals: Float32Array;
  #state: number;

  constructor(seed = 1) {
    this.#state = seed | 0;
    this.#normals = Float32Array.from({ length: NORMALS }, () => this.#normal());
  }

  /** @param timeMs - decides where the lamps are, not what the noise is */
  picture(timeMs: number): HealthPicture {
    const { noise, background, offset, isTurned, sourceWidth, sourceHeight } = this.scene;
    const luma = new Uint8Array(HEALTH_PIXELS);
    const seconds = timeMs / 1_000;
    const rows = [60 + 30 * Math.sin(seconds * 0.02), 60 + 35 * Math.cos(seconds * 0.017)];
    const lamps = rows.map((lampRow, index) => ({
      across: Float32Array.from({ length: HEALTH_WIDTH }, (_, column) => {
        const x = isTurned ? HEALTH_WIDTH - column : column;
        return 90 * Math.exp(-((x - 40 - 35 * index) ** 2) / 260);
      }),
      down: Float32Array.from({ length: HEALTH_HEIGHT }, (_, row) => Math.exp(-((row - lampRow) ** 2) / 420)),
    }));
    const width = HEALTH_WIDTH;
    let word = 0;
    for (let row = 0; row < HEALTH_HEIGHT; row++) {
      for (let column = 0; column < width; column++) {
        let level = background + offset;
        for (const { across, down } of lamps) level += (across[column] ?? 0) * (down[row] ?? 0);
        // Two indices of 13 bits from one word: the generator is most of a picture's cost.
        const isEven = (column & 1) === 0;
        if (isEven) word = this.#word();
        const random = this.#normals[(isEven ? word : word >>> 13) & (NORMALS - 1)] ?? 0;
        luma[row * width + column] = Math.min(255, Math.max(0, Math.round(level + noise * random)));
      }
    }
    return { width: HEALTH_WIDTH, height: HEALTH_HEIGHT, luma, sourceWidth, sourceHeight, timeMs };
  }

  #uniform(): number {
    return this.#word() / 2 ** 32;
  }

  /** mulberry32. */
  #word(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** Box and Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#uniform())) * Math.cos(2 * Math.PI * this.#uniform());
  }
}
