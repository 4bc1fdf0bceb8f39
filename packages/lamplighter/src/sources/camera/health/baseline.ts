import { CELLS } from './cells.js';
import type { HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** One analysed picture, small. */
interface Look {
  readonly timeMs: number;
  readonly cellMeans: Float32Array;
}

/** More than two windows hold at five a second. */
const MAX_LOOKS = 32;

/**
 * Whether the picture is another one than it was: exposure, direction, size.
 *
 * A step is when many cells' means over {@link THRESHOLDS.stepWindowMs} move at once, each beyond its own wandering; daylight is
 * too slow for it, flicker averages out, wax moves few cells. It is a change for good when it persists. The baseline is then the
 * picture before the step, until the old picture is back or the new one has been stable for {@link THRESHOLDS.rebaselineMs}.
 */
export class Baseline {
  readonly #looks: Look[] = [];
  #size: { readonly width: number; readonly height: number } | undefined;
  #resizedMs: number | undefined;
  /** The picture before the last step, until it is back or forgotten. */
  #old: Float32Array | undefined;
  #steppedMs = -Infinity;
  #isChanged = false;
  #steppedShare = 0;

  /** @param start - what calibration saw, if there was one: the first picture is compared with it */
  constructor(start?: { readonly width: number; readonly height: number; readonly cellMeans?: Float32Array }) {
    if (start === undefined) return;
    if (start.width > 0) this.#size = { width: start.width, height: start.height };
    this.#old = start.cellMeans;
  }

  /** @param cellMeans - of the picture; copied */
  see(picture: HealthPicture, cellMeans: Float32Array, timeMs: number): void {
    this.#seeSize(picture, timeMs);
    if (this.#looks.length === MAX_LOOKS) this.#looks.shift();
    this.#looks.push({ timeMs, cellMeans: Float32Array.from(cellMeans) });
    if (this.#steppedMs === -Infinity && this.#old !== undefined) this.#steppedMs = timeMs;
    const { after, before } = this.#windows(timeMs);
    if (after.length < 2 || before.length < 2) return;
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

  #seeStep(after: Statistics, before: Statistics, timeMs: number): void {
    const stepped = differingShare(after, before, true);
    const isStep = stepped >= THRESHOLDS.stepCellShare;
    if (isStep && this.#old === undefined) this.#old = before.mean;
    if (isStep) this.#steppedMs = timeMs;
    this.#steppedShare = stepped;
    if (this.#old === undefined) return;
    const old: Statistics = { mean: this.#old, deviation: after.deviation };
    this.#steppedShare = differingShare(after, old, false);
    const sinceStepMs = timeMs - this.#steppedMs;
    // A window that still holds both pictures says nothing yet.
    if (sinceStepMs < THRESHOLDS.stepPersistsMs) return;
    this.#isChanged = this.#steppedShare >= THRESHOLDS.stepCellShare;
    if (this.#isChanged && sinceStepMs < THRESHOLDS.rebaselineMs) return;
    this.#isChanged = false;
    this.#old = undefined;
  }

  /** The last looks, and those before them; at slow rates the last two and the two before. */
  #windows(timeMs: number): { after: readonly Look[]; before: readonly Look[] } {
    const looks = this.#looks;
    let from = looks.findIndex((look) => timeMs - look.timeMs <= THRESHOLDS.stepWindowMs);
    from = Math.min(from < 0 ? looks.length : from, looks.length - 2);
    if (from < 2) return { after: [], before: [] };
    const middleMs = looks[from]?.timeMs ?? timeMs;
    let begin = looks.findIndex((look) => middleMs - look.timeMs <= THRESHOLDS.stepWindowMs);
    begin = Math.min(begin, from - 2);
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

/** @param beyondWandering - whether a cell must also differ by several of its deviations within each window */
function differingShare(a: Statistics, b: Statistics, beyondWandering: boolean): number {
  let differing = 0;
  for (let cell = 0; cell < CELLS; cell++) {
    const levels = Math.abs((a.mean[cell] ?? 0) - (b.mean[cell] ?? 0));
    const wandering = Math.max(a.deviation[cell] ?? 0, b.deviation[cell] ?? 0);
    const isBeyond = !beyondWandering || levels > THRESHOLDS.stepDeviations * wandering;
    if (levels > THRESHOLDS.stepLevels && isBeyond) differing += 1;
  }
  return differing / CELLS;
}
