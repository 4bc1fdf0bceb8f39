import type { Duplex } from 'node:stream';
import type { Environment } from '../../local/environment.js';
import { jitteredMs } from '../../local/jitter.js';
import type { Stream } from '../../local/stream.js';
import { type Reason, reasonOf } from '../../wire/reason.js';
import { XenstoreConnection, XenstoreRefusal } from '../../wire/xenstore-connection.js';
import { XENSTORE_TYPE, xenstoreFields } from '../../wire/xenstore.js';
import { isIntroduced, listGuests } from './domain-list.js';
import { DOMAINS_FOLDER, INTRODUCED, News, RELEASED } from './news.js';
import { placeEntropy, removeEntropy } from './place.js';

/** A guest whose node could not be written is tried again no later than this. */
const RETRY_MS = 60_000;
/** With nobody to serve. */
const LONG_MS = 3_600_000;

/** Counted over all connections of an outlet. */
export interface TrickleCounts {
  bytes: number;
  writes: number;
  asks: number;
  removals: number;
  refusals: number;
  conflicts: number;
}

/** What a trickle is made with. */
export interface TrickleOptions {
  readonly environment: Pick<Environment, 'monotonicNs' | 'runtimeRandom' | 'timers'>;
  readonly socketPath: string;
  /** Of the node, relative to a domain's folder. */
  readonly path: string;
  readonly lengthBytes: number;
  readonly periodMs: number;
  readonly leastMs: number;
  readonly deadlineMs: number;
  readonly maxDomains: number;
  readonly counts: TrickleCounts;
  /** A stream nobody else has. */
  stream(): Stream;
  /** Told once, when the guests that are there are known. */
  onListed(): void;
}

/** One domain under its number. One that comes again under the same number is another guest, with another stream. */
interface Guest {
  readonly domain: number;
  readonly stream: Stream;
  dueNs: bigint;
  /** When it was last given something. */
  placedNs: bigint | undefined;
  /** Whether xenstored knew it then. */
  introduced: boolean;
  refusal: Reason | undefined;
}

/**
 * One connection to xenstored, and the guests that are seen through it. Guests are given their bytes one after the other, the one
 * that is due first: a write takes well under a millisecond, and nobody's bytes are made before his turn.
 */
export class Trickle {
  readonly #options: TrickleOptions;
  readonly #connection: XenstoreConnection;
  readonly #news: News;
  readonly #guests = new Map<number, Guest>();
  /** More than there may be. */
  readonly #leftOut = new Set<number>();
  #listed = false;

