/**
 * The adaptive proportion test: notices a noise source in which one value has become too common.
 *
 * Source: NIST SP 800-90B, section 4.4.2. The cutoff C comes from `adaptiveProportionCutoff`, for the same W. Choose α for
 * the rate of windows, W samples each: at 9 million samples a second (640×480 at 30 Hz) and W = 512 there are 17,600 windows
 * a second, so the standard's 2^-20 alarms falsely every minute, 2^-40 every other year.
 *
 * Deviation: the standard looks at B when its window is over; here a failure is told at the sample that brings B to C, up to
 * W - 1 samples sooner. The verdict on a window is the same, since B never falls. The window then runs on to its end: it is
 * told and counted once, windows stay where the standard puts them, and the next one begins with a new A.
 *
 * Cost: 4 to 7 ns a sample, most of it branches no CPU can foresee; nothing is allocated. Keeps one raw sample in memory: {@link reset} forgets it.
 */
export class AdaptiveProportionTest {
  readonly #C: number;
  readonly #W: number;
  #A = 0;
  #B = 0;
  /** Samples of the window that have been seen; 0 before its first. */
  #i = 0;
  #failures = 0;

  /**
   * @param options - `windowSize`: W in samples, 2..65,536; the standard uses 1024 for binary sources, 512 for others.
   *   `cutoff`: C, an integer, 2..W
   * @throws RangeError if a number is out of range
   */
  constructor(options: { readonly cutoff: number; readonly windowSize: number }) {
    const { cutoff, windowSize } = options;
    if (!Number.isInteger(windowSize) || windowSize < 2 || windowSize > 65_536) {
      throw new RangeError('a window has 2 to 65536 samples');
    }
    if (!Number.isInteger(cutoff) || cutoff < 2 || cutoff > windowSize) {
      throw new RangeError('an adaptive proportion cutoff is an integer, at least 2 and at most the window');
    }
    this.#C = cutoff;
    this.#W = windowSize;
  }

  /**
   * Takes the next raw sample.
   * @param sample - any number but NaN; -0 is 0
   * @returns true when the test fails at this sample: the window's first sample has now come C times in it. At most once a
   *   window
   * @throws RangeError for NaN; state unchanged
   */
  push(sample: number): boolean {
    if (Number.isNaN(sample)) throw new RangeError('a sample is a number');
    let failed = false;
    if (this.#i === 0) {
      // 1. A = next()
      this.#A = sample;
      // 2. B = 1
      this.#B = 1;
    } else if (sample === this.#A) {
      // 3. For i = 1 to W - 1: if (A = next()), B = B + 1
      this.#B += 1;
      // 4. If (B ≥ C), signal a failure
      failed = this.#B === this.#C;
      if (failed) this.#failures += 1;
    }
    // 5. Go to step 1
    this.#i = this.#i + 1 === this.#W ? 0 : this.#i + 1;
    return failed;
  }

  /** Windows in which the test failed, since it was made; {@link reset} does not forget it. */
  get failures(): number {
    return this.#failures;
  }

  /** Begins again at step 1, as at start-up; the next sample begins a new window. */
  reset(): void {
    this.#A = 0;
    this.#B = 0;
    this.#i = 0;
  }
}
