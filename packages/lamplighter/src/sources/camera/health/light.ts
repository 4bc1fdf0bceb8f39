import { CELLS, CELL_OF_PIXEL, PIXELS_IN_CELL } from './cells.js';
import { HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** How bright the last analysed picture is, and where. */
export class Light {
  readonly #histogram = new Uint32Array(256);
  readonly #cellMeans = new Float32Array(CELLS);
  readonly #smoothPixels = new Uint16Array(CELLS);
  #meanLuma = 0;

  see(picture: HealthPicture): void {
    const { luma } = picture;
    this.#histogram.fill(0);
    this.#cellMeans.fill(0);
    this.#smoothPixels.fill(0);
    let sum = 0;
    for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
      const level = luma[pixel] ?? 0;
      const cell = CELL_OF_PIXEL[pixel] ?? 0;
      sum += level;
      this.#histogram[level] = (this.#histogram[level] ?? 0) + 1;
      this.#cellMeans[cell] = (this.#cellMeans[cell] ?? 0) + level;
      // On the left and right border there is no neighbour: the pixel stands for itself.
      const column = pixel % HEALTH_WIDTH;
      const left = column === 0 ? level : (luma[pixel - 1] ?? 0);
      const right = column === HEALTH_WIDTH - 1 ? level : (luma[pixel + 1] ?? 0);
      const bend = 2 * level - left - right;
      if (bend >= -2 && bend <= 2) this.#smoothPixels[cell] = (this.#smoothPixels[cell] ?? 0) + 1;
    }
    for (let cell = 0; cell < CELLS; cell++) {
      this.#cellMeans[cell] = (this.#cellMeans[cell] ?? 0) / PIXELS_IN_CELL;
    }
    this.#meanLuma = sum / HEALTH_PIXELS;
  }

  /** Levels, 0..255. */
  get meanLuma(): number {
    return this.#meanLuma;
  }

  /** Pixels at each of the 256 levels; the object's own, changed by the next picture. */
  get histogram(): Uint32Array {
    return this.#histogram;
  }

  /** Mean of each cell, levels; the object's own, changed by the next picture. */
  get cellMeans(): Float32Array {
    return this.#cellMeans;
  }

  /** Share of the pixels from one level to another, both included, 0..1. */
  shareBetween(from: number, to: number): number {
    let pixels = 0;
    for (let level = from; level <= to; level++) pixels += this.#histogram[level] ?? 0;
    return pixels / HEALTH_PIXELS;
  }

  isDark(cell: number): boolean {
    return (this.#cellMeans[cell] ?? 0) <= THRESHOLDS.darkLevel;
  }

  isClipped(cell: number): boolean {
    return (this.#cellMeans[cell] ?? 0) >= THRESHOLDS.clippedLevel;
  }

  /** Even, or a smooth slope: nothing to see at the scale of pixels. */
  isFeatureless(cell: number): boolean {
    return (this.#smoothPixels[cell] ?? 0) >= THRESHOLDS.smoothPixelShare * PIXELS_IN_CELL;
  }
}
