/**
 * The repetition count test: notices a noise source that is stuck on one value.
 *
 * Source: NIST SP 800-90B, section 4.4.1; no deviation. The cutoff C comes from `repetitionCountCutoff`. Choose α for the
 * sample rate: the standard's 2^-20 is a false alarm a million samples, so at 9 million samples a second (640×480 at 30 Hz)
 * nine of them every second; 2^-40 makes that one in 34 hours. At ten samples a second 2^-20 is one in 29 hours.
 *
 * Cost: 4 to 7 ns a sample, most of it branches no CPU can foresee; nothing is allocated. Keeps one raw sample in memory: {@link reset} forgets it.
 */
export class RepetitionCountTest {
  readonly #C: number;
  /** NaN equals no sample, so the first one always begins a run. */
  #A = Number.NaN;
  #B = 0;
  #failures = 0;

  /**
   * @param options - `cutoff`: C, the run of equal samples that is a failure; an integer, at least 2
   * @throws RangeError if the cutoff is out of range
   */
  constructor(options: { readonly cutoff: number }) {
    if (!Number.isSafeInteger(options.cutoff) || options.cutoff < 2) {
      throw new RangeError('a repetition count cutoff is an integer and at least 2');
    }
    this.#C = options.cutoff;
  }

  /**
   * Takes the next raw sample.
   *
   * As in the standard, a failure does not end the run: every further equal sample fails again, until another value comes.
   * @param sample - any number but NaN; -0 is 0
   * @returns true when the test fails at this sample: it is the C-th or a later one of equal samples in a row
   * @throws RangeError for NaN; state unchanged
   */
  push(sample: number): boolean {
    // 1. A = next()   2. B = 1   (the first sample takes the way of step 4's "else")
    // 3. X = next()
    // 4. If (X = A)
    if (sample === this.#A) {
      //    B = B + 1
      this.#B += 1;
      //    If (B ≥ C), signal a failure
      if (this.#B < this.#C) return false;
      this.#failures += 1;
      return true;
    }
    if (Number.isNaN(sample)) throw new RangeError('a sample is a number');
    //    Else: A = X, B = 1.   Repeat step 3
    this.#A = sample;
    this.#B = 1;
    return false;
  }

  /** Samples at which the test failed, since it was made; {@link reset} does not forget it. */
  get failures(): number {
    return this.#failures;
  }

  /** Begins again at step 1, as at start-up; the next sample begins a new run. */
  reset(): void {
    this.#A = Number.NaN;
    this.#B = 0;
  }
}
