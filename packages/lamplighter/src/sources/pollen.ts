import { LamplighterError } from '@lamplighter/core';
import { readAuthorities } from '../identity/pem-file.js';
import type { Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { keepTrying } from '../local/retry.js';
import { NO_BASIS } from '../wire/basis.js';
import { fetchPollen, type FetchedPollen } from '../wire/pollen-client.js';
import { parsePollenUrl, pollenSecrecy } from '../wire/pollen-url.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason, SourceReport, SourceState } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';
import { StuckBytes } from './stuck-bytes.js';

const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;
const DEFAULT_PERIOD_MS = 300_000;
/** The same as a boot waits for its relays. */
const DEFAULT_DEADLINE_MS = 5_000;

/** How a pollen source is configured. */
export interface PollenSourceOptions {
  readonly name?: string;
  /** Of the server, see {@link parsePollenUrl}. */
  readonly url: string;
  /** Path of PEM with the CAs that alone may have made its certificate, read anew for every connection. */
  readonly ca?: string | undefined;
  /** Connections without a post-quantum hybrid key exchange are refused. */
  readonly requireHybrid?: boolean | undefined;
  /** Mean time between answers, ms; 300,000 unless told. */
  readonly periodMs?: number;
  /** For one exchange, ms; 5,000 unless told. */
  readonly deadlineMs?: number;
  /** Awaited before each TLS connection: whoever hedges this process's OpenSSL does it here. */
  readonly prepare?: () => Promise<void>;
}

/**
 * Answers of a pollen server: one for every round that asks, and one every `periodMs` while it runs, heard as an event.
 *
 * The first line of an answer proves that the server read our challenge, and nothing else; what the second is worth nobody
 * says, so it earns no credit and never makes a node seeded. A server that gives the same again is heard, and called stuck.
 * @throws LamplighterError ERR_CONFIG for an address that cannot be
 */
export function pollenSource(options: PollenSourceOptions, environment: Environment): Source {
  return new PollenSource(options, environment);
}

class PollenSource implements Source {
  readonly name: string;
  readonly kind = 'pollen';
  readonly position = 'outside';
  readonly #options: PollenSourceOptions;
  readonly #url: URL;
  readonly #environment: Environment;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #stuck = new StuckBytes();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #state: SourceState = 'starting';
  #reason: Reason | undefined;
  #retryAfterMs: number | undefined;
  #protocol: string | undefined;
  #answers = 0;
  #failures = 0;

  constructor(options: PollenSourceOptions, environment: Environment) {
    this.name = options.name ?? 'pollen';
    this.#options = options;
    this.#url = parsePollenUrl(options.url);
    this.#environment = environment;
    this.#periodMs = options.periodMs ?? DEFAULT_PERIOD_MS;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const stopping = this.#stopping.signal;
    signal.addEventListener('abort', () => void this.stop(), { once: true, signal: stopping });
    if (signal.aborted) return this.stop();
    this.#running = keepTrying((attempt) => this.#listen(sink, attempt), {
      environment: this.#environment,
      signal: stopping,
      // Already in the status: a fetch notes its own failure, also when a round asked for it.
      onFault: () => undefined,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      // Only a run that fetched at least once lasts that long, whatever the jitter.
      healthyAfterMs: this.#periodMs / 2,
    });
    return Promise.resolve();
  }

  async sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#fetch(AbortSignal.any([signal, this.#stopping.signal])).catch(() => undefined);
  }

  status(): SourceReport {
    return {
      state: this.#state,
      ...(this.#reason && { reason: this.#reason }),
      basis: NO_BASIS,
      details: {
        periodMs: this.#periodMs,
        answers: this.#answers,
        failures: this.#failures,
        secrecy: pollenSecrecy(this.#options),
        ...(this.#protocol !== undefined && { protocol: this.#protocol }),
        ...(this.#retryAfterMs !== undefined && { retryAfterMs: this.#retryAfterMs }),
      },
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#state = 'stopped';
    await this.#running;
  }

  async #listen(sink: SourceSink, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const bytes = await this.#fetch(signal);
      sink.hear(bytes);
      bytes.fill(0);
      await this.#environment.timers.sleep(jitteredMs(this.#environment, this.#periodMs), signal);
    }
  }

  /** One answer. However it goes, the status says so before this settles. */
  async #fetch(signal: AbortSignal): Promise<Uint8Array> {
    const { ca, requireHybrid, prepare } = this.#options;
    const isTls = this.#url.protocol === 'https:';
    try {
      signal.throwIfAborted();
      if (isTls) await prepare?.();
      const authorities =
        isTls && ca !== undefined ? await readAuthorities(ca, this.#environment) : undefined;
      const fetched = await fetchPollen(
        { url: this.#url, ca: authorities, requireHybrid },
        { environment: this.#environment, deadlineMs: this.#deadlineMs, signal },
      );
      this.#heard(fetched);
      return fetched.bytes;
    } catch (error) {
      this.#missed(
        signal.aborted ? new LamplighterError('ERR_DEADLINE', 'no answer by the deadline') : error,
      );
      throw error;
    }
  }

  #heard({ bytes, protocol }: FetchedPollen): void {
    if (this.#stopping.signal.aborted) return;
    const fault = this.#stuck.fault(bytes);
    this.#answers += 1;
    this.#protocol = protocol;
    this.#retryAfterMs = undefined;
    this.#state = fault === undefined ? 'ok' : 'degraded';
    this.#reason =
      fault === undefined ? undefined : { code: 'ERR_SOURCE_STUCK', message: `the pollen server ${fault}` };
  }

  #missed(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    this.#failures += 1;
    this.#state = 'failed';
    this.#reason = reasonOf(error);
    this.#retryAfterMs = error instanceof LamplighterError ? error.retryAfterMs : undefined;
  }
}
