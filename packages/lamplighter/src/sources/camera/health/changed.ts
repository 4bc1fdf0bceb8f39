import type { HealthTest } from './evidence.js';

/** Exposure, direction or size is not what it was, and stays so. */
export const changed: HealthTest = {
  fault: 'changed',
  askedBy: 'pictures',
  fails: ({ baseline }) => baseline.isChanged,
};
