import { type JpegEncoder, createJpegEncoder } from './jpeg.js';
import { type Lamp, STEP_SECONDS, createLamp, stepLamp } from './lamp.js';
import { layOut } from './layout.js';
import type { WallRandomness } from './randomness.js';
import { type Renderer, createRenderer } from './render.js';
import { createSensor } from './sensor.js';

/** How the wall looks. */
export interface WallOptions {
  /** 160..1280. */
  readonly widthPx: number;
  /** 90..720. */
  readonly heightPx: number;
  /** 1..24; more than five stand on two boards. */
  readonly lampCount: number;
}

/** The most that one call moves the lamps on: after a longer pause (a laptop that slept) they go on from where they were. */
export const LONGEST_ADVANCE_SECONDS = 60;

/** Fine enough that the sensor's noise survives in the file, coarse enough for some 35 KB a frame. */
const QUALITY = 85;
const COMMENT = 'Lamplighter virtual wall: simulated lamps, no physical noise source';
/** Lamps are switched on this long before anyone looks. */
const WARM_UP_SECONDS = 60;

/** A wall of simulated lamps and the camera that looks at it. Time stands still but for {@link Wall.advance}. */
export class Wall {
  readonly #lamps: readonly Lamp[];
  readonly #randomness: WallRandomness;
  readonly #render: Renderer;
  readonly #expose = createSensor();
  readonly #encode: JpegEncoder;
  readonly #noise: Uint8Array;
  readonly #pixels: Uint8Array;
  /** Time that has passed but is shorter than a step. */
  #restSeconds = 0;

  /** @throws RangeError if an option is out of range */
  constructor(options: WallOptions, randomness: WallRandomness) {
    const { widthPx, heightPx, lampCount } = options;
    const layout = layOut(widthPx, heightPx, lampCount);
    this.#randomness = randomness;
    this.#render = createRenderer(layout);
    this.#encode = createJpegEncoder({ widthPx, heightPx, quality: QUALITY, comment: COMMENT });
    this.#noise = new Uint8Array(widthPx * heightPx * 3);
    this.#pixels = new Uint8Array(widthPx * heightPx * 3);
    this.#lamps = layout.lamps.map(() => createLamp(randomness.uniform));
    this.advance(WARM_UP_SECONDS);
  }

  /**
   * Lets time pass. 0.1 s costs 0.2 ms for 16 lamps.
   *
   * @param seconds - ≥ 0; at most {@link LONGEST_ADVANCE_SECONDS} of it count
   * @throws RangeError if it is negative or no number; nothing has moved
   */
  advance(seconds: number): void {
    if (!(seconds >= 0)) throw new RangeError('time only goes forward');
    this.#restSeconds += Math.min(seconds, LONGEST_ADVANCE_SECONDS);
    for (; this.#restSeconds >= STEP_SECONDS; this.#restSeconds -= STEP_SECONDS) {
      for (const lamp of this.#lamps) stepLamp(lamp, this.#randomness.uniform);
    }
  }

  /**
   * Takes a picture: two of the same moment differ by the sensor's noise. 640 × 360 with 16 lamps takes 10 ms.
   *
   * @returns a JPEG file, the caller's own
   */
  photograph(): Uint8Array {
    const scene = this.#render(this.#lamps);
    this.#randomness.fillNoise(this.#noise);
    this.#expose(scene, this.#noise, this.#pixels);
    return this.#encode(this.#pixels);
  }
}
