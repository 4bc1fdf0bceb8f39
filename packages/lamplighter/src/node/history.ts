import { type Environment, monotonicMs } from '../local/environment.js';
import type { HistoryReport, HistorySpan } from '../wire/history.js';
import type { NodeStatus } from '../wire/status.js';
import type { Taken } from './fleet/gate.js';
import { BusiestClients } from './busiest-clients.js';
import { SampleRing } from './sample-ring.js';

/** What each span is made of: an hour at 5 s, a day at 2 min, and a little more, because timers are late. */
const SPANS: Readonly<Record<HistorySpan, { readonly stepMs: number; readonly samples: number }>> = {
  hour: { stepMs: 5_000, samples: 728 },
  day: { stepMs: 120_000, samples: 728 },
};

/** Where the numbers come from. */
export interface HistoryOptions {
  readonly environment: Pick<Environment, 'monotonicNs' | 'realtimeNs' | 'timers'>;
  readonly status: () => NodeStatus;
  /** What every client has taken; nobody where none are told apart. */
  readonly clients: () => Iterable<Taken>;
}

/**
 * The numbers of the last hour and of the last day, in memory: taken from the status by a timer, so that the page, the metrics
 * and the terminal cannot disagree with it. A series takes 12 KiB: a relay with ten parts and 32 clients has 0.7 MiB, and however
 * many come and go it is never more than 12 MiB.
 */
export class History {
  readonly #options: HistoryOptions;
  readonly #recordings: Readonly<Record<HistorySpan, Recording>>;
  #timers: readonly { cancel(): void }[] = [];

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#recordings = { hour: new Recording(SPANS.hour), day: new Recording(SPANS.day) };
  }

  /** The first sample is taken now, so that the second has a rate. */
  start(): void {
    const { timers } = this.#options.environment;
    this.#timers = Object.values(this.#recordings).map((recording) => {
      this.#sample(recording);
      return timers.every(recording.stepMs, () => this.#sample(recording));
    });
  }

  report(span: HistorySpan): HistoryReport {
    return this.#recordings[span].report();
  }

  /** What was recorded stays. Idempotent. */
  stop(): void {
    for (const timer of this.#timers) timer.cancel();
  }

  #sample(recording: Recording): void {
    const { environment, status, clients } = this.#options;
    recording.take(
      { monotonicMs: monotonicMs(environment), realtimeMs: Number(environment.realtimeNs() / 1_000_000n) },
      status(),
      clients(),
    );
  }
}

/** One span: counters become rates, gauges stay what they are. */
class Recording {
  readonly stepMs: number;
  readonly #ring: SampleRing;
  readonly #clients = new BusiestClients((client) => this.#ring.forget(`clients/${client}`));
  #counts: ReadonlyMap<string, number> = new Map();
  #beforeMs: number | undefined;

  constructor({ stepMs, samples }: { stepMs: number; samples: number }) {
    this.stepMs = stepMs;
    this.#ring = new SampleRing(samples);
  }

  take(
    at: { readonly monotonicMs: number; readonly realtimeMs: number },
    status: NodeStatus,
    clients: Iterable<Taken>,
  ): void {
    const elapsedS = (at.monotonicMs - (this.#beforeMs ?? at.monotonicMs)) / 1_000;
    const counts = countsOf(status);
    const values = new Map<string, number>([['memory', status.residentMemoryBytes]]);
    // A clock that stood still has measured nothing.
    if (elapsedS > 0) {
      for (const [name, count] of counts) {
        const before = this.#counts.get(name);
        if (before !== undefined) values.set(name, grown(before, count) / elapsedS);
      }
    }
    for (const [name, rate] of this.#clients.rates(clients, elapsedS)) values.set(`clients/${name}`, rate);
    this.#ring.add(at, values);
    this.#counts = counts;
    this.#beforeMs = at.monotonicMs;
  }

  report(): HistoryReport {
    return { version: 1, stepMs: this.stepMs, ...this.#ring.report() };
  }
}

/** Everything counted since the start, by the name of its series. */
function countsOf({ generator, sources, outlets, listener }: NodeStatus): Map<string, number> {
  const counts = new Map<string, number>([['reseeds', generator.reseeds]]);
  for (const { name, bytes, events } of sources) {
    counts.set(`source/${name}/bytes`, bytes);
    counts.set(`source/${name}/events`, events);
  }
  let beacons: number | undefined;
  for (const { name, kind, bytes, details } of outlets) {
    counts.set(`outlet/${name}/bytes`, bytes);
    if (kind === 'beacon') beacons = (beacons ?? 0) + Number(details['beacons'] ?? 0);
  }
  if (beacons !== undefined) counts.set('beacons', beacons);
  if (listener)
    counts.set(
      'refused',
      Object.values(listener.refused).reduce((sum, count) => sum + count, 0),
    );
  return counts;
}

/** How far a counter has come. One that is lower than before began anew: a part was replaced. */
const grown = (before: number, now: number): number => (now >= before ? now - before : now);
