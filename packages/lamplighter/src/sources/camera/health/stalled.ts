import type { HealthTest } from './evidence.js';

/** Pictures or bytes stop coming, or come much slower than this camera's do. */
export const stalled: HealthTest = {
  fault: 'stalled',
  askedBy: 'time',
  fails: ({ pace, timeMs, isGone }) => !isGone && pace.isStalled(timeMs),
};

/** The connection is lost, the device unplugged. */
export const gone: HealthTest = {
  fault: 'gone',
  askedBy: 'time',
  fails: ({ isGone }) => isGone,
};
