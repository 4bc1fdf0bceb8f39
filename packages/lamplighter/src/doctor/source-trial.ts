import type { Environment } from '../local/environment.js';
import { abortBy } from '../local/linked-abort.js';
import type { Source } from '../sources/source.js';
import type { Reason, SourceReport, SourceState } from '../wire/status.js';

/** What one source did while it was watched. Numbers only: never a byte that was heard. */
export interface SourceTrial {
  readonly name: string;
  readonly kind: string;
  readonly state: SourceState;
  readonly reason?: Reason;
  /** What its bytes are worth. */
  readonly physical: boolean;
  readonly simulated: boolean;
  readonly seconds: number;
  readonly events: number;
  readonly bytes: number;
  /** The answer to one round; absent when there was none by the deadline. */
  readonly answer?: { readonly bytes: number; readonly ms: number };
  readonly details: SourceReport['details'];
}

/** A round gives outside sources 10 s at most; whoever has not answered by then is absent from it. */
const ANSWER_DEADLINE_MS = 10_000;

/**
 * Runs one source by itself, hears it for a while, asks it once as a round does, and stops it.
 *
 * @param source - not started; stopped when this returns
 * @param options - `seconds`: how long it is heard, 0 for one answer only; `answerMs`: how long that may take, 10,000 unless
 *   told; `signal`: ends it early, with what is known by then; `onSecond`: hears what it is up to, once a second
 */
export async function trySource(
  source: Source,
  options: {
    readonly environment: Environment;
    readonly seconds: number;
    readonly answerMs?: number;
    readonly signal: AbortSignal;
    readonly onSecond?: (sofar: { events: number; bytes: number; state: SourceState }) => void;
  },
): Promise<SourceTrial> {
  const { environment, seconds, signal, answerMs = ANSWER_DEADLINE_MS, onSecond } = options;
  const heard = { events: 0, bytes: 0 };
  const startedNs = environment.monotonicNs();
  const elapsedMs = (): number => Number(environment.monotonicNs() - startedNs) / 1_000_000;
  const ticking = environment.timers.every(1_000, () =>
    onSecond?.({ ...heard, state: source.status().state }),
  );
  const stopping = new AbortController();
  try {
    await source.start(
      {
        hear: (bytes) => {
          heard.events += 1;
          heard.bytes += bytes.length;
        },
      },
      stopping.signal,
    );
    const answer = await oneAnswer(source, environment, answerMs, signal);
    const restMs = seconds * 1_000 - elapsedMs();
    if (restMs > 0) await environment.timers.sleep(restMs, signal).catch(() => undefined);
    const { state, reason, basis, details } = source.status();
    return {
      name: source.name,
      kind: source.kind,
      state,
      ...(reason && { reason }),
      physical: basis.physical,
      simulated: basis.simulated,
      seconds: elapsedMs() / 1_000,
      ...heard,
      ...(answer && { answer }),
      details,
    };
  } finally {
    ticking.cancel();
    stopping.abort();
    await source.stop();
  }
}

async function oneAnswer(
  source: Source,
  environment: Environment,
  answerMs: number,
  outer: AbortSignal,
): Promise<SourceTrial['answer']> {
  const askedNs = environment.monotonicNs();
  const { signal, release } = abortBy(outer, answerMs, environment.timers);
  try {
    const bytes = await source.sample(signal).catch(() => undefined);
    if (bytes === undefined) return undefined;
    bytes.fill(0);
    return { bytes: bytes.length, ms: Number((environment.monotonicNs() - askedNs) / 1_000n) / 1_000 };
  } finally {
    release();
  }
}
