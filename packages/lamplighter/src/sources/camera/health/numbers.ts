import { clippedHighShare } from './blind.js';
import { blackDeadShare } from './dark.js';
import type { Evidence } from './evidence.js';
import { flatShare } from './flat.js';
import { livingShare } from './frozen.js';
import { noiseRatioOf } from './low-noise.js';
import { THRESHOLDS } from './thresholds.js';

/**
 * What the tests look at, for people: at most 24 finite numbers. Shares are 0..1; levels are of 255.
 *
 * - `meanLuma`, `darkShare`, `clippedHighShare`: levels, and pixels that are dark or clipped
 * - `blackShare`, `flatShare`: cells without any change that are black, or without structure
 * - `changedShare`, `livingShare`: pixels that differ from the picture before; cells that change all the time
 * - `residualRms`, `staticNoise`, `movingNoise`: SD of the noise in levels: of all pixels now; the quarter point over the static
 *   and over all cells of the last five seconds
 * - `noiseRatio`: noise over the least that a sensor's is, at the cells that decide; below 1 it is low
 * - `staticShare`: cells that stand still, of those measured
 * - `noiseBits`, `rctFailures`, `aptFailures`: min-entropy of a temporal low-order bit; failures since the start
 * - `replayBestZ`, `replayLagSeconds`: the best mean agreement with the past, and how long ago that was
 * - `changedCellShare`: cells that are not as in the baseline
 * - `picturesPerSecond`, `learnedPicturesPerSecond`
 */
export function numbersOf(evidence: Evidence): Readonly<Record<string, number>> {
  const { light, activity, noise, bits, replay, baseline, pace, timeMs } = evidence;
  const findings = evidence.cellFindings();
  const still = findings.filter(({ calm }) => calm === 'static');
  const numbers: Record<string, number> = {
    meanLuma: light.meanLuma,
    darkShare: light.shareBetween(0, THRESHOLDS.darkLevel),
    clippedHighShare: clippedHighShare(evidence),
    blackShare: blackDeadShare(evidence),
    flatShare: flatShare(evidence),
    changedShare: activity.changedShare,
    livingShare: livingShare(evidence),
    residualRms: noise.residualRms,
    staticNoise: quarterPoint(still.map((finding) => finding.deviation)),
    movingNoise: quarterPoint(findings.map((finding) => finding.robustDeviation)),
    noiseRatio: noiseRatioOf(findings),
    staticShare: still.length / Math.max(1, findings.length),
    noiseBits: bits.noiseBits,
    rctFailures: bits.repetitionFailures,
    aptFailures: bits.proportionFailures,
    replayBestZ: replay.bestZ,
    replayLagSeconds: replay.bestLagMs / 1_000,
    changedCellShare: baseline.changedCellShare,
    picturesPerSecond: pace.picturesPerSecond(timeMs),
    learnedPicturesPerSecond: pace.learnedPerSecond,
  };
  for (const [name, value] of Object.entries(numbers)) {
    numbers[name] = Number.isFinite(value) ? Math.round(value * 1_000) / 1_000 : 0;
  }
  return numbers;
}

/** The value that a quarter lies below; of none 0. */
export function quarterPoint(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 4)] ?? 0;
}
