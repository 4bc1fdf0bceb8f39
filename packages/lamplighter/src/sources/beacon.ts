import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { type Basis, NO_BASIS } from '../wire/basis.js';
import { CLIENT_NONCE_LENGTH_BYTES, type FetchedBeacon, fetchBeacon } from '../wire/beacon.js';
import type { Upstream } from '../wire/client.js';
import type { SourceReport } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';

const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;
const DEFAULT_PERIOD_MS = 300_000;
/** The same as a boot waits for its relays. */
const DEFAULT_DEADLINE_MS = 5_000;

/**
 * Beacons from one relay: one for every round that asks, and one every `periodMs` while it runs, heard as an event.
 *
 * `status()` says how the last attempt went, whoever asked for it: `reason` holds the code of its failure, `basis` what
 * the last beacon rests on. A failure takes the credit away; that something simulated was heard is never forgotten.
 * @param options - `upstream`: whom to ask; its roles should be relay alone; `periodMs`: mean time between beacons,
 *   300,000 unless told; `deadlineMs`: for one exchange, 5,000 unless told
 */
export function beaconSource(
  options: {
    readonly name?: string;
    readonly upstream: Upstream;
    readonly periodMs?: number;
    readonly deadlineMs?: number;
  },
  environment: Environment,
): Source {
  return new BeaconSource(options, environment);
}

class BeaconSource implements Source {
  readonly name: string;
  readonly kind = 'beacon';
  readonly position = 'outside';
  readonly #upstream: Upstream;
  readonly #environment: Environment;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #life = new SourceLife(() => this.#loseCredit());
  #basis: Basis = NO_BASIS;
  #beacons = 0;
  #failures = 0;
  #relay: Readonly<Record<string, string>> = {};
  #retryAfterMs: number | undefined;

  constructor(options: Parameters<typeof beaconSource>[0], environment: Environment) {
    this.name = options.name ?? 'beacon';
    this.#upstream = options.upstream;
    this.#environment = environment;
    this.#periodMs = options.periodMs ?? DEFAULT_PERIOD_MS;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((attempt) => this.#listen(sink, attempt), signal, {
      environment: this.#environment,
      // Already in the status: a fetch notes its own failure, also when a round asked for it.
      onFault: () => undefined,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      // Only a run that fetched at least once lasts that long, whatever the jitter.
      healthyAfterMs: this.#periodMs / 2,
    });
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#fetch(AbortSignal.any([signal, this.#life.signal])).catch(() => undefined);
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
      basis: this.#basis,
      details: {
        periodMs: this.#periodMs,
        beacons: this.#beacons,
        failures: this.#failures,
        ...this.#relay,
        ...(this.#retryAfterMs !== undefined && { retryAfterMs: this.#retryAfterMs }),
      },
    };
  }

  stop(): Promise<void> {
    return this.#life.end();
  }

  async #listen(sink: SourceSink, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const bytes = await this.#fetch(signal);
      this.#environment.arrivals.note();
      sink.hear(bytes);
      bytes.fill(0);
      await this.#environment.timers.sleep(jitteredMs(this.#environment, this.#periodMs), signal);
    }
  }

  /** One beacon. However it goes, the status says so before this settles. */
  async #fetch(signal: AbortSignal): Promise<Uint8Array> {
    const nonce = this.#environment.runtimeRandom(CLIENT_NONCE_LENGTH_BYTES);
    try {
      signal.throwIfAborted();
      const beacon = await fetchBeacon(this.#upstream, { nonce, deadlineMs: this.#deadlineMs, signal });
      this.#heard(beacon);
      return beacon.bytes;
    } catch (error) {
      this.#missed(
        signal.aborted ? new LamplighterError('ERR_DEADLINE', 'no beacon by the deadline') : error,
      );
      throw error;
    }
  }

  #heard({ basis, relay, group }: FetchedBeacon): void {
    if (this.#life.isOver) return;
    this.#beacons += 1;
    this.#basis = { ...basis, simulated: basis.simulated || this.#basis.simulated };
    this.#relay = { relay: relay.name, role: relay.role, ...(group !== undefined && { group }) };
    this.#life.note('ok');
    this.#retryAfterMs = undefined;
  }

  #missed(error: unknown): void {
    if (this.#life.isOver) return;
    this.#failures += 1;
    this.#life.fail(error);
    this.#retryAfterMs = error instanceof LamplighterError ? error.retryAfterMs : undefined;
    this.#loseCredit();
  }

  #loseCredit(): void {
    this.#basis = { ...NO_BASIS, simulated: this.#basis.simulated };
  }
}
