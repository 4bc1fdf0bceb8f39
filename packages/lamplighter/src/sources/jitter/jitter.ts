import type { Environment } from '../../local/environment.js';
import { NO_BASIS } from '../../wire/basis.js';
import type { SourceReport } from '../../wire/status.js';
import type { Source, SourceSink } from '../source.js';
import { JitterHealth } from './jitter-health.js';
import { JitterMeasurement } from './measurement.js';

/** Measurements made in one turn of the event loop, at most. */
const BURST_MEASUREMENTS = 64;
/** A burst that has lasted so long ends before its time: the event loop is never held for 2 ms. */
const BURST_MAX_NS = 1_000_000n;
/** What a burst is taken to have lasted at least; a coarse clock may have seen nothing of it. */
const BURST_MIN_MS = 0.25;
/** After a machine has been asleep in the middle of a burst. */
const MAX_PAUSE_MS = 10_000;
const TIME_LENGTH_BYTES = 4;
/** Claimed: at most one bit a measurement, so 256 bits an answer. */
const SAMPLE_MEASUREMENTS = 256;
const DEFAULT_CPU_SHARE = 0.01;

/**
 * CPU execution-time jitter, in the manner of jitterentropy: how long a fixed piece of work takes ({@link JitterMeasurement}), over
 * and over, under its health tests ({@link JitterHealth}). It needs no device, and works where the OS RNG is known to the
 * attacker.
 *
 * Every measured time is heard, stuck or not; a failing test makes the source `degraded`, with the test's name and number, and it
 * recovers by itself. Claimed: at most 1 bit a measurement and none while degraded; no basis, since the standard does not
 * count it as a physical noise source. Measured: 6 bits (most common value).
 *
 * Cost: bursts of at most 64 measurements, cut off at 1 ms, with pauses so that their share of one core is `cpuShare`. At 1 % on
 * one machine some 440 measurements a second in a nearly idle process, whose caches are cold at every burst; warm ones take a
 * fifth of the time. An answer to a
 * round costs four bursts or more, a turn of the event loop apart: 1.5 to 5 ms in all.
 * @param options - `cpuShare`: 0.0001..0.5, 0.01 unless told
 * @throws RangeError when `cpuShare` is out of range
 */
export function jitterSource(
  options: { name?: string; cpuShare?: number },
  environment: Environment,
): Source {
  const { cpuShare = DEFAULT_CPU_SHARE } = options;
  if (!(cpuShare >= 0.0001 && cpuShare <= 0.5)) throw new RangeError('cpuShare is 0.0001 to 0.5');
  return new JitterSource(options.name ?? 'jitter', cpuShare, environment);
}

class JitterSource implements Source {
  readonly name: string;
  readonly kind = 'jitter';
  readonly position = 'local';
  readonly #cpuShare: number;
  readonly #environment: Environment;
  readonly #health = new JitterHealth();
  /** Made at first use: it holds a megabyte. */
  #measurement: JitterMeasurement | undefined;
  #pause: { cancel(): void } | undefined;
  readonly #stopping = new AbortController();

  constructor(name: string, cpuShare: number, environment: Environment) {
    this.name = name;
    this.#cpuShare = cpuShare;
    this.#environment = environment;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isStopped) return this.stop();
    signal.addEventListener('abort', () => void this.stop(), {
      once: true,
      signal: this.#stopping.signal,
    });
    this.#speak(sink);
    return Promise.resolve();
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    const times = new Uint8Array(SAMPLE_MEASUREMENTS * TIME_LENGTH_BYTES);
    let measured = 0;
    while (measured < SAMPLE_MEASUREMENTS) {
      if (measured > 0) await this.#environment.timers.turn();
      if (signal.aborted || this.#isStopped) {
        times.fill(0);
        return undefined;
      }
      measured += this.#burst(times.subarray(measured * TIME_LENGTH_BYTES));
    }
    return times;
  }

  status(): SourceReport {
    const { state, reason, counts } = this.#health;
    return {
      state: this.#isStopped ? 'stopped' : state,
      ...(reason !== undefined && !this.#isStopped && { reason }),
      basis: NO_BASIS,
      details: { cpuShare: this.#cpuShare, ...counts },
    };
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    this.#pause?.cancel();
    this.#pause = undefined;
    this.#measurement?.wipe();
    this.#measurement = undefined;
    return Promise.resolve();
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #speak(sink: SourceSink): void {
    const times = new Uint8Array(BURST_MEASUREMENTS * TIME_LENGTH_BYTES);
    const startedNs = this.#environment.monotonicNs();
    const measured = this.#burst(times);
    sink.hear(times.subarray(0, measured * TIME_LENGTH_BYTES));
    times.fill(0);
    const lastedMs = Number(this.#environment.monotonicNs() - startedNs) / 1e6;
    // Whoever hears may have stopped us.
    if (this.#isStopped) return;
    this.#pause = this.#environment.timers.after(this.#pauseMs(lastedMs), () => this.#speak(sink));
  }

  /** So long that burst / (burst + pause) is the share. */
  #pauseMs(lastedMs: number): number {
    const burstMs = Math.max(BURST_MIN_MS, lastedMs);
    return Math.min(MAX_PAUSE_MS, burstMs / this.#cpuShare - burstMs);
  }

  /** @returns how many measurements were made: at least 1, at most 64, and at most what `times` has room for */
  #burst(times: Uint8Array): number {
    this.#measurement ??= new JitterMeasurement(this.#environment);
    const view = new DataView(times.buffer, times.byteOffset, times.byteLength);
    const most = Math.min(BURST_MEASUREMENTS, times.length / TIME_LENGTH_BYTES);
    const endNs = this.#environment.monotonicNs() + BURST_MAX_NS;
    let measured = 0;
    do {
      const time = this.#measurement.measure();
      this.#health.push(time);
      // The low half: a time that does not fit was no work of ours.
      view.setInt32(measured * TIME_LENGTH_BYTES, time);
      measured += 1;
    } while (measured < most && this.#environment.monotonicNs() < endNs);
    return measured;
  }
}