  /**
   * @param carrier - to xenstored
   * @param cut - ends the connection at once
   */
  constructor(carrier: Duplex, options: TrickleOptions, cut: AbortSignal) {
    this.#options = options;
    this.#news = new News(`${options.path}/request`);
    this.#connection = new XenstoreConnection(carrier, {
      environment: options.environment,
      deadlineMs: options.deadlineMs,
      signal: cut,
      shown: options.socketPath,
      onEvent: (path) => {
        if (this.#news.note(path)) this.#connection.wake();
      },
    });
  }

  /** Whether the guests that were there at first are known. */
  get listed(): boolean {
    return this.#listed;
  }

  get guests(): number {
    return this.#guests.size;
  }

  get leftOut(): number {
    return this.#leftOut.size;
  }

  /** Guests whose node could not be written when it was last tried, and why one of them could not. */
  get refused(): { readonly guests: number; readonly reason: Reason | undefined } {
    const refusals = [...this.#guests.values()].flatMap(({ refusal }) => refusal ?? []);
    return { guests: refusals.length, reason: refusals[0] };
  }

  /** Every guest, or one, gets other bytes now. @returns how many */
  renew(domain?: number): number {
    const nowNs = this.#options.environment.monotonicNs();
    const due = [...this.#guests.values()].filter((guest) => domain === undefined || guest.domain === domain);
    for (const guest of due) guest.dueNs = nowNs;
    this.#connection.wake();
    return due.length;
  }

  /**
   * Serves until told to stop, and then takes back what guests have not taken.
   * @throws LamplighterError what ended the connection
   */
  async run(stopping: AbortSignal): Promise<void> {
    const wake = (): void => this.#connection.wake();
    stopping.addEventListener('abort', wake, { once: true });
    try {
      // Each answers with an event at once: the list is read then.
      for (const watched of [INTRODUCED, RELEASED, DOMAINS_FOLDER]) {
        await this.#connection.request(XENSTORE_TYPE.watch, xenstoreFields(watched, 'lamplighter'), {
          what: `watch ${watched}`,
        });
      }
      while (!stopping.aborted) await this.#step();
      await this.#takeBack();
    } finally {
      stopping.removeEventListener('abort', wake);
      for (const { stream } of this.#guests.values()) stream.close();
      this.#guests.clear();
      await this.#connection.close();
    }
  }

  async #step(): Promise<void> {
    const news = this.#news;
    if (news.released) return this.#release();
    if (news.relist || news.introduced) return this.#list();
    const nowNs = this.#options.environment.monotonicNs();
    for (const domain of news.changed) this.#admit(domain, nowNs);
    // One that had no place may just have gone.
    if (news.changed.size > 0 && this.#leftOut.size > 0) news.relist = true;
    news.changed.clear();
    if (news.relist) return;
    for (const domain of news.asked) this.#hurry(domain, nowNs);
    news.asked.clear();
    const next = this.#firstDue();
    if (next === undefined) return this.#connection.rest(LONG_MS);
    if (next.dueNs > nowNs) return this.#connection.rest(Math.ceil(Number(next.dueNs - nowNs) / 1e6));
    return this.#serve(next);
  }

  /** Takes back what was given to domains that xenstored does not know any more: their numbers will be others'. */
  async #release(): Promise<void> {
    this.#news.released = false;
    const known = [...this.#guests.values()].filter(({ introduced }) => introduced);
    const still = await Promise.all(known.map(({ domain }) => isIntroduced(this.#connection, domain)));
    // Events and answers come in the order in which things happened: who is still there may be another under his number.
    if (this.#news.introduced) this.renew();
    for (const [index, guest] of known.entries()) {
      if (still[index] === true || this.#guests.get(guest.domain) !== guest) continue;
      this.#forget(guest.domain);
      await this.#remove(guest.domain);
    }
  }

  async #list(): Promise<void> {
    const { introduced } = this.#news;
    this.#news.relist = false;
    this.#news.introduced = false;
    const there = new Set(await listGuests(this.#connection));
    for (const domain of this.#guests.keys()) if (!there.has(domain)) this.#forget(domain);
    this.#leftOut.clear();
    const nowNs = this.#options.environment.monotonicNs();
    for (const domain of there) {
      const guest = this.#guests.get(domain);
      if (guest === undefined) this.#admit(domain, nowNs);
      // xenstored takes permissions given before it knew a domain for those of an earlier one.
      else if (introduced && !guest.introduced) guest.dueNs = nowNs;
    }
    if (!this.#listed) this.#options.onListed();
    this.#listed = true;
  }

  /** It is new, gone, or new under a number that was in use: which of them shows when it is served. */
  #admit(domain: number, nowNs: bigint): void {
    this.#forget(domain);
    if (this.#guests.size >= this.#options.maxDomains) {
      this.#leftOut.add(domain);
      return;
    }
    this.#guests.set(domain, {
      domain,
      stream: this.#options.stream(),
      dueNs: nowNs,
      placedNs: undefined,
      introduced: false,
      refusal: undefined,
    });
  }

  /** A guest that asks all the time is given something once in `leastMs`. */
  #hurry(domain: number, nowNs: bigint): void {
    const guest = this.#guests.get(domain);
    if (guest?.placedNs === undefined) return;
    this.#options.counts.asks += 1;
    const earliestNs = guest.placedNs + nanoseconds(this.#options.leastMs);
    const wantedNs = earliestNs > nowNs ? earliestNs : nowNs;
    if (wantedNs < guest.dueNs) guest.dueNs = wantedNs;
  }

  #firstDue(): Guest | undefined {
    let first: Guest | undefined;
    for (const guest of this.#guests.values()) {
      if (first === undefined || guest.dueNs < first.dueNs) first = guest;
    }
    return first;
  }

  async #serve(guest: Guest): Promise<void> {
    const { environment, counts, path, periodMs, lengthBytes } = this.#options;
    const { domain } = guest;
    let bytes: Uint8Array | undefined;
    // Set before: whoever wants it served again while this goes on sets it back.
    guest.dueNs = this.#inNs(periodMs);
    try {
      guest.introduced = await isIntroduced(this.#connection, domain);
      bytes = guest.stream.read(lengthBytes);
      const { placed, conflicts } = await placeEntropy(this.#connection, { domain, path, bytes });
      counts.conflicts += conflicts;
      if (!placed) return this.#forget(domain);
      counts.writes += 1;
      counts.bytes += lengthBytes;
      guest.refusal = undefined;
      guest.placedNs = environment.monotonicNs();
    } catch (error) {
      if (!(error instanceof XenstoreRefusal)) throw error;
      counts.refusals += 1;
      guest.refusal = reasonOf(error);
      const retryNs = this.#inNs(RETRY_MS);
      if (retryNs < guest.dueNs) guest.dueNs = retryNs;
    } finally {
      bytes?.fill(0);
    }
  }

  #inNs(meanMs: number): bigint {
    const { environment } = this.#options;
    return environment.monotonicNs() + nanoseconds(jitteredMs(environment, meanMs));
  }

  #forget(domain: number): void {
    this.#guests.get(domain)?.stream.close();
    // Somebody else may have its place now.
    if (this.#guests.delete(domain) && this.#leftOut.size > 0) this.#news.relist = true;
  }

  async #takeBack(): Promise<void> {
    await Promise.all([...this.#guests.keys()].map((domain) => this.#remove(domain)));
  }

  async #remove(domain: number): Promise<void> {
    try {
      await removeEntropy(this.#connection, domain, this.#options.path);
      this.#options.counts.removals += 1;
    } catch (error) {
      if (!(error instanceof XenstoreRefusal)) throw error;
      this.#options.counts.refusals += 1;
    }
  }
}

const nanoseconds = (ms: number): bigint => BigInt(Math.ceil(ms * 1e6));
