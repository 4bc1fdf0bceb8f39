import { CELLS, CELL_OF_PIXEL, PIXELS_IN_CELL } from './cells.js';
import type { Light } from './light.js';
import { CellNoise, NOISE_CLASSES, NoiseWindow } from './noise-window.js';
import { HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** How much noise a cell must show; calibration may set other floors. */
export interface NoiseFloors {
  /** SD, levels, of a cell that does not move. */
  readonly staticNoise: number;
  /** Robust SD, levels, of a cell that moves. */
  readonly movingNoise: number;
}

/** What is known of the noise in one cell. */
export interface CellFinding {
  readonly cell: number;
  readonly isStatic: boolean;
  readonly isNoisy: boolean;
  /** SD, levels. */
  readonly deviation: number;
  /** SD from the median, levels. */
  readonly robustDeviation: number;
}

/** Weight of a new picture in the noise map: about the last 20 seconds. */
const MAP_WEIGHT = 0.02;
/** A cell in which less of the pixels could be compared says nothing. */
const COMPARED_SHARE = 0.4;

/**
 * How much of each pixel's change is noise.
 *
 * h = (2Y - left - right) now, minus the same about a second ago: whatever is still, or smooth in space, flickers as a whole or
 * moves smoothly leaves 0; sensor noise of SD σ leaves √12 σ. Rounding and codecs leave a little, which the floors know.
 * Memory: 250 KB. Cost: 0.2 ms a picture.
 */
export class Noise {
  #now = new NoiseWindow();
  #before = new NoiseWindow();
  readonly #floors: NoiseFloors;
  readonly #map = new Float32Array(HEALTH_PIXELS);
  #mapPictures = 0;
  #residualRms = 0;

  constructor(floors: NoiseFloors = THRESHOLDS) {
    this.#floors = floors;
  }

  /**
   * @param reference - the luma of about a second ago
   * @param light - of this picture
   */
  see(picture: HealthPicture, reference: Uint8Array, light: Light, timeMs: number): void {
    if (this.#now.pictures === 0) this.#now.beganMs = timeMs;
    // Two pictures in each half at the least: above 1080p they are key frames, seconds apart.
    if (timeMs - this.#now.beganMs >= THRESHOLDS.noiseHalfWindowMs && this.#now.pictures >= 2) {
      [this.#now, this.#before] = [this.#before, this.#now];
      this.#now.clear();
      this.#now.beganMs = timeMs;
    }
    this.#compare(picture.luma, reference);
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
    return this.#before.pictures > 0 || this.#now.pictures >= 8;
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
    const windows = [this.#before, this.#now];
    const pictures = this.#before.pictures + this.#now.pictures;
    const findings: CellFinding[] = [];
    for (let cell = 0; cell < CELLS; cell++) {
      const noise = new CellNoise(windows, cell);
      if (!isCounted(cell) || noise.compared < COMPARED_SHARE * PIXELS_IN_CELL * pictures) continue;
      findings.push(this.#finding(cell, noise));
    }
    return findings;
  }

  #finding(cell: number, noise: CellNoise): CellFinding {
    const { deviation, robustDeviation, unchangedShare, wandering } = noise;
    const { staticNoise, movingNoise } = this.#floors;
    const isStatic = wandering.total < THRESHOLDS.staticLevels;
    const isFlickering = !isStatic && wandering.ownOnly < THRESHOLDS.staticLevels;
    const isEnough =
      (isStatic && deviation >= staticNoise) ||
      (isFlickering && deviation >= Math.min(movingNoise, THRESHOLDS.flickerNoise)) ||
      robustDeviation >= movingNoise;
    const isSwitched =
      robustDeviation >= THRESHOLDS.unchangedFromNoise &&
      unchangedShare > 0.15 + (THRESHOLDS.unchangedFactor * 0.28) / robustDeviation;
    return { cell, isStatic, isNoisy: isEnough && !isSwitched, deviation, robustDeviation };
  }

  #compare(luma: Uint8Array, reference: Uint8Array): void {
    const { classes, squares, compared, unchanged } = this.#now;
    const map = this.#map;
    const clipped = THRESHOLDS.clippedLevel;
    this.#mapPictures += 1;
    const weight = Math.max(MAP_WEIGHT, 1 / this.#mapPictures);
    let allSquares = 0;
    let allCompared = 0;
    for (let pixel = 1; pixel < HEALTH_PIXELS - 1; pixel++) {
      const column = pixel % HEALTH_WIDTH;
      if (column === 0 || column === HEALTH_WIDTH - 1) continue;
      const level = luma[pixel] ?? 0;
      const left = luma[pixel - 1] ?? 0;
      const right = luma[pixel + 1] ?? 0;
      const before = reference[pixel] ?? 0;
      const leftBefore = reference[pixel - 1] ?? 0;
      const rightBefore = reference[pixel + 1] ?? 0;
      if (level >= clipped || left >= clipped || right >= clipped) continue;
      if (before >= clipped || leftBefore >= clipped || rightBefore >= clipped) continue;
      const h = 2 * level - left - right - (2 * before - leftBefore - rightBefore);
      const size = h < 0 ? -h : h;
      const cell = CELL_OF_PIXEL[pixel] ?? 0;
      const at = cell * NOISE_CLASSES + (size < NOISE_CLASSES ? size : NOISE_CLASSES - 1);
      classes[at] = (classes[at] ?? 0) + 1;
      squares[cell] = (squares[cell] ?? 0) + h * h;
      compared[cell] = (compared[cell] ?? 0) + 1;
      // Below black everything is equal: it says nothing about switching.
      if (level === before && level > 1) unchanged[cell] = (unchanged[cell] ?? 0) + 1;
      map[pixel] = (map[pixel] ?? 0) + weight * (size / 3.4641 - (map[pixel] ?? 0));
      allSquares += h * h;
      allCompared += 1;
    }
    this.#residualRms = allCompared === 0 ? 0 : Math.sqrt(allSquares / (12 * allCompared));
  }
}
