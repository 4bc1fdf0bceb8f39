import { CELLS } from './cells.js';

/** |h| from here on is one class: its median is reached by noise of 41 levels. */
export const NOISE_CLASSES = 96;

/** What a stretch of time says about the noise of each cell: sums only, so that stretches can be added. */
export class NoiseWindow {
  /** Analysed pictures. */
  pictures = 0;
  /** When the first of them was, ms. */
  beganMs = 0;
  /** How often each |h| came in each cell. */
  readonly classes = new Uint32Array(CELLS * NOISE_CLASSES);
  /** Sum of h² in each cell. */
  readonly squares = new Float64Array(CELLS);
  /** The same when compared with the picture before. */
  readonly neighbourSquares = new Float64Array(CELLS);
  /** Pixels compared. */
  readonly compared = new Uint32Array(CELLS);
  /** Sums over pictures of the cell's mean m, m², m·G; of the picture's mean G, G². */
  readonly mean = new Float64Array(CELLS);
  readonly meanSquared = new Float64Array(CELLS);
  readonly meanTimesWhole = new Float64Array(CELLS);
  whole = 0;
  wholeSquared = 0;

  clear(): void {
    this.pictures = 0;
    this.whole = 0;
    this.wholeSquared = 0;
    for (const sums of this.#sums()) sums.fill(0);
  }

  add(other: NoiseWindow): void {
    this.pictures += other.pictures;
    this.whole += other.whole;
    this.wholeSquared += other.wholeSquared;
    const theirs = other.#sums();
    for (const [index, sums] of this.#sums().entries()) {
      const their = theirs[index];
      if (their === undefined) continue;
      for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] ?? 0) + (their[at] ?? 0);
    }
  }

  /** How much of a second's change (RMS) happens from one picture to the next: of noise all, of movement a part. */
  suddenness(cell: number): number {
    const squares = this.squares[cell] ?? 0;
    return squares === 0 ? 1 : Math.sqrt((this.neighbourSquares[cell] ?? 0) / squares);
  }

  /** Standard deviation of a pixel's noise, levels. */
  deviation(cell: number): number {
    // h is a difference of two sums with weights 2, -1, -1: its variance is 12 times a pixel's.
    return Math.sqrt((this.squares[cell] ?? 0) / (12 * Math.max(1, this.compared[cell] ?? 0)));
  }

  /** The same from the median of |h|, levels: what moves through a few pixels does not count. */
  robustDeviation(cell: number): number {
    const half = (this.compared[cell] ?? 0) / 2;
    let below = 0;
    for (let levels = 0; levels < NOISE_CLASSES; levels++) {
      const here = this.classes[cell * NOISE_CLASSES + levels] ?? 0;
      // The median of a Gaussian's |h| is 0.6745 times its deviation, √12 times that of a pixel.
      if (below + here >= half && here > 0) {
        return Math.max(0, levels - 0.5 + (half - below) / here) / (0.6745 * Math.sqrt(12));
      }
      below += here;
    }
    return 0;
  }

  /** How far the cell's mean wanders, SD in levels: in all, and when what it shares with the whole picture is taken off. */
  wandering(cell: number): { readonly total: number; readonly own: number } {
    const n = Math.max(1, this.pictures);
    const mean = (this.mean[cell] ?? 0) / n;
    const whole = this.whole / n;
    const variance = (this.meanSquared[cell] ?? 0) / n - mean ** 2;
    const covariance = (this.meanTimesWhole[cell] ?? 0) / n - mean * whole;
    const wholeVariance = this.wholeSquared / n - whole ** 2;
    const shared = wholeVariance > 1e-6 ? covariance ** 2 / wholeVariance : 0;
    return { total: Math.sqrt(Math.max(0, variance)), own: Math.sqrt(Math.max(0, variance - shared)) };
  }

  #sums(): (Uint32Array | Float64Array)[] {
    const { classes, squares, neighbourSquares, compared, mean, meanSquared, meanTimesWhole } = this;
    return [classes, squares, neighbourSquares, compared, mean, meanSquared, meanTimesWhole];
  }
}
