import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { type Basis, NO_BASIS } from '../wire/basis.js';
import { type Upstream, type UpstreamResponse, request } from '../wire/client.js';
import {
  DEFAULT_FEED_INTERVAL_MS,
  FEED_CONTENT_TYPE,
  FEED_PATH,
  FEED_STALL_GRACE_MS,
  FeedDecoder,
  type FeedFrame,
  MAX_FEED_INTERVAL_MS,
  MIN_FEED_INTERVAL_MS,
  feedStallMs,
} from '../wire/feed.js';
import { refusalOf } from '../wire/refusal.js';
import type { SourceReport } from '../wire/status.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';

const MIN_BACK_OFF_MS = 250;
/** Short, because a chain heals only as fast as this: one TLS handshake every few seconds costs the upstream nothing. */
const MAX_BACK_OFF_MS = 5_000;
/** How long the upstream may take to answer the request itself. */
const RESPONSE_DEADLINE_MS = 10_000;

/**
 * An upstream node's feed: every payload is heard as one event, and a round is answered with the latest one.
 *
 * Source: DESIGN section 8. The clock in a frame is never used. What the upstream says of its basis counts only while
 * its frames arrive; that something simulated went in is remembered as long as what was heard.
 * @param options - `upstream`: whom to ask, and which roles it may have; `intervalMs`: 100..60,000, 1,000 unless told;
 *   `stallGraceMs`: what three intervals of silence are lengthened by before the feed counts as stalled
 * @throws RangeError when the interval is out of range
 */
export function feedSource(
  options: {
    readonly name?: string;
    readonly upstream: Upstream;
    readonly intervalMs?: number;
    readonly stallGraceMs?: number;
  },
  environment: Environment,
): Source {
  return new FeedSource(options, environment);
}

class FeedSource implements Source {
  readonly name: string;
  readonly kind = 'feed';
  readonly position = 'outside';
  readonly #upstream: Upstream;
  readonly #environment: Environment;
  readonly #intervalMs: number;
  readonly #stallMs: number;
  readonly #life = new SourceLife(() => this.#letGo());
  readonly #waiting: ((payload: Uint8Array | undefined) => void)[] = [];
  #latest: Uint8Array | undefined;
  #basis: Basis = NO_BASIS;
  #connections = 0;
  #frames = 0;
  #peer: Readonly<Record<string, string>> = {};

  constructor(options: Parameters<typeof feedSource>[0], environment: Environment) {
    const { name = 'feed', upstream, intervalMs = DEFAULT_FEED_INTERVAL_MS } = options;
    if (!(intervalMs >= MIN_FEED_INTERVAL_MS && intervalMs <= MAX_FEED_INTERVAL_MS)) {
      throw new RangeError(`a feed interval is ${MIN_FEED_INTERVAL_MS} to ${MAX_FEED_INTERVAL_MS} ms`);
    }
    this.name = name;
    this.#upstream = upstream;
    this.#environment = environment;
    this.#intervalMs = intervalMs;
    this.#stallMs = feedStallMs(intervalMs, options.stallGraceMs ?? FEED_STALL_GRACE_MS);
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((attempt) => this.#subscribe(sink, attempt), signal, {
      environment: this.#environment,
      onFault: (error) => this.#fault(error),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      healthyAfterMs: this.#stallMs,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    const latest = this.#latest;
    if (latest !== undefined || signal.aborted || this.#life.isOver) {
      if (!signal.aborted) this.#latest = undefined;
      return Promise.resolve(signal.aborted ? undefined : latest);
    }
    return new Promise((resolve) => {
      const answer = (payload: Uint8Array | undefined): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(payload);
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(answer), 1);
        answer(undefined);
      };
      this.#waiting.push(answer);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
      basis: this.#basis,
      details: {
        intervalMs: this.#intervalMs,
        frames: this.#frames,
        reconnects: Math.max(0, this.#connections - 1),
        ...this.#peer,
      },
    };
  }

  stop(): Promise<void> {
    return this.#life.end();
  }

  #letGo(): void {
    this.#loseCredit();
    this.#latest?.fill(0);
    this.#latest = undefined;
    for (const answer of this.#waiting.splice(0)) answer(undefined);
  }

  /** One connection, from request to its end. Always throws: a feed has no good end. */
  async #subscribe(sink: SourceSink, signal: AbortSignal): Promise<never> {
    const response = await request(this.#upstream, {
      method: 'GET',
      path: `${FEED_PATH}?interval=${this.#intervalMs}`,
      deadlineMs: RESPONSE_DEADLINE_MS,
      signal,
    });
    const { body, peer, group } = response;
    let stalled = false;
    const stall = (): void => {
      stalled = true;
      body.destroy();
    };
    let watch = this.#environment.timers.after(this.#stallMs, stall);
    const decoder = new FeedDecoder();
    try {
      await refuseUnlessFeed(response, signal);
      this.#connections += 1;
      this.#peer = { upstream: peer.name, role: peer.role, ...(group !== undefined && { group }) };
      for await (const chunk of body as AsyncIterable<Buffer>) {
        this.#environment.arrivals.note();
        // Only whole frames count as signs of life: bytes dripped one by one are silence.
        for (const frame of decoder.push(chunk)) {
          watch.cancel();
          watch = this.#environment.timers.after(this.#stallMs, stall);
          this.#accept(frame, sink);
        }
      }
    } catch (error) {
      if (stalled) throw new LamplighterError('ERR_FEED_STALLED', `no feed frame for ${this.#stallMs} ms`);
      if (error instanceof LamplighterError) throw error;
      throw new LamplighterError('ERR_FEED_ENDED', 'the connection to the feed was cut', { cause: error });
    } finally {
      watch.cancel();
      decoder.close();
      body.destroy();
    }
    throw new LamplighterError('ERR_FEED_ENDED', 'the upstream ended its feed');
  }

  #accept(frame: FeedFrame, sink: SourceSink): void {
    const { basis, payload } = frame;
    this.#frames += 1;
    this.#peer = { ...this.#peer, sequence: String(frame.sequence) };
    // Before the payload is heard: whoever hears it asks what it rests on.
    this.#basis = { ...basis, simulated: basis.simulated || this.#basis.simulated };
    this.#life.note('ok');
    sink.hear(payload);

    const answer = this.#waiting.shift();
    if (answer !== undefined) return answer(payload);
    this.#latest?.fill(0);
    this.#latest = payload;
  }

  #fault(error: unknown): void {
    this.#life.fail(error);
    this.#loseCredit();
  }

  /** Nothing live is heard any more; that something simulated was heard stays true. */
  #loseCredit(): void {
    this.#basis = { ...NO_BASIS, simulated: this.#basis.simulated };
  }
}

async function refuseUnlessFeed(response: UpstreamResponse, signal: AbortSignal): Promise<void> {
  if (response.status !== 200) throw await refusalOf(response, signal);
  if (response.headers['content-type'] !== FEED_CONTENT_TYPE) {
    throw new LamplighterError(
      'ERR_UPSTREAM_PROTOCOL',
      'the upstream answered with something that is no feed',
    );
  }
}
