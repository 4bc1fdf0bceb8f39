import type { Activity } from './activity.js';
import type { Baseline } from './baseline.js';
import type { BitTests } from './bits.js';
import type { Light } from './light.js';
import type { CellFinding, Noise } from './noise.js';
import type { Pace } from './pace.js';
import type { ReplaySearch } from './replay-search.js';

/** The ways in which a camera can be unfit as a noise source. */
export type CameraFault =
  | 'dark'
  | 'blind'
  | 'flat'
  | 'frozen'
  | 'overlay-only'
  | 'replayed'
  | 'low-noise'
  | 'changed'
  | 'stalled'
  | 'gone';

/** All that was measured, for the tests to look at. */
export interface Evidence {
  readonly light: Light;
  readonly activity: Activity;
  readonly noise: Noise;
  /** Noise of every cell that is neither black without noise nor clipped; made when first asked for. */
  readonly cellFindings: () => readonly CellFinding[];
  readonly bits: BitTests;
  readonly replay: ReplaySearch;
  readonly baseline: Baseline;
  readonly pace: Pace;
  readonly isGone: boolean;
  /** The noise ratio below which noise is low: the default, or calibration's. */
  readonly leastNoiseRatio: number;
  /** Now. */
  readonly timeMs: number;
}

/** One health test: a question with a name. All of them are in registry.ts. */
export interface HealthTest {
  readonly fault: CameraFault;
  /** `pictures`: asked whenever a picture was analysed; `time`: asked at every verdict too, since it fails when nothing comes. */
  readonly askedBy: 'pictures' | 'time';
  /** @returns undefined while there is too little to say */
  readonly fails: (evidence: Evidence) => boolean | undefined;
}
