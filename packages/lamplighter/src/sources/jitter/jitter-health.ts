import {
  adaptiveProportionCutoff,
  AdaptiveProportionTest,
  repetitionCountCutoff,
  RepetitionCountTest,
} from '@lamplighter/core';
import type { Reason } from '../../wire/status.js';
import { MAX_STUCK_SHARE, StartUpTest } from './start-up-test.js';
import { StuckTest } from './stuck-test.js';

/**
 * H = 1 bit a measurement is claimed, far below what is measured. At 2,000 measurements a second α = 2^-40 is a false alarm of
 * the repetition count test in 17 years. C is then 41 for it, and 336 of 512 for the adaptive proportion test.
 */
const CUTOFFS = { minEntropyBits: 1, alphaLog2: -40 };
const WINDOW = 512;
/** Start-up tests in a row that must pass before a source that failed is believed again. */
const GOOD_START_UPS = 3;

/** How often each test failed, and how much was tested. */
export interface JitterCounts {
  readonly measurements: number;
  readonly stuck: number;
  readonly startUpFailures: number;
  readonly stuckFailures: number;
  readonly repetitionFailures: number;
  readonly proportionFailures: number;
}

/**
 * All health tests on jitter measurements: the start-up test, and without end the repetition count and adaptive proportion tests of
 * SP 800-90B on the times themselves, and the share of stuck ones in every window of 512.
 *
 * Whatever fails makes it `degraded` with the reason, at once or at the end of the start-up test under way; it then has to pass
 * three start-up tests in a row, without any other failure in them, to be `ok` again: 2 to 8 s at 1 % of a core.
 * Not noticed by any of these: times that follow a pattern without being constant, common or even.
 */
export class JitterHealth {
  readonly #stuck = new StuckTest();
  readonly #repetition = new RepetitionCountTest({ cutoff: repetitionCountCutoff(CUTOFFS) });
  readonly #proportion = new AdaptiveProportionTest({
    cutoff: adaptiveProportionCutoff({ ...CUTOFFS, windowSize: WINDOW }),
    windowSize: WINDOW,
  });
  /** Undefined when the start-up test is over. */
  #startUp: StartUpTest | undefined = new StartUpTest();
  #startUpsMissing = 1;
  /** What another test found during the start-up test; told at its end, which may know a better reason. */
  #startUpFault: Reason | undefined;
  #state: 'starting' | 'ok' | 'degraded' = 'starting';
  #reason: Reason | undefined;
  #window = { measurements: 0, stuck: 0 };
  #counts = { measurements: 0, stuck: 0, startUpFailures: 0, stuckFailures: 0 };

  /** @param time - of one measurement, in counts of the clock; negative when it went backwards */
  push(time: number): void {
    const isStuck = this.#stuck.push(time);
    this.#counts.measurements += 1;
    if (isStuck) this.#counts.stuck += 1;
    // Each test sees every measurement, whatever the others say.
    const faults = [this.#repeats(time), this.#isTooCommon(time), this.#isWindowStuck(isStuck)];
    const fault = faults.find((reason) => reason !== undefined);
    if (this.#startUp === undefined) {
      if (fault !== undefined) this.#fail(fault);
      return;
    }
    this.#startUpFault ??= fault;
    if (this.#startUp.push(time, isStuck)) this.#endStartUp(this.#startUp.fault() ?? this.#startUpFault);
  }

  /** `starting` until the first start-up test is over. */
  get state(): 'starting' | 'ok' | 'degraded' {
    return this.#state;
  }

  /** Why it is degraded: what failed last. */
  get reason(): Reason | undefined {
    return this.#reason;
  }

  get counts(): JitterCounts {
    return {
      ...this.#counts,
      repetitionFailures: this.#repetition.failures,
      proportionFailures: this.#proportion.failures,
    };
  }

  #endStartUp(fault: Reason | undefined): void {
    if (fault !== undefined) {
      this.#counts.startUpFailures += 1;
      this.#fail(fault);
      return;
    }
    this.#startUpsMissing -= 1;
    if (this.#startUpsMissing > 0) {
      this.#startUp = new StartUpTest();
      return;
    }
    this.#startUp = undefined;
    this.#state = 'ok';
    this.#reason = undefined;
  }

  #fail(reason: Reason): void {
    this.#state = 'degraded';
    this.#reason = reason;
    this.#startUp = new StartUpTest();
    this.#startUpFault = undefined;
    this.#startUpsMissing = GOOD_START_UPS;
  }

  #repeats(time: number): Reason | undefined {
    if (!this.#repetition.push(time)) return undefined;
    const most = repetitionCountCutoff(CUTOFFS);
    return {
      code: 'ERR_HEALTH_REPETITION_COUNT',
      message: `repetition count test: one time came ${most} times in a row`,
    };
  }

  #isTooCommon(time: number): Reason | undefined {
    if (!this.#proportion.push(time)) return undefined;
    const most = adaptiveProportionCutoff({ ...CUTOFFS, windowSize: WINDOW });
    return {
      code: 'ERR_HEALTH_ADAPTIVE_PROPORTION',
      message: `adaptive proportion test: one time came ${most} times in ${WINDOW}`,
    };
  }

  #isWindowStuck(isStuck: boolean): Reason | undefined {
    this.#window.measurements += 1;
    if (isStuck) this.#window.stuck += 1;
    if (this.#window.measurements < WINDOW) return undefined;
    const { stuck } = this.#window;
    this.#window = { measurements: 0, stuck: 0 };
    const most = Math.floor(MAX_STUCK_SHARE * WINDOW);
    if (stuck <= most) return undefined;
    this.#counts.stuckFailures += 1;
    return {
      code: 'ERR_HEALTH_STUCK',
      message: `stuck test: ${stuck} of ${WINDOW} measurements are stuck (limit ${most})`,
    };
  }
}
