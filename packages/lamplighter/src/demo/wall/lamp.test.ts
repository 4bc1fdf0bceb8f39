import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GLASS_HEIGHT_CM, glassRadiusCm } from './glass.js';
import {
  BULB_C,
  CAP_C,
  type Lamp,
  STEP_SECONDS,
  createLamp,
  kineticEnergyCm2PerS2,
  stepLamp,
} from './lamp.js';
import { seededRandom } from './seeded-random.fixture.js';

const HOUR_STEPS = 3600 / STEP_SECONDS;
const MINUTE_STEPS = 60 / STEP_SECONDS;
/** An hour of a lamp takes a quarter of a second. */
const FEW = { numRuns: 4 };
const seed = fc.integer();

function burn(
  lamp: Lamp,
  random: () => number,
  steps: number,
  look: (step: number) => void = () => undefined,
): void {
  for (let step = 0; step < steps; step++) {
    stepLamp(lamp, random);
    look(step);
  }
}

describe('a lamp that burns for an hour', () => {
  it('keeps every blob inside the glass, between the temperatures of bulb and cap', () => {
    fc.assert(
      fc.property(seed, fc.integer({ min: 1, max: 16 }), (start, blobCount) => {
        const random = seededRandom(start);
        const lamp = createLamp(random, blobCount);
        let farthest = -Infinity;
        let coldest = Infinity;
        let hottest = -Infinity;
        burn(lamp, random, HOUR_STEPS, () => {
          for (const { xCm, heightCm, radiusCm, temperatureC } of lamp.blobs) {
            const beside = Math.abs(xCm) + radiusCm - glassRadiusCm(heightCm);
            const beyond = Math.max(radiusCm - heightCm, heightCm + radiusCm - GLASS_HEIGHT_CM);
            farthest = Math.max(farthest, beside, beyond);
            coldest = Math.min(coldest, temperatureC);
            hottest = Math.max(hottest, temperatureC);
          }
        });
        expect(farthest).toBeLessThanOrEqual(1e-9);
        expect(coldest).toBeGreaterThanOrEqual(CAP_C);
        expect(hottest).toBeLessThanOrEqual(BULB_C);
        expect(lamp.burningSeconds).toBeCloseTo(3600);
      }),
      { numRuns: 3 },
    );
  });

  it('neither blows up nor comes to rest', () => {
    fc.assert(
      fc.property(seed, (start) => {
        const random = seededRandom(start);
        const lamp = createLamp(random);
        let most = 0;
        let mostThisMinute = 0;
        const liveliest: number[] = [];
        burn(lamp, random, HOUR_STEPS, (step) => {
          const energy = kineticEnergyCm2PerS2(lamp);
          most = Math.max(most, energy);
          mostThisMinute = Math.max(mostThisMinute, energy);
          if ((step + 1) % MINUTE_STEPS === 0) {
            liveliest.push(mostThisMinute);
            mostThisMinute = 0;
          }
        });
        // A blob as hot as the bulb rises at no more than 5 cm/s: 12.5 cm²/s².
        expect(most).toBeLessThan(12.5);
        // 0.1 cm²/s² is a mean speed of 4.5 mm/s: one look is enough to see it move.
        expect(Math.min(...liveliest)).toBeGreaterThan(0.1);
      }),
      FEW,
    );
  });

  it('circulates: every blob rises from the foot to the cap again and again', () => {
    fc.assert(
      fc.property(seed, (start) => {
        const random = seededRandom(start);
        const lamp = createLamp(random);
        const rises = lamp.blobs.map(() => 0);
        const wasLow = lamp.blobs.map(() => false);
        burn(lamp, random, HOUR_STEPS, () => {
          for (const [index, { heightCm }] of lamp.blobs.entries()) {
            if (heightCm < GLASS_HEIGHT_CM * 0.3) wasLow[index] = true;
            if (heightCm > GLASS_HEIGHT_CM * 0.7 && wasLow[index] === true) {
              wasLow[index] = false;
              rises[index] = (rises[index] ?? 0) + 1;
            }
          }
        });
        expect(Math.min(...rises)).toBeGreaterThan(10);
      }),
      FEW,
    );
  });
});

describe('randomness', () => {
  const afterAMinute = (start: number): Lamp => {
    const random = seededRandom(start);
    const lamp = createLamp(random);
    burn(lamp, random, MINUTE_STEPS);
    return lamp;
  };

  it('decides everything: the same seed agrees, another differs', () => {
    fc.assert(
      fc.property(seed, (start) => {
        expect(afterAMinute(start)).toEqual(afterAMinute(start));
        expect(afterAMinute(start)).not.toEqual(afterAMinute(start + 1));
      }),
      { numRuns: 10 },
    );
  });

  it('drives the motion, not only the start: lamps that begin alike part', () => {
    const [one, other] = [createLamp(seededRandom(1)), createLamp(seededRandom(1))];
    burn(one, seededRandom(2), MINUTE_STEPS);
    burn(other, seededRandom(3), MINUTE_STEPS);
    const apart = one.blobs.map((blob, index) =>
      Math.abs(blob.heightCm - (other.blobs[index]?.heightCm ?? 0)),
    );
    expect(Math.max(...apart)).toBeGreaterThan(1);
  });
});

describe('createLamp', () => {
  it.each([0, 17, 1.5, Number.NaN])('refuses %d blobs', (count) => {
    expect(() => createLamp(seededRandom(1), count)).toThrow(RangeError);
  });
});
