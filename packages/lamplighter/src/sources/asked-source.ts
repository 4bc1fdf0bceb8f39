import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { keepTrying } from '../local/retry.js';
import { NO_BASIS } from '../wire/basis.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason, SourceReport, SourceState } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';
import { StuckBytes } from './stuck-bytes.js';

const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;
/** Answers in a row that must be good before a device that was stuck is trusted again. */
const GOOD_ANSWERS = 3;

/** What an asked source is made of. */
export interface AskedSourceOptions {
  readonly name: string;
  readonly kind: string;
  /** Mean time between events, ms. */
  readonly periodMs: number;
  /**
   * One answer, in time: 1 byte or more, owned by the caller.
   * @throws LamplighterError; ERR_SOURCE_ABSENT when this machine has no such thing, which is no fault
   */
  readonly ask: (signal: AbortSignal) => Promise<Uint8Array>;
  readonly details: () => SourceReport['details'];
}

/**
 * A generator on this machine that has to be asked and may be slow, silent, missing or stuck: asked at start, every `periodMs`
 * (longer after failures, with jitter) and for every round.
 *
 * Its position is `outside` although the device is inside: a chip or a host that answers last must not know what this machine
 * alone has drawn, and a slow one must not hold up a round. What is missing is `absent` with its reason, and looked for again
 * within a minute; a stuck answer is mixed, and the source `degraded` until three in a row were good.
 */
export function askedSource(options: AskedSourceOptions, environment: Environment): Source {
  return new AskedSource(options, environment);
}

class AskedSource implements Source {
  readonly name: string;
  readonly kind: string;
  readonly position = 'outside';
  readonly #options: AskedSourceOptions;
  readonly #environment: Environment;
  readonly #stopping = new AbortController();
  readonly #watch = new StuckBytes();
  #running: Promise<void> | undefined;
  /** Questions under way. */
  readonly #asking = new Set<Promise<unknown>>();
  #state: SourceState = 'starting';
  #reason: Reason | undefined;
  #answers = 0;
  #failures = 0;
  #stuckAnswers = 0;
  #goodInARow = GOOD_ANSWERS;

  constructor(options: AskedSourceOptions, environment: Environment) {
    this.name = options.name;
    this.kind = options.kind;
    this.#options = options;
    this.#environment = environment;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const stopping = this.#stopping.signal;
    signal.addEventListener('abort', () => void this.stop(), { once: true, signal: stopping });
    if (signal.aborted) return this.stop();
    this.#running = keepTrying((attempt) => this.#listen(sink, attempt), {
      environment: this.#environment,
      signal: stopping,
      // Already in the status: a question notes its own failure, also when a round asked it.
      onFault: () => undefined,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      healthyAfterMs: this.#options.periodMs / 2,
    });
    return Promise.resolve();
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#ask(AbortSignal.any([signal, this.#stopping.signal])).catch(() => undefined);
  }

  status(): SourceReport {
    return {
      state: this.#state,
      ...(this.#reason && { reason: this.#reason }),
      basis: NO_BASIS,
      details: {
        periodMs: this.#options.periodMs,
        answers: this.#answers,
        failures: this.#failures,
        stuckAnswers: this.#stuckAnswers,
        ...this.#options.details(),
      },
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#state = 'stopped';
    this.#reason = undefined;
    await Promise.allSettled([...this.#asking, this.#running]);
  }

  async #listen(sink: SourceSink, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const bytes = await this.#ask(signal);
      sink.hear(bytes);
      bytes.fill(0);
      await this.#environment.timers.sleep(jitteredMs(this.#environment, this.#options.periodMs), signal);
    }
  }

  /** One answer. However it goes, the status says so before this settles. */
  async #ask(signal: AbortSignal): Promise<Uint8Array> {
    try {
      signal.throwIfAborted();
      const asking = this.#options.ask(signal);
      this.#asking.add(asking);
      void asking.catch(() => undefined).finally(() => this.#asking.delete(asking));
      const bytes = await unlessAborted(asking, signal);
      this.#heard(bytes);
      return bytes;
    } catch (error) {
      this.#missed(
        signal.aborted ? new LamplighterError('ERR_DEADLINE', 'no answer by the round’s deadline') : error,
      );
      throw error;
    }
  }

  #heard(bytes: Uint8Array): void {
    if (this.#stopping.signal.aborted) return;
    this.#answers += 1;
    const fault = this.#watch.fault(bytes);
    if (fault !== undefined) {
      this.#stuckAnswers += 1;
      this.#goodInARow = 0;
      this.#state = 'degraded';
      this.#reason = { code: 'ERR_SOURCE_STUCK', message: fault };
      return;
    }
    this.#goodInARow += 1;
    if (this.#goodInARow < GOOD_ANSWERS) return;
    this.#state = 'ok';
    this.#reason = undefined;
  }

  #missed(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const isAbsent = error instanceof LamplighterError && error.code === 'ERR_SOURCE_ABSENT';
    if (!isAbsent) this.#failures += 1;
    this.#state = isAbsent ? 'absent' : 'failed';
    this.#reason = reasonOf(error);
  }
}

/** A question may have to wait for the one before it; who asked does not wait longer than he said. A late answer is wiped. */
async function unlessAborted(asking: Promise<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  let abort: (() => void) | undefined;
  const aborted = new Promise<undefined>((resolve) => {
    abort = () => resolve(undefined);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    const bytes = await Promise.race([asking, aborted]);
    if (bytes !== undefined) return bytes;
  } finally {
    if (abort !== undefined) signal.removeEventListener('abort', abort);
  }
  void asking.then((late) => late.fill(0)).catch(() => undefined);
  throw new DOMException('aborted', 'AbortError');
}
