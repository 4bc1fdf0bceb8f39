import { CELLS } from './cells.js';
import type { Evidence, HealthTest } from './evidence.js';
import type { CellFinding } from './noise.js';
import { THRESHOLDS } from './thresholds.js';

/** Pixels that could be compared, below which there is nothing to measure: a tenth of the picture. */
const MEASURED_SHARE = 0.1;

/** What moves moves without a sensor's noise: an animation, a synthetic picture, noise that a codec or filter has eaten. */
export const lowNoise: HealthTest = {
  fault: 'low-noise',
  askedBy: 'pictures',
  fails: (evidence) => {
    if (!evidence.noise.isReady) return undefined;
    return evidence.bits.isFailing || hasLowNoise(evidence) === true;
  },
};

/** The noise test alone, without the bit tests; undefined while there is too little to say. */
export function hasLowNoise(evidence: Evidence): boolean | undefined {
  if (!evidence.noise.isReady) return undefined;
  return noiseRatioOf(evidence.cellFindings()) < evidence.leastNoiseRatio;
}

/**
 * The noise of the picture over the least that a sensor's is: by the rule that speaks best for it, the ratio that the rule's share
 * of its cells reach; 0 where nothing could be measured.
 */
export function noiseRatioOf(findings: readonly CellFinding[]): number {
  if (findings.length < MEASURED_SHARE * CELLS) return 0;
  const ratios = THRESHOLDS.noisyRules.map(({ of, leastCells, share }) => {
    const calms: readonly string[] = of;
    const found = findings.filter(({ calm }) => calms.includes(calm)).map(({ noiseRatio }) => noiseRatio);
    if (found.length < Math.min(leastCells, findings.length)) return 0;
    return found.toSorted((a, b) => b - a)[Math.ceil(share * found.length) - 1] ?? 0;
  });
  return Math.max(...ratios);
}
