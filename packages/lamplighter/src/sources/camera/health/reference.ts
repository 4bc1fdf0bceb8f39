import { HEALTH_PIXELS } from './picture.js';
import { THRESHOLDS } from './thresholds.js';

/** Five pictures 190 ms apart span 0.9 s; one more is the newest. */
const KEPT = 6;

/** Keeps the last analysed pictures, to compare with the one of about a second ago. Memory: 115 KB. */
export class Reference {
  readonly #pictures: { readonly timeMs: number; readonly luma: Uint8Array }[] = [];

  /** The youngest picture that is at least {@link THRESHOLDS.noiseLagMs} old, else the oldest there is. */
  before(timeMs: number): Uint8Array | undefined {
    const old = this.#pictures.findLast((picture) => timeMs - picture.timeMs >= THRESHOLDS.noiseLagMs);
    return (old ?? this.#pictures[0])?.luma;
  }

  /** @param luma - copied */
  keep(luma: Uint8Array, timeMs: number): void {
    const recycled = this.#pictures.length === KEPT ? this.#pictures.shift()?.luma : undefined;
    const copy = recycled ?? new Uint8Array(HEALTH_PIXELS);
    copy.set(luma);
    this.#pictures.push({ timeMs, luma: copy });
  }
}
