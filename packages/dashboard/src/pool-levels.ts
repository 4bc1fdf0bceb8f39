import type { NodeStatus } from '../../lamplighter/src/wire/status.js';

/** One pool as it is drawn. */
export interface PoolLevel {
  readonly index: number;
  /** In it now. */
  readonly bytes: number;
  readonly drains: number;
  /** 0..1 of what it will hold when its turn comes, if things are heard as they were. */
  readonly fill: number;
  /** Its turn comes every so many steps. */
  readonly periodSteps: number;
  /** Steps to its next turn; undefined when the schedule's step is not known. */
  readonly stepsLeft: number | undefined;
}

/** A step of a schedule, in words. */
export const STEP_WORDS: Readonly<Record<string, string>> = { improved: 'tick', classic: 'reseed' };

/** Pools whose last turn is fewer steps ago say little about what a step brings. */
const TELLING_STEPS = 3;

/**
 * The pools as the schedule moves them: pool i has its turn at every 3^i-th tick (improved) or every 2^i-th reseed (classic).
 * How high each stands is measured against what it will hold at its turn. That comes from the pools themselves: every pool gets
 * the same share, so what one step brings is what a pool holds over the steps since its turn; the least of these counts, because
 * a pool whose due drain still waits for a read holds more than that.
 */
export function poolLevels(generator: NodeStatus['generator']): readonly PoolLevel[] {
  const step = stepOf(generator);
  const base = generator.schedule === 'classic' ? 2 : 3;
  const pools = generator.pools.map((pool, index) => {
    const periodSteps = base ** index;
    return { ...pool, index, periodSteps, sinceSteps: step === undefined ? 0 : step % periodSteps };
  });
  const longest = Math.max(...pools.map(({ sinceSteps }) => sinceSteps));
  const telling = pools.filter(({ sinceSteps }) => sinceSteps >= Math.min(TELLING_STEPS, longest));
  // Half a step more: they are looked at in the middle of one.
  const perStep = Math.min(...telling.map(({ bytes, sinceSteps }) => bytes / (sinceSteps + 0.5)));
  return pools.map(({ index, bytes, drains, periodSteps, sinceSteps }) => ({
    index,
    bytes,
    drains,
    periodSteps,
    fill: bytes === 0 ? 0 : Math.min(1, bytes / (perStep * periodSteps)),
    stepsLeft: step === undefined ? undefined : periodSteps - sinceSteps,
  }));
}

/** Whether turns that are due wait, because nobody has asked for output since. */
export function isWaiting(before: NodeStatus['generator'], now: NodeStatus['generator']): boolean {
  const came = (stepOf(now) ?? 0) > (stepOf(before) ?? 0);
  return now.schedule === 'improved' && now.seeded && came && now.reseeds === before.reseeds;
}

/** How far the schedule has come: ticks, or reseeds that the schedule itself called for. */
export function stepOf(generator: NodeStatus['generator']): number | undefined {
  return generator.schedule === 'classic' ? generator.reseeds - generator.directReseeds : generator.tick;
}

/** Pools that were emptied between two looks. */
export function drainedBetween(
  before: NodeStatus['generator'],
  now: NodeStatus['generator'],
): readonly number[] {
  return now.pools.flatMap(({ drains }, index) => {
    const previous = before.pools[index];
    return previous !== undefined && drains > previous.drains ? [index] : [];
  });
}
