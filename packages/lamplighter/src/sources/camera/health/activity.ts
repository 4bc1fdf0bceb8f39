import { CELLS, CELL_OF_PIXEL, CELL_PIXELS } from './cells.js';
import { HEALTH_PIXELS, type HealthPicture } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** More than the window holds at 30 a second; what is beyond is forgotten sooner. */
const MAX_PICTURES = 160;
const CHANGED = 1;
const EVENT = 2;

/**
 * Which cells changed from one picture to the next, over the last {@link THRESHOLDS.frozenWindowMs}: what frozen, overlay-only,
 * dark and flat rest on. Looks at every picture. Memory: 50 KB.
 */
export class Activity {
  #previous = new Uint8Array(HEALTH_PIXELS);
  #current = new Uint8Array(HEALTH_PIXELS);
  #seen = 0;
  #changedShare = 0;
  readonly #times: number[] = [];
  readonly #marks: Uint8Array[] = [];
  readonly #changes = new Uint16Array(CELLS);
  /** When a cell changed last, and when before that: clock of the pictures, ms. */
  readonly #changedMs = new Float64Array(CELLS);
  readonly #changedBeforeMs = new Float64Array(CELLS);
  readonly #events = new Uint16Array(CELLS);

  /** @param timeMs - of the picture, on the clock of the whole connection history */
  see(picture: HealthPicture, timeMs: number): void {
    const { luma } = picture;
    [this.#previous, this.#current] = [this.#current, this.#previous];
    this.#current.set(luma);
    this.#seen += 1;
    if (this.#seen > 1) this.#mark(luma, timeMs);
  }

  /** The luma of the picture before the last; black before there was one. */
  get previous(): Uint8Array {
    return this.#previous;
  }

  /** Whether the window is long enough for a statement. */
  get isReady(): boolean {
    const [firstMs = 0] = this.#times;
    const lastMs = this.#times.at(-1) ?? 0;
    const enough = this.#times.length >= THRESHOLDS.frozenPictures;
    return (
      enough && (lastMs - firstMs >= 0.8 * THRESHOLDS.frozenWindowMs || this.#times.length === MAX_PICTURES)
    );
  }

  /**
   * Since when a cell has been silent: not one pixel changed, but for one picture, a key frame. Sooner known than the window is
   * long; {@link Activity.isSilent} is for statements about the whole of it.
   * @returns ms before the last picture; 0 while there were too few
   */
  silentForMs(cell: number): number {
    const sinceMs = this.#times.at(-THRESHOLDS.frozenPictures);
    const lastMs = this.#times.at(-1);
    if (sinceMs === undefined || lastMs === undefined) return 0;
    const changedMs = this.#changedBeforeMs[cell] ?? 0;
    return changedMs > sinceMs ? 0 : lastMs - changedMs;
  }

  /** Share of the pixels that differ between the last two pictures, 0..1. */
  get changedShare(): number {
    return this.#changedShare;
  }

  /** Changes all the time, as noise does; key frames of a still are not enough. */
  isAlive(cell: number): boolean {
    return (this.#changes[cell] ?? 0) > Math.max(1, THRESHOLDS.aliveShare * this.#times.length);
  }

  /** Something happened here that is more than re-encoding. */
  hasEvent(cell: number): boolean {
    return (this.#events[cell] ?? 0) > 0;
  }

  /** Not one pixel changed, but for one picture: a key frame. */
  isSilent(cell: number): boolean {
    return (this.#changes[cell] ?? 0) <= 1;
  }

  #mark(luma: Uint8Array, timeMs: number): void {
    const previous = this.#previous;
    const recycled = this.#forget(timeMs);
    const marks = recycled ?? new Uint8Array(CELLS);
    marks.fill(0);
    const run = CELL_PIXELS;
    let changedPixels = 0;
    for (let from = 0; from < HEALTH_PIXELS; from += run) {
      let changed = 0;
      let largest = 0;
      for (let pixel = from; pixel < from + run; pixel++) {
        const levels = (luma[pixel] ?? 0) - (previous[pixel] ?? 0);
        if (levels === 0) continue;
        changed += 1;
        largest = Math.max(largest, levels < 0 ? -levels : levels);
      }
      if (changed === 0) continue;
      changedPixels += changed;
      const cell = CELL_OF_PIXEL[from] ?? 0;
      marks[cell] = (marks[cell] ?? 0) | (largest >= THRESHOLDS.eventLevels ? CHANGED | EVENT : CHANGED);
    }
    this.#changedShare = changedPixels / HEALTH_PIXELS;
    this.#times.push(timeMs);
    this.#marks.push(marks);
    this.#count(marks, 1);
    for (let cell = 0; cell < CELLS; cell++) {
      if (marks[cell] === 0) continue;
      this.#changedBeforeMs[cell] = this.#changedMs[cell] ?? 0;
      this.#changedMs[cell] = timeMs;
    }
  }

  /** Drops what has left the window. */
  #forget(nowMs: number): Uint8Array | undefined {
    let recycled: Uint8Array | undefined;
    while (this.#times.length >= THRESHOLDS.frozenPictures) {
      const isOld = nowMs - (this.#times[0] ?? 0) > THRESHOLDS.frozenWindowMs;
      if (!isOld && this.#times.length < MAX_PICTURES) break;
      this.#times.shift();
      recycled = this.#marks.shift();
      if (recycled !== undefined) this.#count(recycled, -1);
    }
    return recycled;
  }

  #count(marks: Uint8Array, sign: 1 | -1): void {
    for (let cell = 0; cell < CELLS; cell++) {
      const mark = marks[cell] ?? 0;
      if ((mark & CHANGED) !== 0) this.#changes[cell] = (this.#changes[cell] ?? 0) + sign;
      if ((mark & EVENT) !== 0) this.#events[cell] = (this.#events[cell] ?? 0) + sign;
    }
  }
}
