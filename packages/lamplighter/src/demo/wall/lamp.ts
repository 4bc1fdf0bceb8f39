import { GLASS_HEIGHT_CM, glassRadiusCm } from './glass.js';

/** A number drawn evenly from 0 (included) to 1 (excluded). */
export type UniformRandom = () => number;

/** One piece of wax, a disc in the plane through the lamp's axis. */
export interface WaxBlob {
  readonly radiusCm: number;
  /** Distance from the axis; left is negative. */
  xCm: number;
  /** Height of the middle above the foot of the glass. */
  heightCm: number;
  xSpeedCmPerS: number;
  /** Positive is rising. */
  riseSpeedCmPerS: number;
  temperatureC: number;
}

/** One lamp: its wax, and how long it has been burning. */
export interface Lamp {
  readonly blobs: readonly WaxBlob[];
  burningSeconds: number;
}

/** The simulation's step. Drag is implicit, and the stiffest spring turns once in 2.2 s, so this is far from its limit. */
export const STEP_SECONDS = 0.05;

/** The bulb: the hottest a blob can get. */
export const BULB_C = 72;
/** The cap: the coldest a blob can get. */
export const CAP_C = 36;
/** Where wax and liquid weigh the same. */
const NEUTRAL_C = 52;

const BUOYANCY_CM_PER_S2_PER_C = 0.17;
/** Drag of a blob of 1 cm; a larger one is slowed less, as in Stokes' law. */
const DRAG_PER_S = 1.25;
/** Random forcing: the root mean square of the speed it alone would give is about 0.2 cm/s. */
const FORCING_CM_PER_S_PER_SQRT_S = 0.32;

const REPULSION_PER_S2 = 8;
const COHESION_PER_S2 = 0.5;
/** In units of the sum of two radii: where blobs neither push nor pull, and where they no longer feel each other. */
const REST_DISTANCE = 0.8;
const REACH_DISTANCE = 1.2;

/**
 * Heat is exchanged almost only by the bulb and by the cap. Were it exchanged along the whole way, every blob would
 * settle at the height where it floats and the lamp would stand still.
 */
const BULB_REACH_CM = 1.3;
const CAP_REACH_CM = 1.6;
const BULB_RATE_PER_S = 0.13;
const CAP_RATE_PER_S = 0.13;

/** Wax clings to the wax and metal at both ends until its own weight or lift tears it off, well away from neutral. */
const CLING_CM_PER_S2 = 1.3;
const CLING_REACH_CM = 0.6;

/**
 * A lamp with its wax somewhere on its way.
 *
 * @param random - decides sizes, places and temperatures; the same numbers make the same lamp
 * @param blobCount - 1..16
 * @throws RangeError if blobCount is out of range
 */
export function createLamp(random: UniformRandom, blobCount = 9): Lamp {
  if (!Number.isInteger(blobCount) || blobCount < 1 || blobCount > 16) {
    throw new RangeError('a lamp has 1 to 16 blobs');
  }
  const blobs = Array.from({ length: blobCount }, (_, index): WaxBlob => {
    // A few large, many small: squaring favours the small end.
    const radiusCm = index === 0 ? 1.9 : 0.75 + 1.05 * random() ** 1.5;
    const heightCm = radiusCm + random() * (GLASS_HEIGHT_CM - 2 * radiusCm);
    const xCm = (2 * random() - 1) * (glassRadiusCm(heightCm) - radiusCm);
    const temperatureC = NEUTRAL_C + (random() - 0.5) * 12;
    return { radiusCm, xCm, heightCm, xSpeedCmPerS: 0, riseSpeedCmPerS: 0, temperatureC };
  });
  return { blobs, burningSeconds: 0 };
}

/**
 * Moves a lamp on by one {@link STEP_SECONDS}: heat, buoyancy, drag, contact, walls, and a random push for each blob
 * that stands for the liquid's own turbulence.
 *
 * @param lamp - changed in place
 * @param random - two draws a blob; the same numbers give the same motion
 */
export function stepLamp(lamp: Lamp, random: UniformRandom): void {
  for (const blob of lamp.blobs) {
    exchangeHeat(blob);
    blob.riseSpeedCmPerS += (buoyancy(blob) + cling(blob)) * STEP_SECONDS;
    blob.xSpeedCmPerS += randomPush(random);
    blob.riseSpeedCmPerS += randomPush(random);
  }
  pushAndPull(lamp.blobs);
  for (const blob of lamp.blobs) {
    const slowing = 1 + (DRAG_PER_S / Math.sqrt(blob.radiusCm)) * STEP_SECONDS;
    blob.xSpeedCmPerS /= slowing;
    blob.riseSpeedCmPerS /= slowing;
    blob.xCm += blob.xSpeedCmPerS * STEP_SECONDS;
    blob.heightCm += blob.riseSpeedCmPerS * STEP_SECONDS;
    keepInGlass(blob);
  }
  lamp.burningSeconds += STEP_SECONDS;
}

