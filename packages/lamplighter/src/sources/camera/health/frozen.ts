import { CELLS } from './cells.js';
import type { Evidence, HealthTest } from './evidence.js';
import { THRESHOLDS } from './thresholds.js';

/** The picture stands still: no change beyond what re-encoding the same picture makes at key frames. */
export const frozen: HealthTest = {
  fault: 'frozen',
  askedBy: 'pictures',
  fails: (evidence) => (evidence.activity.isReady ? livingShare(evidence) === 0 : undefined),
};

/** The picture stands still but for a small part of it: a clock, a counter, a logo that spins. */
export const overlayOnly: HealthTest = {
  fault: 'overlay-only',
  askedBy: 'pictures',
  fails: (evidence) => {
    if (!evidence.activity.isReady) return undefined;
    const share = livingShare(evidence);
    return share > 0 && share < THRESHOLDS.overlayCellShare;
  },
};

/** Share of the cells that change all the time, or in which something happened, 0..1. */
export function livingShare({ activity }: Evidence): number {
  let count = 0;
  for (let cell = 0; cell < CELLS; cell++) if (activity.isAlive(cell) || activity.hasEvent(cell)) count += 1;
  return count / CELLS;
}
