import type { HistoryReport } from '../wire/history.js';

/** Names that are kept, whatever comes and goes by reload. */
const MAX_SERIES = 1_024;
/** What is older than this many times the ring's own length is not shown: the machine slept, or its clock was set. */
const OLDEST = 1.1;

/** When a sample was taken. */
export interface SampleTime {
  readonly monotonicMs: number;
  readonly realtimeMs: number;
}

/**
 * The last samples of many series, in memory that is bounded and, for each series, taken once. A series begins with its first value
 * and goes when it has none left.
 */
export class SampleRing {
  readonly #samples: number;
  readonly #monotonicMs: Float64Array;
  readonly #realtimeMs: Float64Array;
  readonly #series = new Map<string, Series>();
  /** Samples taken since the beginning. */
  #taken = 0;

  /** @param samples - how many are kept */
  constructor(samples: number) {
    this.#samples = samples;
    this.#monotonicMs = new Float64Array(samples);
    this.#realtimeMs = new Float64Array(samples);
  }

  /** @param values - of this moment; series that have none show a gap */
  add(at: SampleTime, values: ReadonlyMap<string, number>): void {
    const slot = this.#taken % this.#samples;
    this.#monotonicMs[slot] = at.monotonicMs;
    this.#realtimeMs[slot] = at.realtimeMs;
    for (const [name, series] of this.#series) {
      series.values[slot] = NaN;
      if (this.#taken - series.lastTaken >= this.#samples) this.#series.delete(name);
    }
    for (const [name, value] of values) {
      const series = this.#seriesOf(name);
      series.values[slot] = value;
      series.lastTaken = this.#taken;
    }
    this.#taken += 1;
  }

  /** Drops a series, whatever values it has. */
  forget(name: string): void {
    this.#series.delete(name);
  }

  /** All of it, oldest first. */
  report(): Pick<HistoryReport, 'atMs' | 'series'> {
    const times = this.#labels();
    const first = this.#taken - times.length;
    const slots = times.map((_, index) => (first + index) % this.#samples);
    const series = new Map<string, (number | null)[]>();
    for (const [name, { values }] of this.#series)
      series.set(
        name,
        slots.map((slot) => shown(values[slot] ?? NaN)),
      );
    return { atMs: times, series: Object.fromEntries(series) };
  }

  /**
   * Real times of the samples, each later than the one before. The newest clock is believed: where it was set back, what was
   * labelled before is moved back by what the monotonic clock says.
   */
  #labels(): number[] {
    const labels: number[] = [];
    const kept = Math.min(this.#taken, this.#samples);
    let after: SampleTime | undefined;
    for (let back = 1; back <= kept; back++) {
      const slot = (this.#taken - back) % this.#samples;
      const monotonicMs = this.#monotonicMs[slot] ?? 0;
      let realtimeMs = this.#realtimeMs[slot] ?? 0;
      if (after !== undefined) {
        const stepMs = Math.max(1, after.monotonicMs - monotonicMs);
        if (realtimeMs >= after.realtimeMs) realtimeMs = after.realtimeMs - stepMs;
      }
      labels.push(realtimeMs);
      after = { monotonicMs, realtimeMs };
    }
    return this.#recent(labels.reverse());
  }

  #recent(labels: number[]): number[] {
    const newest = labels.at(-1) ?? 0;
    const last = (this.#taken - 1) % this.#samples;
    const spanMs = (this.#monotonicMs[last] ?? 0) - this.#oldestMonotonicMs();
    const since = newest - Math.max(spanMs * OLDEST, 1);
    return labels.filter((label) => label >= since);
  }

  #oldestMonotonicMs(): number {
    const oldest = this.#taken > this.#samples ? this.#taken % this.#samples : 0;
    return this.#monotonicMs[oldest] ?? 0;
  }

  #seriesOf(name: string): Series {
    const known = this.#series.get(name);
    if (known !== undefined) return known;
    if (this.#series.size >= MAX_SERIES) this.#dropOne();
    const series = { values: new Float64Array(this.#samples).fill(NaN), lastTaken: this.#taken };
    this.#series.set(name, series);
    return series;
  }

  /** The one that has had no value for longest. */
  #dropOne(): void {
    const [oldest] = [...this.#series].reduce((least, one) =>
      one[1].lastTaken < least[1].lastTaken ? one : least,
    );
    this.#series.delete(oldest);
  }
}

interface Series {
  /** NaN where there is none. */
  readonly values: Float64Array;
  /** The number of its last sample. */
  lastTaken: number;
}

/** Six digits are enough to draw and to add up, and halve what is sent. */
const shown = (value: number): number | null => (Number.isNaN(value) ? null : Number(value.toPrecision(6)));
