import { THRESHOLDS } from './thresholds.js';

/** More than a window holds at 30 a second. */
const MAX_PICTURES = 160;
/** Weight of the present rate in the learned one, at each picture and at most once a second: about the last minute. */
const LEARNING_WEIGHT = 1 / 60;

/** Whether pictures and bytes come as they used to. */
export class Pace {
  readonly #times: number[] = [];
  #learned: number | undefined;
  #learnedMs = -Infinity;
  #slowSinceMs: number | undefined;
  #heardMs: number | undefined;
  #firstMs: number | undefined;
  #hasPicture = false;

  /** @param picturesPerSecond - what calibration learned, if there was one */
  constructor(picturesPerSecond?: number) {
    this.#learned = picturesPerSecond;
  }

  see(timeMs: number): void {
    this.#firstMs ??= timeMs;
    this.#hasPicture = true;
    this.#times.push(timeMs);
    if (this.#times.length > MAX_PICTURES) this.#times.shift();
    if (timeMs - this.#learnedMs >= 1_000) this.#learn(timeMs);
  }

  heard(timeMs: number): void {
    this.#firstMs ??= timeMs;
    this.#heardMs = timeMs;
  }

  /** A new connection begins: its first picture is waited for anew, the learned rate is kept. */
  restart(timeMs: number): void {
    this.#times.length = 0;
    this.#firstMs = timeMs;
    this.#heardMs = undefined;
    this.#hasPicture = false;
  }

  /** Pictures a second over the window that ends now. */
  picturesPerSecond(timeMs: number): number {
    const [oldestMs] = this.#times;
    if (oldestMs === undefined) return 0;
    const windowMs = this.#windowMs();
    const inWindow = this.#times.filter((pictureMs) => timeMs - pictureMs < windowMs).length;
    // Full when the connection is young: the first picture opens the window, it is not in it.
    const spanMs = timeMs - oldestMs;
    if (spanMs >= windowMs || this.#times.length === MAX_PICTURES) {
      return (1_000 * inWindow) / Math.min(windowMs, Math.max(1, spanMs));
    }
    return spanMs <= 0 ? 0 : (1_000 * (inWindow - 1)) / spanMs;
  }

  /** What this camera's rate usually is; 0 before that is known. */
  get learnedPerSecond(): number {
    return this.#learned ?? 0;
  }

  isStalled(timeMs: number): boolean {
    if (this.#firstMs === undefined) return false;
    const lastMs = this.#times.at(-1);
    if (lastMs === undefined || !this.#hasPicture) return timeMs - this.#firstMs > THRESHOLDS.neverMs;
    const patienceMs = Math.max(THRESHOLDS.silenceMs, THRESHOLDS.rateIntervals * this.#intervalMs());
    if (timeMs - lastMs > patienceMs) return true;
    if (this.#heardMs !== undefined && timeMs - this.#heardMs > patienceMs) return true;
    return this.#isSlow(timeMs);
  }

  #isSlow(timeMs: number): boolean {
    const [oldestMs = timeMs] = this.#times;
    if (this.#learned === undefined || timeMs - oldestMs < 0.9 * this.#windowMs()) return false;
    return this.picturesPerSecond(timeMs) < THRESHOLDS.stalledRateShare * this.#learned;
  }

  #learn(timeMs: number): void {
    const [oldestMs = timeMs] = this.#times;
    const isFull = timeMs - oldestMs >= 0.9 * this.#windowMs() || this.#times.length === MAX_PICTURES;
    if (!isFull || this.#times.length <= THRESHOLDS.rateIntervals) return;
    this.#learnedMs = timeMs;
    const rate = this.picturesPerSecond(timeMs);
    if (!this.#isSlow(timeMs)) {
      this.#slowSinceMs = undefined;
      this.#learned = (this.#learned ?? rate) + (rate - (this.#learned ?? rate)) * LEARNING_WEIGHT;
      return;
    }
    // So slow for so long: that is its rate now.
    this.#slowSinceMs ??= timeMs;
    if (timeMs - this.#slowSinceMs >= THRESHOLDS.rebaselineMs) this.#learned = rate;
  }

  #intervalMs(): number {
    return this.#learned === undefined || this.#learned <= 0 ? 1_000 : 1_000 / this.#learned;
  }

  #windowMs(): number {
    return Math.max(THRESHOLDS.rateWindowMs, THRESHOLDS.rateIntervals * this.#intervalMs());
  }
}
