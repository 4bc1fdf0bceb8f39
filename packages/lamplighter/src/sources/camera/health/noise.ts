import { CELLS, CELL_OF_PIXEL, CELL_PIXELS, PIXELS_IN_CELL } from './cells.js';
import type { Light } from './light.js';
import { NOISE_CLASSES, NoiseWindow } from './noise-window.js';
import { HEALTH_HEIGHT, HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** What a picture is compared with. */
export interface References {
  readonly secondAgo: Uint8Array;
  readonly previous: Uint8Array;
}

/** What is known of the noise in one cell. */
export interface CellFinding {
  readonly cell: number;
  /** How calm it is. `static`: it stands still. `slow`: it moves a little, or only flickers with the whole. */
  readonly calm: 'static' | 'slow' | 'moving';
  /** How much noise it shows of what a cell like it must show at the least; 1 and more is a sensor's. */
  readonly noiseRatio: number;
  /** SD, levels. */
  readonly deviation: number;
  /** SD from the median, levels. */
  readonly robustDeviation: number;
}

/** Weight of a new picture in the noise map: about the last 20 seconds. */
const MAP_WEIGHT = 0.02;
/** h is a difference of two sums with weights 2, -1, -1: its SD is so many times a pixel's. */
const ROOT_12 = Math.sqrt(12);
/** A cell in which less of the pixels could be compared says nothing. */
const COMPARED_SHARE = 0.4;

/**
 * How much of each pixel's change is noise.
 *
 * h = (2Y - left - right) now, minus the same about a second ago: whatever is still, or smooth in space, flickers as a whole or
 * moves smoothly leaves 0; sensor noise of SD σ leaves √12 σ. Rounding and codecs leave a little, the more the less calm a cell
 * is: what it must show depends on that. Memory: 350 KB.
 */
export class Noise {
  #now = new NoiseWindow();
  #before = new NoiseWindow();
  /** Both together, made anew for each look. */
  readonly #both = new NoiseWindow();
  readonly #map = new Float32Array(HEALTH_PIXELS);
  #mapPictures = 0;
  #residualRms = 0;
  #allSquares = 0;
  #allCompared = 0;

  /**
   * @param references - the luma of about a second ago, and of the picture before this
   * @param light - of this picture
   */
  see(picture: HealthPicture, references: References, light: Light, timeMs: number): void {
    if (this.#now.pictures === 0) this.#now.beganMs = timeMs;
    // Two pictures in each half at the least: above 1080p they are key frames, seconds apart.
    if (timeMs - this.#now.beganMs >= THRESHOLDS.noiseHalfWindowMs && this.#now.pictures >= 2) {
      [this.#now, this.#before] = [this.#before, this.#now];
      this.#now.clear();
      this.#now.beganMs = timeMs;
    }
    this.#compare(picture.luma, references);
    const window = this.#now;
    window.pictures += 1;
    window.whole += light.meanLuma;
    window.wholeSquared += light.meanLuma ** 2;
    for (let cell = 0; cell < CELLS; cell++) {
      const mean = light.cellMeans[cell] ?? 0;
      window.mean[cell] = (window.mean[cell] ?? 0) + mean;
      window.meanSquared[cell] = (window.meanSquared[cell] ?? 0) + mean * mean;
      window.meanTimesWhole[cell] = (window.meanTimesWhole[cell] ?? 0) + mean * light.meanLuma;
    }
  }

  /** Whether enough was seen for a statement. */
  get isReady(): boolean {
    return this.#before.pictures > 0;
  }

  /** SD of the noise in the last picture, all unclipped pixels, levels. */
  get residualRms(): number {
    return this.#residualRms;
  }

  /** Mean |h| / √12 of every pixel, levels: the noise map that people look at. */
  map(): Float32Array {
    return Float32Array.from(this.#map);
  }

  /**
   * The finding for each cell in which enough pixels could be compared.
   * @param isCounted - which cells to look at; others belong to other tests
   */
  findings(isCounted: (cell: number) => boolean): CellFinding[] {
    const both = this.#both;
    both.clear();
    both.add(this.#before);
    both.add(this.#now);
    const enough = COMPARED_SHARE * PIXELS_IN_CELL * both.pictures;
    const findings: CellFinding[] = [];
    for (let cell = 0; cell < CELLS; cell++) {
      if (isCounted(cell) && (both.compared[cell] ?? 0) >= enough) findings.push(findingOf(both, cell));
    }
    return findings;
  }

  #compare(luma: Uint8Array, references: References): void {
    this.#mapPictures += 1;
    this.#allSquares = 0;
    this.#allCompared = 0;
    for (let row = 0; row < HEALTH_HEIGHT; row++) {
      for (let left = 0; left < HEALTH_WIDTH; left += CELL_PIXELS) {
        this.#compareRun(luma, references, row * HEALTH_WIDTH + left);
      }
    }
    this.#residualRms = this.#allCompared === 0 ? 0 : Math.sqrt(this.#allSquares / (12 * this.#allCompared));
  }

  /** One row of one cell: sums in locals, since this is the busiest loop of all health. @param from - its first pixel */
  #compareRun(luma: Uint8Array, { secondAgo, previous }: References, from: number): void {
    const { classes, squares, neighbourSquares, compared } = this.#now;
    const map = this.#map;
    const clipped = THRESHOLDS.clippedLevel;
    const weight = Math.max(MAP_WEIGHT, 1 / this.#mapPictures);
    const cell = CELL_OF_PIXEL[from] ?? 0;
    const column = from % HEALTH_WIDTH;
    // The pixels on the left and right border of the picture have no two neighbours.
    const first = column === 0 ? from + 1 : from;
    const end = column + CELL_PIXELS === HEALTH_WIDTH ? from + CELL_PIXELS - 1 : from + CELL_PIXELS;
    let sumSquares = 0;
    let sumNeighbourSquares = 0;
    let count = 0;
    for (let pixel = first; pixel < end; pixel++) {
      const level = luma[pixel] ?? 0;
      const left = luma[pixel - 1] ?? 0;
      const right = luma[pixel + 1] ?? 0;
      const before = secondAgo[pixel] ?? 0;
      const leftBefore = secondAgo[pixel - 1] ?? 0;
      const rightBefore = secondAgo[pixel + 1] ?? 0;
      if (level >= clipped || left >= clipped || right >= clipped) continue;
      if (before >= clipped || leftBefore >= clipped || rightBefore >= clipped) continue;
      const bend = 2 * level - left - right;
      const h = bend - 2 * before + leftBefore + rightBefore;
      const size = h < 0 ? -h : h;
      const at = cell * NOISE_CLASSES + (size < NOISE_CLASSES ? size : NOISE_CLASSES - 1);
      classes[at] = (classes[at] ?? 0) + 1;
      const since =
        bend - 2 * (previous[pixel] ?? 0) + (previous[pixel - 1] ?? 0) + (previous[pixel + 1] ?? 0);
      sumSquares += h * h;
      sumNeighbourSquares += since * since;
      count += 1;
      map[pixel] = (map[pixel] ?? 0) + weight * (size / ROOT_12 - (map[pixel] ?? 0));
    }
    squares[cell] = (squares[cell] ?? 0) + sumSquares;
    neighbourSquares[cell] = (neighbourSquares[cell] ?? 0) + sumNeighbourSquares;
    compared[cell] = (compared[cell] ?? 0) + count;
    this.#allSquares += sumSquares;
    this.#allCompared += count;
  }
}

function findingOf(window: NoiseWindow, cell: number): CellFinding {
  const deviation = window.deviation(cell);
  const robustDeviation = window.robustDeviation(cell);
  const wandering = window.wandering(cell);
  const calm: CellFinding['calm'] =
    wandering.total < THRESHOLDS.staticLevels
      ? 'static'
      : wandering.own < THRESHOLDS.slowLevels
        ? 'slow'
        : 'moving';
  const isGradual =
    robustDeviation >= THRESHOLDS.suddenFromNoise && window.suddenness(cell) < THRESHOLDS.leastSuddenness;
  const found = { calm, deviation, robustDeviation, wanders: wandering.total };
  return { cell, calm, noiseRatio: isGradual ? 0 : noiseRatioOf(found), deviation, robustDeviation };
}

/** What a cell shows of what it must show. The better of two ways to look: as a moving cell, or as the calm one that it is. */
function noiseRatioOf(found: {
  readonly calm: CellFinding['calm'];
  readonly deviation: number;
  readonly robustDeviation: number;
  readonly wanders: number;
}): number {
  const { calm, deviation, robustDeviation, wanders } = found;
  const asMoving = robustDeviation / THRESHOLDS.movingNoise;
  if (calm === 'moving') return asMoving;
  if (calm === 'static') {
    const floor = wanders < THRESHOLDS.stillLevels ? THRESHOLDS.stillNoise : THRESHOLDS.staticNoise;
    return Math.max(asMoving, deviation / floor);
  }
  const asSlow = Math.min(deviation / THRESHOLDS.slowNoise, robustDeviation / THRESHOLDS.slowRobustNoise);
  return Math.max(asMoving, asSlow);
}
