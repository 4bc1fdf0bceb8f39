import { LamplighterError } from '@lamplighter/core';
import type { Environment } from './environment.js';

/** What a run resolves to when it came to its proper end and must not be run again. */
export const ENDED = 'ended';

/** How {@link keepTrying} waits between runs. */
export interface RetryOptions {
  readonly environment: Pick<Environment, 'monotonicNs' | 'runtimeRandom' | 'timers'>;
  /** Ends everything: the run under way is told, and no other follows. */
  readonly signal: AbortSignal;
  /** Told of every rejection, before the wait; never of the one that the abort itself caused. */
  readonly onFault: (error: unknown) => void;
  /** The longest first wait, ms; default 250. */
  readonly minMs?: number;
  /** The longest wait of all, ms; default 15,000. */
  readonly maxMs?: number;
  /** A run that lasted this long starts the back-off from `minMs` again, ms; default `maxMs`. */
  readonly healthyAfterMs?: number;
}

/**
 * Runs something again and again until it says that it has ended or the signal fires.
 *
 * Between runs it waits a uniformly random time below min(maxMs, minMs · 2^n), n the runs in a row that did not last:
 * "full jitter", so that a hundred machines that lost one relay do not all come back in the same second. After an error that only a
 * person can cure (`fix-configuration`) the bound is `maxMs` at once. Whoever was told when to come back waits for that first, `maxMs`
 * at most. The jitter is not secret.
 *
 * @param run - one attempt; must settle soon after its signal fires. Rejects on a fault; resolves to nothing when it
 *   is over and should be run again, to {@link ENDED} when it must not be
 * @param options - see {@link RetryOptions}
 * @returns resolves when `run` has ended or the signal has fired and the last run has settled; never rejects
 */
export async function keepTrying(
  run: (signal: AbortSignal) => Promise<void | typeof ENDED>,
  options: RetryOptions,
): Promise<void> {
  const { environment, signal, onFault, minMs = 250, maxMs = 15_000, healthyAfterMs = maxMs } = options;
  let shortRuns = 0;
  while (!signal.aborted) {
    const startedNs = environment.monotonicNs();
    let hopeless = false;
    let askedMs = 0;
    try {
      if ((await run(signal)) === ENDED) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof LamplighterError) {
        hopeless = error.action === 'fix-configuration';
        askedMs = Math.min(error.retryAfterMs ?? 0, maxMs);
      }
      onFault(error);
    }
    const lastedMs = Number((environment.monotonicNs() - startedNs) / 1_000_000n);
    shortRuns = lastedMs >= healthyAfterMs ? 0 : shortRuns + 1;
    const boundMs = hopeless ? maxMs : backOffBoundMs(Math.max(0, shortRuns - 1), minMs, maxMs);
    await sleepUnlessAborted(environment, askedMs + boundMs * uniform(environment), signal);
  }
}

/**
 * One wait of an exponential back-off with full jitter: uniform below min(maxMs, minMs · 2^(failures − 1)), and never less than
 * `minMs / 2`, so that nobody is busy with failing.
 * @param failures - in a row, ≥ 1
 */
export function backOffMs(
  environment: Pick<Environment, 'runtimeRandom'>,
  failures: number,
  { minMs, maxMs }: { minMs: number; maxMs: number },
): number {
  return Math.max(minMs / 2, backOffBoundMs(failures - 1, minMs, maxMs) * uniform(environment));
}

/** min(maxMs, minMs · 2^n). The exponent is capped: 2^1024 is no number. */
function backOffBoundMs(shortRuns: number, minMs: number, maxMs: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(shortRuns, 30));
}

/** A number in [0, 1), 32 bits fine. */
function uniform(environment: Pick<Environment, 'runtimeRandom'>): number {
  const bytes = environment.runtimeRandom(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
}

async function sleepUnlessAborted(
  environment: Pick<Environment, 'timers'>,
  delayMs: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    await environment.timers.sleep(delayMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
