import { CELLS } from './cells.js';
import type { HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** One analysed picture, small. */
interface Look {
  readonly timeMs: number;
  readonly cellMeans: Float32Array;
}

/** Looks that the usual wandering of a cell is learned over: half a minute at five a second. */
const USUAL_LOOKS = 150;
/** More than two windows hold at five a second. */
const MAX_LOOKS = 32;
/** Looks in each window, also when pictures are seconds apart: fewer do not show how the wax moves. */
const LEAST_LOOKS = 4;
/** A pause of so many intervals is a gap. */
const GAP_INTERVALS = 3;

/**
 * Whether the picture is another one than it was: exposure, direction, size.
 *
 * A step is when many cells' means over {@link THRESHOLDS.stepWindowMs} move at once, each beyond its own wandering, then and
 * over the last half minute; daylight is too slow for it, flicker averages out or is usual, wax moves few cells. It is a change for good when it persists. The baseline is then the
 * picture before the step, until the old picture is back or the new one has been stable for {@link THRESHOLDS.rebaselineMs}.
 * What happens while no pictures come is not seen: lamps move on meanwhile.
 */
export class Baseline {
  readonly #looks: Look[] = [];
  /** Running mean and variance of each cell: what it usually does. */
  readonly #usualMean = new Float64Array(CELLS);
  readonly #usualVariance = new Float64Array(CELLS);
  #usualLooks = 0;
  #firstMs = Infinity;
  #size: { readonly width: number; readonly height: number } | undefined;
  #resizedMs: number | undefined;
  /** The picture before the last step, until it is back or forgotten. */
  #old: Float32Array | undefined;
  #steppedMs = -Infinity;
  /** Since when the old picture is back. */
  #backMs: number | undefined;
  #isChanged = false;
  #steppedShare = 0;
  /** The largest such share since the step. */
  #largestShare = 0;

  /** @param start - what calibration saw, if there was one: the first picture is compared with it */
  constructor(start?: {
    readonly width: number;
    readonly height: number;
    readonly cellMeans?: Float32Array;
  }) {
    if (start === undefined) return;
    if (start.width > 0) this.#size = { width: start.width, height: start.height };
    this.#old = start.cellMeans;
  }

  /** @param cellMeans - of the picture; copied */
  see(picture: HealthPicture, cellMeans: Float32Array, timeMs: number): void {
    this.#seeSize(picture, timeMs);
    this.#firstMs = Math.min(this.#firstMs, timeMs);
    if (this.#looks.length === MAX_LOOKS) this.#looks.shift();
    this.#forgetBeforeGap(timeMs);
    this.#looks.push({ timeMs, cellMeans: Float32Array.from(cellMeans) });
    this.#learn(this.#looks.findLast((look) => timeMs - look.timeMs > THRESHOLDS.stepWindowMs));
    if (this.#steppedMs === -Infinity && this.#old !== undefined) this.#steppedMs = timeMs;
    const { after, before } = this.#windows(timeMs);
    if (after.length < LEAST_LOOKS || before.length < LEAST_LOOKS) return;
    this.#seeStep(statistics(after), statistics(before), timeMs);
  }

  /** Exposure, direction or size is not what it was. */
  get isChanged(): boolean {
    return this.#isChanged || this.#resizedMs !== undefined;
  }

  /** Share of the cells that differ from the baseline, or that just stepped, 0..1. */
  get changedCellShare(): number {
    return this.#steppedShare;
  }

  #seeSize(picture: HealthPicture, timeMs: number): void {
    const { sourceWidth: width, sourceHeight: height } = picture;
    if (width <= 0 || height <= 0) return;
    const isSame = this.#size === undefined || (this.#size.width === width && this.#size.height === height);
    if (this.#size === undefined) this.#size = { width, height };
    if (isSame) this.#resizedMs = undefined;
    else this.#resizedMs ??= timeMs;
    if (this.#resizedMs === undefined || timeMs - this.#resizedMs < THRESHOLDS.rebaselineMs) return;
    this.#size = { width, height };
    this.#resizedMs = undefined;
  }

  /** As before the step, but for what the lamps did meanwhile: less than half of the change is left. */
  #isBack(): boolean {
    return this.#steppedShare < Math.max(THRESHOLDS.stepCellShare, this.#largestShare / 2);
  }

  /** Learns from a look that is out of the newer window, so that a step is measured by what was usual before it. */
  #learn(look: Look | undefined): void {
    if (this.#old !== undefined || look === undefined) return;
    this.#usualLooks = Math.min(USUAL_LOOKS, this.#usualLooks + 1);
    const weight = 1 / this.#usualLooks;
    for (let cell = 0; cell < CELLS; cell++) {
      const mean = this.#usualMean[cell] ?? 0;
      const apart = (look.cellMeans[cell] ?? 0) - mean;
      const variance = this.#usualVariance[cell] ?? 0;
      this.#usualMean[cell] = mean + weight * apart;
      this.#usualVariance[cell] = (1 - weight) * (variance + weight * apart * apart);
    }
  }

  #forgetBeforeGap(timeMs: number): void {
    const lastMs = this.#looks.at(-1)?.timeMs;
    const beforeMs = this.#looks.at(-2)?.timeMs;
    if (lastMs === undefined || beforeMs === undefined) return;
    const pauseMs = timeMs - lastMs;
    const isGap = pauseMs > THRESHOLDS.stepWindowMs && pauseMs > GAP_INTERVALS * (lastMs - beforeMs);
    if (isGap) this.#looks.length = 0;
  }

  #seeStep(after: Statistics, before: Statistics, timeMs: number): void {
    const usual = this.#usualVariance;
    const stepped = differingShare(after, before, (cell) => {
      const wandering = Math.max(after.deviation[cell] ?? 0, before.deviation[cell] ?? 0);
      const usually = Math.sqrt(usual[cell] ?? 0);
      return Math.max(THRESHOLDS.stepDeviations * wandering, THRESHOLDS.stepUsualDeviations * usually);
    });
    const isKnown = this.#old !== undefined || timeMs - this.#firstMs >= THRESHOLDS.stepLearningMs;
    const isStep = isKnown && stepped >= THRESHOLDS.stepCellShare;
    if (isStep && this.#old === undefined) this.#old = before.mean;
    if (isStep) this.#steppedMs = timeMs;
    this.#steppedShare = stepped;
    if (this.#old === undefined) return;
    this.#steppedShare = differingShare(after, { mean: this.#old }, () => 0);
    const sinceStepMs = timeMs - this.#steppedMs;
    // A window that still holds both pictures says nothing yet.
    if (sinceStepMs < THRESHOLDS.stepPersistsMs) return;
    if (!this.#isBack() && sinceStepMs < THRESHOLDS.rebaselineMs) {
      this.#isChanged = true;
      this.#backMs = undefined;
      this.#largestShare = Math.max(this.#largestShare, this.#steppedShare);
      return;
    }
    this.#isChanged = false;
    // The way back is a step too, and until both windows are past it the old picture must be remembered.
    this.#backMs ??= timeMs;
    if (timeMs - this.#backMs < 3 * THRESHOLDS.stepWindowMs && sinceStepMs < THRESHOLDS.rebaselineMs) return;
    this.#old = undefined;
    this.#backMs = undefined;
    this.#largestShare = 0;
  }

  /** The last looks, and those before them; at slow rates the last four and the four before. */
  #windows(timeMs: number): { after: readonly Look[]; before: readonly Look[] } {
    const looks = this.#looks;
    let from = looks.findIndex((look) => timeMs - look.timeMs <= THRESHOLDS.stepWindowMs);
    from = Math.min(from < 0 ? looks.length : from, looks.length - LEAST_LOOKS);
    if (from < LEAST_LOOKS) return { after: [], before: [] };
    const middleMs = looks[from]?.timeMs ?? timeMs;
    let begin = looks.findIndex((look) => middleMs - look.timeMs <= THRESHOLDS.stepWindowMs);
    begin = Math.min(begin, from - LEAST_LOOKS);
    return { after: looks.slice(from), before: looks.slice(Math.max(0, begin), from) };
  }
}

interface Statistics {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

function statistics(looks: readonly Look[]): Statistics {
  const mean = new Float32Array(CELLS);
  const deviation = new Float32Array(CELLS);
  for (let cell = 0; cell < CELLS; cell++) {
    let sum = 0;
    let squares = 0;
    for (const look of looks) {
      const level = look.cellMeans[cell] ?? 0;
      sum += level;
      squares += level * level;
    }
    const average = sum / looks.length;
    mean[cell] = average;
    deviation[cell] = Math.sqrt(Math.max(0, squares / looks.length - average * average));
  }
  return { mean, deviation };
}

/**
 * Share of the cells whose means are apart.
 * @param wandering - how many levels do not count in a cell, since it wanders that far anyway
 */
function differingShare(
  a: Pick<Statistics, 'mean'>,
  b: Pick<Statistics, 'mean'>,
  wandering: (cell: number) => number,
): number {
  let differing = 0;
  for (let cell = 0; cell < CELLS; cell++) {
    const levels = Math.abs((a.mean[cell] ?? 0) - (b.mean[cell] ?? 0));
    if (levels > THRESHOLDS.stepLevels && levels > wandering(cell)) differing += 1;
  }
  return differing / CELLS;
}
