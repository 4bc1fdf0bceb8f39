import type { Environment } from '../../local/environment.js';
import { ENDED } from '../../local/retry.js';
import { checkRange } from '../../local/range.js';
import { NO_BASIS } from '../../wire/basis.js';
import type { Reason, SourceReport } from '../../wire/status.js';
import { Sampler } from '../sampler.js';
import type { Source, SourceSink } from '../source.js';
import { SourceLife } from '../source-life.js';
import type { OriginForm } from './attempt.js';
import { FileDoor } from './file-door.js';
import { hearOrigin } from './hear-origin.js';
import { type Origin, type OriginOptions, parseOrigin } from './origin.js';
import { Pace } from './pace.js';
import { Sameness } from './sameness.js';
import { Silence } from './silence.js';

/** What a person says about a process source. */
export interface ProcessOptions {
  readonly name?: string;
  readonly from: OriginOptions;
  /** Silence after which it is started again, ms, 100..86,400,000; default 60,000. */
  readonly silenceMs?: number;
  /** How fast it is heard at most; the rest waits at its writer. 1 KiB..64 MiB; default 1 MiB. */
  readonly maxBytesPerSecond?: number;
}

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 5_000;
/** What stopping waits for a program or a file that does not come back from the kernel. */
const STOP_MS = 3_000;

/**
 * Bytes from anything on this machine that speaks: a command, a FIFO, a file, a serial or other device, a socket.
 *
 * Every byte is heard, and nothing is trusted about any: they earn no credit. One byte over and over makes the state
 * `degraded`, for people to see. When it ends, is unplugged or falls silent it is started or opened again, with back-off.
 * @throws LamplighterError ERR_CONFIG when `from` cannot be meant
 * @throws RangeError when a number is out of its range
 */
export function processSource(options: ProcessOptions, environment: Environment): Source {
  return new ProcessSource(options, environment);
}

class ProcessSource implements Source {
  readonly name: string;
  readonly kind = 'process';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #origin: Origin;
  readonly #silenceMs: number;
  readonly #pace: Pace;
  readonly #door = new FileDoor();
  readonly #sampler = new Sampler();
  readonly #life = new SourceLife(() => this.#sampler.close());
  #sameness = new Sameness();
  #form: OriginForm | undefined;
  #attempts = 0;
  #bytes = 0;
  #pauses = 0;

  constructor(options: ProcessOptions, environment: Environment) {
    const { name = 'process', silenceMs = 60_000, maxBytesPerSecond = 1024 * 1024 } = options;
    checkRange('silenceMs', silenceMs, 100, 86_400_000);
    checkRange('maxBytesPerSecond', maxBytesPerSecond, 1024, 64 * 1024 * 1024);
    this.name = name;
    this.#environment = environment;
    this.#origin = parseOrigin(options.from);
    this.#silenceMs = silenceMs;
    this.#pace = new Pace(maxBytesPerSecond, environment);
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((running) => this.#attempt(sink, running), signal, {
      environment: this.#environment,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#sampler.sample(signal);
  }

  status(): SourceReport {
    const isStuck = this.#life.state === 'ok' && this.#sameness.stuck;
    return {
      ...(isStuck ? { state: 'degraded', reason: STUCK } : this.#life.condition),
      basis: NO_BASIS,
      details: {
        from: this.#origin.shown,
        form: this.#form ?? 'unknown',
        heardBytes: this.#bytes,
        restarts: Math.max(0, this.#attempts - 1),
        pauses: this.#pauses,
      },
    };
  }

  async stop(): Promise<void> {
    const ended = this.#life.end();
    // Whatever hangs in the kernel then, a dead share or device, is left behind: nobody can end it.
    const tired = new AbortController();
    const gone = ended.then(() => this.#door.settled(this.#environment, STOP_MS));
    const late = this.#environment.timers.sleep(STOP_MS, tired.signal).catch(() => undefined);
    await Promise.race([gone, late]);
    tired.abort();
  }

  async #attempt(sink: SourceSink, signal: AbortSignal): Promise<typeof ENDED> {
    this.#attempts += 1;
    const shown = this.#origin.shown;
    const silence = new Silence({ limitMs: this.#silenceMs, shown, signal }, this.#environment);
    // Said at once: letting go of what hangs may take longer.
    silence.signal.addEventListener('abort', () => this.#life.fail(silence.signal.reason), { once: true });
    try {
      await hearOrigin(this.#origin, {
        hear: (bytes) => this.#hear(bytes, sink, silence),
        onForm: (form) => (this.#form = form),
        signal: silence.signal,
        door: this.#door,
        environment: this.#environment,
      });
      this.#life.note('ended');
      this.#sampler.end();
      return ENDED;
    } finally {
      silence.close();
    }
  }

  /** @returns how long nothing more shall be read, ms */
  #hear(bytes: Uint8Array, sink: SourceSink, silence: Silence): number {
    if (this.#life.state !== 'ok') {
      this.#life.note('ok');
      this.#sameness = new Sameness();
    }
    this.#bytes += bytes.length;
    this.#sameness.see(bytes);
    this.#sampler.hear(bytes);
    sink.hear(bytes);
    const pauseMs = this.#pace.pauseMs(bytes.length);
    if (pauseMs > 0) this.#pauses += 1;
    silence.heard(pauseMs);
    return pauseMs;
  }
}

const STUCK: Reason = {
  code: 'ERR_SOURCE_STUCK',
  message: 'it says one byte over and over',
  hint: 'look at what it reads from: a cable, a chip, its settings',
};
