import { CELLS, CELL_OF_PIXEL, CELL_PIXELS, PIXELS_IN_CELL } from './cells.js';
import { HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** The middle of a cell, pixels from its first. */
const MIDDLE = (CELL_PIXELS - 1) / 2;
/** Sum over a cell of the squared distance from its middle, across or down. */
const SQUARED_DISTANCES = (PIXELS_IN_CELL * (CELL_PIXELS ** 2 - 1)) / 12;

/** How bright the last analysed picture is, and where. */
export class Light {
  readonly #histogram = new Uint32Array(256);
  readonly #cellMeans = new Float32Array(CELLS);
  /** Sums over a cell of level, level², and level times distance from the middle. */
  readonly #sums = new Float64Array(CELLS);
  readonly #squares = new Float64Array(CELLS);
  readonly #across = new Float64Array(CELLS);
  readonly #down = new Float64Array(CELLS);
  #meanLuma = 0;

  see({ luma }: HealthPicture): void {
    const histogram = this.#histogram;
    histogram.fill(0);
    for (const sums of [this.#sums, this.#squares, this.#across, this.#down]) sums.fill(0);
    const run = CELL_PIXELS;
    let all = 0;
    for (let from = 0; from < HEALTH_PIXELS; from += run) {
      let sum = 0;
      let squares = 0;
      let across = 0;
      for (let step = 0; step < run; step++) {
        const level = luma[from + step] ?? 0;
        histogram[level] = (histogram[level] ?? 0) + 1;
        sum += level;
        squares += level * level;
        across += level * (step - MIDDLE);
      }
      const cell = CELL_OF_PIXEL[from] ?? 0;
      const row = Math.floor(from / HEALTH_WIDTH) % CELL_PIXELS;
      this.#sums[cell] = (this.#sums[cell] ?? 0) + sum;
      this.#squares[cell] = (this.#squares[cell] ?? 0) + squares;
      this.#across[cell] = (this.#across[cell] ?? 0) + across;
      this.#down[cell] = (this.#down[cell] ?? 0) + sum * (row - MIDDLE);
      all += sum;
    }
    for (let cell = 0; cell < CELLS; cell++) {
      this.#cellMeans[cell] = (this.#sums[cell] ?? 0) / PIXELS_IN_CELL;
    }
    this.#meanLuma = all / HEALTH_PIXELS;
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

  /** Even, or a slope: little is left when the best plane is taken off its levels. */
  isFeatureless(cell: number): boolean {
    const sum = this.#sums[cell] ?? 0;
    const around = (this.#squares[cell] ?? 0) - (sum * sum) / PIXELS_IN_CELL;
    const slope = ((this.#across[cell] ?? 0) ** 2 + (this.#down[cell] ?? 0) ** 2) / SQUARED_DISTANCES;
    const left = Math.max(0, around - slope) / PIXELS_IN_CELL;
    return left <= THRESHOLDS.featurelessLevels ** 2;
  }
}
