import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { jitteredMs } from '../../local/jitter.js';
import { NO_BASIS } from '../../wire/basis.js';
import { reasonOf } from '../../wire/reason.js';
import type { SourceReport } from '../../wire/status.js';
import type { Source, SourceSink } from '../source.js';
import { SourceLife } from '../source-life.js';
import { DRAND_CHAINS, DRAND_RELAYS, type DrandChain, checkedChain, roundTimeS } from './chain.js';
import { fetchLatest, parseRelayUrl } from './relay.js';
import { type DrandRound, parseRound, refuseUnlessBound } from './round.js';
import { DrandVerifier } from './verifier.js';

const MIN_BACK_OFF_MS = 1_000;
const MAX_BACK_OFF_MS = 60_000;
const DEFAULT_PERIOD_MS = 60_000;
const DEFAULT_DEADLINE_MS = 5_000;
/** Relays cache, and clocks differ; a round older than this is a replay. */
const DEFAULT_MAX_AGE_MS = 300_000;
/** A round may be this much ahead of our clock. */
const MAX_AHEAD_MS = 60_000;

/** How a public source is configured. */
export interface PublicSourceOptions {
  readonly name?: string;
  /** Base addresses, tried in turn from the one that answered last; the League of Entropy's unless told. */
  readonly relays?: readonly string[];
  /** The League of Entropy's default chain unless told. */
  readonly chain?: DrandChain;
  /** PEM of the CA of private relays; replaces the public CAs. */
  readonly ca?: string;
  /** Mean time between rounds heard, ms; 60,000 unless told. */
  readonly periodMs?: number;
  /** For one relay's answer, ms; 5,000 unless told. */
  readonly deadlineMs?: number;
  /** How old a round may be, ms; 300,000 unless told. Needs the chain's times. */
  readonly maxAgeMs?: number;
}

/**
 * Rounds of a public randomness beacon (drand), verified: 32 bytes that nobody chose and everybody knows.
 *
 * They earn no credit and never make a node seeded; what they are good for is that nobody knew them before their time, so
 * output that rests on one was not made before it. Nothing a relay says is believed: a round counts when its signature is
 * the chain's, its randomness the hash of that, and its number neither older than the last nor far from the time.
 * @throws LamplighterError ERR_CONFIG for a relay or a chain that cannot be
 */
export function publicSource(options: PublicSourceOptions, environment: Environment): Source {
  return new PublicSource(options, environment);
}

class PublicSource implements Source {
  readonly name: string;
  readonly kind = 'public';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #relays: readonly URL[];
  readonly #chain: DrandChain;
  readonly #verifier: DrandVerifier;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #maxAgeMs: number;
  readonly #ca: string | undefined;
  readonly #life = new SourceLife();
  #fetching: Promise<DrandRound> | undefined;
  #lastFault: string | undefined;
  /** The relay that answered last: the first to be asked. */
  #relay = 0;
  #latest: DrandRound | undefined;
  #heardRound = 0;
  #answeredRound = 0;
  #rounds = 0;
  #failures = 0;

  constructor(options: PublicSourceOptions, environment: Environment) {
    this.name = options.name ?? 'public';
    this.#environment = environment;
    this.#relays = (options.relays ?? DRAND_RELAYS).map((url) => parseRelayUrl(url));
    if (this.#relays.length === 0) throw new LamplighterError('ERR_CONFIG', 'drand: no relay');
    this.#chain = checkedChain(options.chain ?? DRAND_CHAINS.default);
    this.#verifier = new DrandVerifier(this.#chain, environment);
    this.#periodMs = options.periodMs ?? DEFAULT_PERIOD_MS;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#maxAgeMs = options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
    this.#ca = options.ca;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((attempt) => this.#listen(sink, attempt), signal, {
      environment: this.#environment,
      // Already in the status: a fetch notes its own failure, also when a round asked for it.
      onFault: () => undefined,
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      // Longer than it takes to ask every relay in vain.
      healthyAfterMs: 2 * this.#deadlineMs * this.#relays.length,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (signal.aborted || this.#life.isOver) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const leave = (): void => resolve(undefined);
      signal.addEventListener('abort', leave, { once: true });
      this.#fetch()
        .then(
          ({ round, randomness }) => {
            if (signal.aborted || round <= this.#answeredRound) return resolve(undefined);
            this.#answeredRound = round;
            resolve(Uint8Array.from(randomness));
          },
          () => resolve(undefined),
        )
        .finally(() => signal.removeEventListener('abort', leave));
    });
  }

