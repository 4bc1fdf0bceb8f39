import { able } from '../../local/ability.js';
import { fixedEnvironment, type FixedEnvironment } from '../../local/fixed-environment.fixture.js';

/** A machine held still in which every measurement takes as long as the test says. */
export interface ScriptedClock {
  readonly environment: FixedEnvironment;
  /** Makes the n-th measurement from now on take `timeOf(n)` counts. */
  readonly script: (timeOf: (nth: number) => number) => void;
}

/** Each measurement reads the clock twice: where it begins and where it ends. */
export function scriptedClock(timeOf: (nth: number) => number): ScriptedClock {
  let script = timeOf;
  let nth = 0;
  let count = 1_000_000_000n;
  let isBeginning = false;
  const environment: FixedEnvironment = {
    ...fixedEnvironment(),
    cycleCounter: () => {
      isBeginning = !isBeginning;
      if (!isBeginning) {
        count += BigInt(script(nth));
        nth += 1;
      }
      return able(count);
    },
  };
  return {
    environment,
    script(next) {
      script = next;
      nth = 0;
    },
  };
}

/** Times as a real machine has them: around 8,500 counts, irregular, the same in every run. */
export function irregular(nth: number): number {
  // Two rounds of a 32-bit finalizer (murmur3's): any number for any nth.
  let x = Math.imul(nth + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return 8_500 + (((x ^ (x >>> 16)) >>> 0) % 600);
}
