import { CELLS } from './cells.js';
import type { Evidence, HealthTest } from './evidence.js';
import { hasLowNoise } from './low-noise.js';
import { THRESHOLDS } from './thresholds.js';

/**
 * A plain: much of the picture has neither structure nor noise, even or a smooth slope, still or (when the whole picture has no
 * noise) moving. A Shannon estimate takes such a slope for 11 bits a pixel.
 */
export const flat: HealthTest = {
  fault: 'flat',
  askedBy: 'pictures',
  fails: (evidence) => {
    if (!evidence.activity.isReady) return undefined;
    if (flatShare(evidence) >= THRESHOLDS.deadShare) return true;
    return featurelessShare(evidence) >= THRESHOLDS.featurelessShare && hasLowNoise(evidence) === true;
  },
};

/** Share of the cells, other than black ones, without structure on which nothing changes, 0..1. */
export function flatShare({ light, activity }: Evidence): number {
  let count = 0;
  for (let cell = 0; cell < CELLS; cell++) {
    if (light.isFeatureless(cell) && !light.isDark(cell) && activity.isSilent(cell)) count += 1;
  }
  return count / CELLS;
}

function featurelessShare({ light }: Evidence): number {
  let count = 0;
  for (let cell = 0; cell < CELLS; cell++) if (light.isFeatureless(cell)) count += 1;
  return count / CELLS;
}