  status(): SourceReport {
    const { hash, scheme } = this.#chain;
    return {
      ...this.#life.condition,
      basis: NO_BASIS,
      details: {
        chain: hash,
        scheme,
        periodMs: this.#periodMs,
        rounds: this.#rounds,
        failures: this.#failures,
        ...(this.#lastFault !== undefined && { lastFault: this.#lastFault }),
        ...(this.#latest !== undefined && this.#detailsOf(this.#latest)),
      },
    };
  }

  async stop(): Promise<void> {
    await this.#life.end();
    await this.#fetching?.catch(() => undefined);
  }

  async #listen(sink: SourceSink, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { round, randomness } = await this.#fetch();
      if (signal.aborted) return;
      if (round > this.#heardRound) {
        this.#heardRound = round;
        sink.hear(randomness);
      }
      await this.#environment.timers.sleep(jitteredMs(this.#environment, this.#periodMs), signal);
    }
  }

  /** The latest round, verified. One fetch at a time: whoever asks meanwhile shares it. */
  #fetch(): Promise<DrandRound> {
    this.#fetching ??= this.#askRelays().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  /** Each relay once. However it goes, the status says so before this settles. */
  async #askRelays(): Promise<DrandRound> {
    let fault: unknown;
    for (let turn = 0; turn < this.#relays.length; turn += 1) {
      const index = (this.#relay + turn) % this.#relays.length;
      const relay = this.#relays[index];
      if (relay === undefined) continue;
      try {
        const round = await this.#ask(relay);
        this.#relay = index;
        this.#accept(round);
        return round;
      } catch (error) {
        fault = error;
        if (this.#life.isOver) break;
        this.#failures += 1;
        this.#lastFault = `${relay.host}: ${reasonOf(error).code}`;
      }
    }
    this.#life.fail(fault);
    throw fault;
  }

  async #ask(relay: URL): Promise<DrandRound> {
    const body = await fetchLatest(relay, this.#chain.hash, {
      environment: this.#environment,
      deadlineMs: this.#deadlineMs,
      signal: this.#life.signal,
      ca: this.#ca,
    });
    const round = parseRound(body, this.#chain.scheme);
    // Cheap first: a relay must not be able to keep us verifying what is not worth it.
    this.#refuseUntimely(round.round);
    refuseUnlessBound(round);
    const latest = this.#latest;
    const known =
      latest?.round === round.round && Buffer.from(latest.signature).equals(Buffer.from(round.signature));
    if (!known) await this.#verifier.verify(round);
    return round;
  }

  /** @throws LamplighterError ERR_DRAND_ROUND */
  #refuseUntimely(round: number): void {
    const last = this.#latest?.round ?? 0;
    if (round < last) {
      throw new LamplighterError('ERR_DRAND_ROUND', `round ${round} comes after round ${last}`);
    }
    if (this.#chain.times === undefined) return;
    const dueMs = roundTimeS(this.#chain.times, round) * 1_000;
    const nowMs = Number(this.#environment.realtimeNs() / 1_000_000n);
    const shown = timeText(dueMs);
    if (dueMs > nowMs + MAX_AHEAD_MS) {
      throw new LamplighterError('ERR_DRAND_ROUND', `round ${round} is due only at ${shown}`, {
        hint: "check this machine's clock",
      });
    }
    if (dueMs < nowMs - this.#maxAgeMs) {
      throw new LamplighterError('ERR_DRAND_ROUND', `round ${round} is old: it was due at ${shown}`, {
        hint: "check this machine's clock; else the relay replays, or the chain stands still",
      });
    }
  }

  #accept(round: DrandRound): void {
    if (this.#life.isOver) return;
    if (round.round !== this.#latest?.round) this.#rounds += 1;
    this.#latest = round;
    this.#life.note('ok');
  }

  #detailsOf({ round }: DrandRound): Record<string, string | number> {
    const { times } = this.#chain;
    return {
      relay: this.#relays[this.#relay]?.host ?? '',
      round,
      ...(times !== undefined && { roundTime: timeText(roundTimeS(times, round) * 1_000) }),
    };
  }
}

/** Round numbers go further than dates do. */
function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'no time at all' : date.toISOString();
}