/** Energy of motion per mass, weighted by each blob's size, cm²/s². For tests and curiosity. */
export function kineticEnergyCm2PerS2(lamp: Lamp): number {
  let energy = 0;
  let mass = 0;
  for (const blob of lamp.blobs) {
    const blobMass = blob.radiusCm ** 3;
    energy += 0.5 * blobMass * (blob.xSpeedCmPerS ** 2 + blob.riseSpeedCmPerS ** 2);
    mass += blobMass;
  }
  return energy / mass;
}

/** A large blob has more heat to gain per surface, so it changes more slowly. */
function exchangeHeat(blob: WaxBlob): void {
  const nearBulb = Math.exp(-aboveBulbCm(blob) / BULB_REACH_CM);
  const nearCap = Math.exp(-belowCapCm(blob) / CAP_REACH_CM);
  const heating = BULB_RATE_PER_S * nearBulb * (BULB_C - blob.temperatureC);
  const cooling = CAP_RATE_PER_S * nearCap * (CAP_C - blob.temperatureC);
  blob.temperatureC += ((heating + cooling) / blob.radiusCm) * STEP_SECONDS;
}

function buoyancy(blob: WaxBlob): number {
  return BUOYANCY_CM_PER_S2_PER_C * (blob.temperatureC - NEUTRAL_C);
}

function cling(blob: WaxBlob): number {
  const toCap = Math.exp(-belowCapCm(blob) / CLING_REACH_CM);
  const toFoot = Math.exp(-aboveBulbCm(blob) / CLING_REACH_CM);
  return CLING_CM_PER_S2 * (toCap - toFoot);
}

function aboveBulbCm(blob: WaxBlob): number {
  return blob.heightCm - blob.radiusCm;
}

function belowCapCm(blob: WaxBlob): number {
  return GLASS_HEIGHT_CM - blob.heightCm - blob.radiusCm;
}

/** An even distribution of the right variance: over many steps the sum is Gaussian all the same. */
function randomPush(random: UniformRandom): number {
  return Math.sqrt(12 * STEP_SECONDS) * (random() - 0.5) * FORCING_CM_PER_S_PER_SQRT_S;
}

function pushAndPull(blobs: readonly WaxBlob[]): void {
  for (const [index, blob] of blobs.entries()) {
    for (const other of blobs.slice(index + 1)) {
      const dx = other.xCm - blob.xCm;
      const dy = other.heightCm - blob.heightCm;
      const touching = blob.radiusCm + other.radiusCm;
      const distance = Math.hypot(dx, dy);
      if (distance >= REACH_DISTANCE * touching || distance === 0) continue;
      const beyondRestCm = distance - REST_DISTANCE * touching;
      const stiffness = beyondRestCm < 0 ? REPULSION_PER_S2 : COHESION_PER_S2;
      const pull = (stiffness * beyondRestCm * STEP_SECONDS) / distance;
      // Momentum is kept: each gets the other's share of the mass.
      const mass = blob.radiusCm ** 3;
      const otherMass = other.radiusCm ** 3;
      const share = otherMass / (mass + otherMass);
      blob.xSpeedCmPerS += pull * dx * share;
      blob.riseSpeedCmPerS += pull * dy * share;
      other.xSpeedCmPerS -= pull * dx * (1 - share);
      other.riseSpeedCmPerS -= pull * dy * (1 - share);
    }
  }
}

/** The whole disc stays inside; what ran into the glass stops there and slides on. */
function keepInGlass(blob: WaxBlob): void {
  const lowestCm = blob.radiusCm;
  const highestCm = GLASS_HEIGHT_CM - blob.radiusCm;
  if (blob.heightCm < lowestCm || blob.heightCm > highestCm) {
    blob.heightCm = Math.min(highestCm, Math.max(lowestCm, blob.heightCm));
    blob.riseSpeedCmPerS = 0;
  }
  const reachCm = glassRadiusCm(blob.heightCm) - blob.radiusCm;
  if (Math.abs(blob.xCm) > reachCm) {
    blob.xCm = Math.sign(blob.xCm) * reachCm;
    blob.xSpeedCmPerS = 0;
  }
}
