import { CELLS } from './cells.js';

/** |h| from here on is one class. 20 levels of noise have a median of 47. */
export const NOISE_CLASSES = 96;

/** What a stretch of time says about the noise of each cell: sums only, so that two stretches can be added. */
export class NoiseWindow {
  /** Analysed pictures. */
  pictures = 0;
  /** When the first of them was, ms. */
  beganMs = 0;
  /** How often each |h| came in each cell. */
  readonly classes = new Uint32Array(CELLS * NOISE_CLASSES);
  /** Sum of h² in each cell. */
  readonly squares = new Float64Array(CELLS);
  /** Pixels compared, and of them those whose level is the same as before. */
  readonly compared = new Uint32Array(CELLS);
  readonly unchanged = new Uint32Array(CELLS);
  /** Sums over pictures of the cell's mean m, m², m·G; of the picture's mean G, G². */
  readonly mean = new Float64Array(CELLS);
  readonly meanSquared = new Float64Array(CELLS);
  readonly meanTimesWhole = new Float64Array(CELLS);
  whole = 0;
  wholeSquared = 0;

  clear(): void {
    this.pictures = 0;
    for (const sums of [this.squares, this.mean, this.meanSquared, this.meanTimesWhole]) sums.fill(0);
    for (const counts of [this.classes, this.compared, this.unchanged]) counts.fill(0);
    this.whole = 0;
    this.wholeSquared = 0;
  }
}

/** Two stretches as one, for one cell. */
export class CellNoise {
  readonly #windows: readonly NoiseWindow[];
  readonly #cell: number;

  constructor(windows: readonly NoiseWindow[], cell: number) {
    this.#windows = windows;
    this.#cell = cell;
  }

  /** Pixels compared. */
  get compared(): number {
    return this.#sum((window) => window.compared[this.#cell]);
  }

  /** Share of the compared pixels that have the level they had before, 0..1. */
  get unchangedShare(): number {
    return this.#sum((window) => window.unchanged[this.#cell]) / Math.max(1, this.compared);
  }

  /** Standard deviation of a pixel's noise, levels. */
  get deviation(): number {
    // h is a difference of two sums with weights 2, -1, -1: its variance is 12 times a pixel's.
    return Math.sqrt(this.#sum((window) => window.squares[this.#cell]) / (12 * Math.max(1, this.compared)));
  }

  /** The same from the median of |h|, levels: what moves through a few pixels does not count. */
  get robustDeviation(): number {
    const half = this.compared / 2;
    let below = 0;
    for (let levels = 0; levels < NOISE_CLASSES; levels++) {
      const here = this.#sum((window) => window.classes[this.#cell * NOISE_CLASSES + levels]);
      // The median of a Gaussian's |h| is 0.6745 times its deviation, √12 times that of a pixel.
      if (below + here >= half && here > 0) {
        return Math.max(0, levels - 0.5 + (half - below) / here) / (0.6745 * Math.sqrt(12));
      }
      below += here;
    }
    return 0;
  }

  /** How far the cell's mean wanders, SD in levels; and by how much when what it shares with the whole picture is taken off. */
  get wandering(): { readonly total: number; readonly ownOnly: number } {
    const n = Math.max(1, this.#sum((window) => window.pictures));
    const mean = this.#sum((window) => window.mean[this.#cell]) / n;
    const whole = this.#sum((window) => window.whole) / n;
    const variance = this.#sum((window) => window.meanSquared[this.#cell]) / n - mean ** 2;
    const covariance = this.#sum((window) => window.meanTimesWhole[this.#cell]) / n - mean * whole;
    const wholeVariance = this.#sum((window) => window.wholeSquared) / n - whole ** 2;
    const shared = wholeVariance > 1e-6 ? covariance ** 2 / wholeVariance : 0;
    return {
      total: Math.sqrt(Math.max(0, variance)),
      ownOnly: Math.sqrt(Math.max(0, variance - shared)),
    };
  }

  #sum(of: (window: NoiseWindow) => number | undefined): number {
    return this.#windows.reduce((sum, window) => sum + (of(window) ?? 0), 0);
  }
}
