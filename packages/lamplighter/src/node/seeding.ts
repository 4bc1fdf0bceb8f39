import { type Accumulator, compareLabels, LamplighterError, type Part } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason } from '../wire/status.js';
import { labelOf, round } from '../sources/round.js';
import type { SourceRunner } from './source-runner.js';

/** What the OS RNG must have given before a node counts as seeded (DESIGN section 2). */
const LEAST_OS_BYTES = 32;
const PAUSE_BETWEEN_ROUNDS_MS = 1_000;

/** What a machine seed brings to the first seeding. */
export interface SeedPart {
  /** 64 secret bytes, bound to an x that never repeats; the caller wipes them. */
  readonly bytes: Uint8Array;
  /** Whether the seed was durably rotated first: only then does it make a node seeded by itself (DESIGN section 2). */
  readonly unspent: boolean;
}

/**
 * First seeding: rounds until one holds at least 32 bytes of the OS RNG, or a machine seed stands in for them, and an answer
 * from every required source; that round is the first direct reseed. Sources that are not required are waited for up to the deadline, no longer.
 *
 * @param runners - all sources, started; read anew for each round
 * @param options - `seed`: from this machine's seed, see {@link SeedPart}; `onWaiting` hears what is missing after a round that was not enough
 * @returns when seeded; rejects with ERR_STOPPED when the signal fires first
 */
export async function seed(
  accumulator: Accumulator,
  runners: () => readonly SourceRunner[],
  options: {
    environment: Environment;
    deadlineMs: number;
    signal: AbortSignal;
    seed?: SeedPart | undefined;
    onWaiting: (reason: Reason) => void;
  },
): Promise<void> {
  const { environment, signal } = options;
  for (;;) {
    const asked = runners();
    const parts = await round(
      asked.map(({ source }) => source),
      options,
    );
    if (signal.aborted) throw new LamplighterError('ERR_STOPPED', 'stopped before it was seeded');
    const missing = missingFrom(asked, parts, options.seed);
    if (missing === undefined) accumulator.reseedDirect('seed', withSeed(parts, options.seed));
    for (const runner of asked) {
      const bytes = answerOf(runner, parts);
      if (bytes === undefined) continue;
      // What a round that was not enough brought waits in the pools, all of which first seeding drains.
      if (missing === undefined) runner.answered(bytes);
      else runner.hear(bytes);
      bytes.fill(0);
    }
    if (missing === undefined) return;
    options.onWaiting(reasonOf(missing));
    await environment.timers.sleep(PAUSE_BETWEEN_ROUNDS_MS, signal).catch(() => undefined);
  }
}

function withSeed(parts: readonly Part[], seed: SeedPart | undefined): Part[] {
  return [...parts, { label: 'seed', bytes: seed?.bytes }].sort((a, b) => compareLabels(a.label, b.label));
}

function missingFrom(
  asked: readonly SourceRunner[],
  parts: readonly Part[],
  seed: SeedPart | undefined,
): LamplighterError | undefined {
  const answered = (runner: SourceRunner, leastBytes: number): boolean =>
    (answerOf(runner, parts)?.length ?? 0) >= leastBytes;

  if (
    seed?.unspent !== true &&
    !asked.some((runner) => runner.source.kind === 'os' && answered(runner, LEAST_OS_BYTES))
  ) {
    return new LamplighterError('ERR_NOT_SEEDED', 'the OS RNG has not answered', {
      hint: 'a node needs a source of kind os that can be read',
    });
  }
  const silent = asked.filter((runner) => runner.entry.required && !answered(runner, 1));
  if (silent.length === 0) return undefined;
  const names = silent.map(({ source }) => source.name).join(', ');
  return new LamplighterError('ERR_NOT_SEEDED', `required and not heard yet: ${names}`, {
    hint: 'see the reason of each such source in the status',
  });
}

const answerOf = (runner: SourceRunner, parts: readonly Part[]): Uint8Array | undefined =>
  parts.find(({ label }) => label === labelOf(runner.source))?.bytes;
