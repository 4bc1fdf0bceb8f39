import type { Evidence, HealthTest } from './evidence.js';
import { THRESHOLDS } from './thresholds.js';

/** Over-exposed or dazzled: much of the picture is clipped, and a clipped pixel has no noise. */
export const blind: HealthTest = {
  fault: 'blind',
  askedBy: 'pictures',
  fails: (evidence) => clippedHighShare(evidence) >= THRESHOLDS.blindShare,
};

/** Share of the pixels that are clipped high, 0..1. */
export function clippedHighShare({ light }: Evidence): number {
  return light.shareBetween(THRESHOLDS.clippedLevel, 255);
}
