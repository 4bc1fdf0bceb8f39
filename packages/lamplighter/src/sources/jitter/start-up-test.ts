import type { Reason } from '../../wire/status.js';
import { greatestCommonDivisor } from '../clock-grain.js';

/** Measurements in one start-up test; SP 800-90B, section 4.3, asks for at least 1,024. */
export const START_UP_SAMPLES = 1_024;
/** How often the clock may go backwards meanwhile: a restored or migrated machine is no fault, a clock that does is. */
const MAX_BACKWARDS = 3;
/** A measurement that takes fewer steps of the clock has no room to vary. */
const LEAST_STEPS = 8;
/** By how many steps two measurements in a row differ at least, on average. */
const LEAST_VARIATION_STEPS = 1;
/** Of all measurements so many may be stuck, at start-up and in every window after it. As in jitterentropy. */
export const MAX_STUCK_SHARE = 0.9;

/**
 * Looks at the first 1,024 measurements as a whole: whether the clock runs forwards and finely enough, whether the times vary,
 * and how many are stuck. Nothing of them is kept but sums.
 *
 * Source: jitterentropy's start-up test; the limits are ours where the constants above say nothing else.
 */
export class StartUpTest {
  #samples = 0;
  #backwards = 0;
  #stuck = 0;
  #gcd = 0;
  #sum = 0;
  #variation = 0;
  #last: number | undefined;

  /** @returns true when this was the last one needed: {@link fault} has the verdict */
  push(time: number, isStuck: boolean): boolean {
    this.#samples += 1;
    if (time < 0) this.#backwards += 1;
    if (isStuck) this.#stuck += 1;
    const length = Math.abs(time);
    this.#gcd = greatestCommonDivisor(length, this.#gcd);
    this.#sum += length;
    if (this.#last !== undefined) this.#variation += Math.abs(time - this.#last);
    this.#last = time;
    return this.#samples >= START_UP_SAMPLES;
  }

  /** What is wrong with what was pushed, the gravest fault first; undefined when nothing is. */
  fault(): Reason | undefined {
    const samples = this.#samples;
    if (this.#backwards > MAX_BACKWARDS) {
      return startUp(
        `the clock went backwards ${this.#backwards} times in ${samples} (limit ${MAX_BACKWARDS})`,
      );
    }
    if (this.#gcd === 0) return coarse('the clock stands still');
    const steps = this.#sum / samples / this.#gcd;
    if (steps < LEAST_STEPS) {
      return coarse(
        `a measurement takes ${steps.toFixed(1)} steps of the clock, of ${this.#gcd} each (limit ${LEAST_STEPS})`,
      );
    }
    const variation = this.#variation / samples / this.#gcd;
    if (variation < LEAST_VARIATION_STEPS) {
      return startUp(`times vary by ${variation.toFixed(2)} steps (limit ${LEAST_VARIATION_STEPS})`);
    }
    const most = Math.floor(MAX_STUCK_SHARE * samples);
    if (this.#stuck > most)
      return startUp(`${this.#stuck} of ${samples} measurements are stuck (limit ${most})`);
    return undefined;
  }
}

const startUp = (what: string): Reason => ({
  code: 'ERR_HEALTH_START_UP',
  message: `start-up test: ${what}`,
});

const coarse = (what: string): Reason => ({
  code: 'ERR_CLOCK_COARSE',
  message: `start-up test: ${what}`,
  hint: 'install the native addon: it reads the cycle counter',
});
