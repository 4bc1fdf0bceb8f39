import { CELLS } from './cells.js';
import type { Evidence, HealthTest } from './evidence.js';
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
  const { share, staticShare, staticCells, cells } = noisyShares(evidence);
  if (cells < MEASURED_SHARE * CELLS) return true;
  if (share >= evidence.noisyShare) return false;
  return !(staticCells >= THRESHOLDS.staticCells && staticShare >= THRESHOLDS.noisyStaticShare);
}

/** Of all cells that were measured, and of the static ones among them, how many show a sensor's noise, 0..1. */
export function noisyShares({ cellFindings }: Evidence): {
  readonly cells: number;
  readonly share: number;
  readonly staticCells: number;
  readonly staticShare: number;
} {
  const findings = cellFindings();
  const still = findings.filter((finding) => finding.isStatic);
  return {
    cells: findings.length,
    share: findings.filter((finding) => finding.isNoisy).length / Math.max(1, findings.length),
    staticCells: still.length,
    staticShare: still.filter((finding) => finding.isNoisy).length / Math.max(1, still.length),
  };
}
