import { THRESHOLDS } from './thresholds.js';

/**
 * Hysteresis of one fault: it begins after {@link THRESHOLDS.raiseMs} of nothing but failures (one, where answers are further
 * apart than that), and ends after {@link THRESHOLDS.recoverMs} without one.
 */
export class Alarm {
  #isRaised = false;
  /** Since when the answers have been the opposite of the state. */
  #sinceMs: number | undefined;
  #heardMs: number | undefined;

  get isRaised(): boolean {
    return this.#isRaised;
  }

  /**
   * Takes a test's answer.
   * @returns `raised` or `cleared` when that has just happened
   */
  hear(fails: boolean, timeMs: number): 'raised' | 'cleared' | undefined {
    const lastMs = this.#heardMs ?? timeMs;
    this.#heardMs = timeMs;
    if (fails === this.#isRaised) {
      this.#sinceMs = undefined;
      return undefined;
    }
    // A failure may have begun as early as the answer before; recovery begins with the first good answer.
    this.#sinceMs ??= fails ? lastMs : timeMs;
    const neededMs = fails ? THRESHOLDS.raiseMs : THRESHOLDS.recoverMs;
    return timeMs - this.#sinceMs < neededMs ? undefined : this.#turn(fails);
  }

  /** Begins the fault at once: for what has waited already. */
  raise(): 'raised' | 'cleared' | undefined {
    return this.#isRaised ? undefined : this.#turn(true);
  }

  #turn(isRaised: boolean): 'raised' | 'cleared' {
    this.#isRaised = isRaised;
    this.#sinceMs = undefined;
    return isRaised ? 'raised' : 'cleared';
  }
}
