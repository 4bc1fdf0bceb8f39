import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { NO_BASIS } from '../wire/basis.js';
import type { SourceReport } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';
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
  readonly #life = new SourceLife();
  readonly #watch = new StuckBytes();
  /** Questions under way. */
  readonly #asking = new Set<Promise<unknown>>();
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
    return this.#life.begin((attempt) => this.#listen(sink, attempt), signal, {
      environment: this.#environment,
      // Already in the status: a question notes its own failure, also when a round asked it.
      onFault: () => undefined,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      healthyAfterMs: this.#options.periodMs / 2,
    });
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#ask(AbortSignal.any([signal, this.#life.signal])).catch(() => undefined);
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
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
    await Promise.allSettled([this.#life.end(), ...this.#asking]);
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
    if (this.#life.isOver) return;
    this.#answers += 1;
    const fault = this.#watch.fault(bytes);
    if (fault !== undefined) {
      this.#stuckAnswers += 1;
      this.#goodInARow = 0;
      this.#life.note('degraded', { code: 'ERR_SOURCE_STUCK', message: fault });
      return;
    }
    this.#goodInARow += 1;
    if (this.#goodInARow >= GOOD_ANSWERS) this.#life.note('ok');
  }

  #missed(error: unknown): void {
    if (this.#life.isOver) return;
    if (this.#life.fail(error) === 'failed') this.#failures += 1;
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
