import { blind } from './blind.js';
import { changed } from './changed.js';
import { dark } from './dark.js';
import type { HealthTest } from './evidence.js';
import { flat } from './flat.js';
import { frozen, overlayOnly } from './frozen.js';
import { lowNoise } from './low-noise.js';
import { replayed } from './replayed.js';
import { gone, stalled } from './stalled.js';

/** Every health test, in the order in which faults are told. A new one is a file and a line here. */
export const HEALTH_TESTS: readonly HealthTest[] = [
  dark,
  blind,
  flat,
  frozen,
  overlayOnly,
  replayed,
  lowNoise,
  changed,
  stalled,
  gone,
];
