import type { Environment } from '../local/environment.js';
import { NO_BASIS } from '../wire/basis.js';
import type { Reason, SourceReport } from '../wire/status.js';
import { ClockGrain, finestClock } from './clock-grain.js';
import { diskCompletions, type DiskCompletions } from './disk-completions.js';
import type { Source, SourceSink } from './source.js';

/** Low-order bytes gathered before they are heard as one event. */
const EVENT_LENGTH_BYTES = 16;
/** Event-loop turns watched for one answer. Claimed: at most one bit a turn, so 64 bits an answer. */
const SAMPLE_TURNS = 64;
/** What is claimed of one moment; where even the most hopeful estimate is below it, nothing is. */
const CLAIMED_BITS = 1;
/** Windows of moments in a row that must be good before a clock that was too coarse is believed again. */
const GOOD_WINDOWS = 4;

/**
 * Timing of this process: when event-loop turns end, when packets arrive and when small reads of a file are over, each as
 * the low-order byte of the cycle counter, or of the monotonic clock where there is none.
 *
 * Packet arrivals are whatever the rest of the node passes to `Environment.arrivals`; turns are watched by a timer
 * whose lateness is the noise. Nobody outside sees these moments to the nanosecond; how often they come he may drive,
 * which is why a source's events count for itself alone (DESIGN 6.3).
 *
 * On a clock that moves in steps the byte is taken above the step ({@link ClockGrain}). Where the moments then still vary by
 * less than the 1 bit claimed, the state is `degraded` and nothing is claimed; they are mixed all the same.
 * Claimed: at most 1 bit a moment. Cost: 0.5 µs a moment, and a file read each `diskPeriodMs`.
 * @param options - `periodMs`: of the timer, 50 unless told; `diskPeriodMs`: between reads, 1,000 unless told; `diskFile`: what
 *   is read, this program's executable unless told
 */
export function timingSource(
  options: { name?: string; periodMs?: number; diskPeriodMs?: number; diskFile?: string },
  environment: Environment,
): Source {
  return new TimingSource(options, environment);
}

class TimingSource implements Source {
  readonly name: string;
  readonly kind = 'timing';
  readonly position = 'local';
  readonly #options: Parameters<typeof timingSource>[0];
  readonly #environment: Environment;
  readonly #stopping = new AbortController();
  readonly #grain = new ClockGrain();
  readonly #gathered = new Uint8Array(EVENT_LENGTH_BYTES);
  #length = 0;
  #turns = 0;
  #arrivals = 0;
  #state: SourceReport['state'] = 'starting';
  /** Windows. */
  #goodInARow = 0;
  #release: (() => void) | undefined;
  #disk: DiskCompletions | undefined;

  constructor(options: Parameters<typeof timingSource>[0], environment: Environment) {
    this.name = options.name ?? 'timing';
    this.#options = options;
    this.#environment = environment;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isStopped) return this.stop();
    const { periodMs = 50, diskPeriodMs = 1_000, diskFile } = this.#options;
    const timer = this.#environment.timers.every(periodMs, () => {
      this.#turns += 1;
      this.#note(sink);
    });
    const arrivals = this.#environment.arrivals.subscribe(() => {
      this.#arrivals += 1;
      this.#note(sink);
    });
    this.#release = () => {
      timer.cancel();
      arrivals.cancel();
    };
    const file = diskFile === undefined ? {} : { file: diskFile };
    this.#disk = diskCompletions({ periodMs: diskPeriodMs, ...file }, this.#environment, () =>
      this.#note(sink),
    );
    signal.addEventListener('abort', () => void this.stop(), {
      once: true,
      signal: this.#stopping.signal,
    });
    return Promise.resolve();
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    const moments = new BigUint64Array(SAMPLE_TURNS);
    // The first difference begins here, so that one answer fills a window and the step is known when the bytes are taken.
    this.#moment();
    for (let turn = 0; turn < SAMPLE_TURNS; turn += 1) {
      if (signal.aborted || this.#isStopped) return undefined;
      await this.#environment.timers.turn();
      moments[turn] = this.#moment();
    }
    if (this.#isStopped) return undefined;
    const bytes = Uint8Array.from(moments, (moment) => this.#grain.lowByte(moment));
    moments.fill(0n);
    if (this.#state === 'starting') this.#state = 'ok';
    return bytes;
  }

  status(): SourceReport {
    const { step, minEntropyBits } = this.#grain;
    const reason = this.#state === 'degraded' ? coarse(minEntropyBits ?? 0, step) : undefined;
    const { completions = 0, failures = 0, stalled = false } = this.#disk?.status() ?? {};
    return {
      state: this.#state,
      ...(reason && { reason }),
      basis: NO_BASIS,
      details: {
        moments: this.#turns + this.#arrivals + completions,
        turns: this.#turns,
        arrivals: this.#arrivals,
        diskCompletions: completions,
        diskFailures: failures,
        diskStalled: stalled,
        clock: this.#environment.cycleCounter().supported ? 'cycle counter' : 'monotonic',
        clockStep: step,
        ...(minEntropyBits !== undefined && { minEntropyBits }),
      },
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#release?.();
    this.#release = undefined;
    this.#gathered.fill(0);
    this.#state = 'stopped';
    await this.#disk?.stop();
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #moment(): bigint {
    const moment = finestClock(this.#environment);
    if (this.#grain.note(moment)) this.#judge(this.#grain.minEntropyBits ?? 0);
    return moment;
  }

  #note(sink: SourceSink): void {
    this.#gathered[this.#length] = this.#grain.lowByte(this.#moment());
    this.#length += 1;
    if (this.#length < EVENT_LENGTH_BYTES) return;
    this.#length = 0;
    if (this.#state === 'starting') this.#state = 'ok';
    sink.hear(this.#gathered);
    this.#gathered.fill(0);
  }

  #judge(minEntropyBits: number): void {
    this.#goodInARow = minEntropyBits < CLAIMED_BITS ? 0 : this.#goodInARow + 1;
    if (this.#isStopped) return;
    if (this.#goodInARow === 0) this.#state = 'degraded';
    else if (this.#state === 'degraded' && this.#goodInARow >= GOOD_WINDOWS) this.#state = 'ok';
  }
}

const coarse = (minEntropyBits: number, step: number): Reason => ({
  code: 'ERR_CLOCK_COARSE',
  message: `the clock moves in steps of ${step}, and its moments vary by ${minEntropyBits.toFixed(2)} bits, less than ${CLAIMED_BITS}`,
  hint: 'install the native addon: it reads the cycle counter',
});
