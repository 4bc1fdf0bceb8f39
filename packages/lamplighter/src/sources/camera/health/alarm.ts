import { THRESHOLDS } from './thresholds.js';

/**
 * Hysteresis of one fault: it begins with the first failure (the tests look at seconds, not at single pictures) and ends after
 * {@link THRESHOLDS.recoverMs} without one.
 */
export class Alarm {
  #isRaised = false;
  #passingSinceMs: number | undefined;

  get isRaised(): boolean {
    return this.#isRaised;
  }

  /**
   * Takes a test's answer.
   * @returns `raised` or `cleared` when that has just happened
   */
  hear(fails: boolean, timeMs: number): 'raised' | 'cleared' | undefined {
    if (fails) {
      this.#passingSinceMs = undefined;
      if (this.#isRaised) return undefined;
      this.#isRaised = true;
      return 'raised';
    }
    if (!this.#isRaised) return undefined;
    this.#passingSinceMs ??= timeMs;
    if (timeMs - this.#passingSinceMs < THRESHOLDS.recoverMs) return undefined;
    this.#isRaised = false;
    this.#passingSinceMs = undefined;
    return 'cleared';
  }
}
