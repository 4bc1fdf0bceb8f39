import type { HealthTest } from './evidence.js';
import { THRESHOLDS } from './thresholds.js';

/** The noise of some minutes ago comes again: a recording, a loop. */
export const replayed: HealthTest = {
  fault: 'replayed',
  askedBy: 'pictures',
  fails: ({ replay }) => replay.bestZ >= THRESHOLDS.replayMeanZ,
};
