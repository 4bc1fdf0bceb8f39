import { CELLS } from './cells.js';
import type { Evidence, HealthTest } from './evidence.js';
import { THRESHOLDS } from './thresholds.js';

/**
 * Capped, or half covered: much of the picture is black and shows no noise at all. A dark room is not: there the sensor's noise
 * is all there is to see.
 */
export const dark: HealthTest = {
  fault: 'dark',
  askedBy: 'pictures',
  fails: (evidence) =>
    evidence.activity.isReady ? blackDeadShare(evidence) >= THRESHOLDS.deadShare : undefined,
};

/** Share of the cells that are black and on which nothing changes, 0..1. */
export function blackDeadShare({ light, activity }: Evidence): number {
  let count = 0;
  for (let cell = 0; cell < CELLS; cell++)
    if (light.isDark(cell) && activity.silentForMs(cell) >= THRESHOLDS.darkWindowMs) count += 1;
  return count / CELLS;
}
