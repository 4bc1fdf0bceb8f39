import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import type { Stream } from '../local/stream.js';
import {
  FEED_CONTENT_TYPE,
  FEED_FRAME_LENGTH_BYTES,
  FEED_PATH,
  FEED_PAYLOAD_LENGTH_BYTES,
  FEED_STALL_GRACE_MS,
  encodeFeedFrame,
  feedStallMs,
  parseFeedInterval,
} from '../wire/feed.js';
import type { Exchange, Listener, ResponseStream } from '../wire/listener.js';
import type { OutletReport } from '../wire/status.js';
import type { Outlet, OutletContext } from './outlet.js';
import { basisForAnswer, isServing } from './serving.js';

const DEFAULT_MAX_SUBSCRIBERS = 256;

/**
 * Answers `GET /v1/feed?interval=ms` with an endless row of frames, each made for this subscriber alone at the moment it
 * is sent.
 *
 * Source: DESIGN section 8. A subscriber that does not read is sent nothing more, so nothing is made ahead for it, and is
 * dropped after three intervals and a grace. One that has used up its budget is told so when it asks, and between two frames
 * finds its stream at an end.
 * @param options - `listener`: where the route goes; `maxSubscribers`: at once, 256 unless told; `stallGraceMs`: what
 *   three intervals are lengthened by before a subscriber that does not read is dropped
 */
export function feedOutlet(options: {
  readonly name: string;
  readonly listener: Listener;
  readonly environment: Environment;
  readonly maxSubscribers?: number;
  readonly stallGraceMs?: number;
}): Outlet {
  return new FeedOutlet(options);
}

class FeedOutlet implements Outlet {
  readonly name: string;
  readonly kind = 'feed';
  readonly #listener: Listener;
  readonly #environment: Environment;
  readonly #maxSubscribers: number;
  readonly #stallGraceMs: number;
  readonly #stopping = new AbortController();
  readonly #subscribers = new Set<Promise<void>>();
  #maker: Maker | undefined;
  #route: { remove(): void } | undefined;
  #frames = 0;
  #dropped = 0;
  #refused = 0;

  constructor(options: Parameters<typeof feedOutlet>[0]) {
    this.name = options.name;
    this.#listener = options.listener;
    this.#environment = options.environment;
    this.#maxSubscribers = options.maxSubscribers ?? DEFAULT_MAX_SUBSCRIBERS;
    this.#stallGraceMs = options.stallGraceMs ?? FEED_STALL_GRACE_MS;
  }

  start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#maker = { context, stream: context.stream('feed') };
    this.#route = this.#listener.route({
      method: 'GET',
      path: FEED_PATH,
      roles: ['relay', 'service'],
      maxBodyBytes: 0,
      handle: (exchange) => this.#subscribe(exchange),
    });
    const stopping = this.#stopping.signal;
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: stopping });
    return signal.aborted ? this.stop(0) : Promise.resolve();
  }

  status(): OutletReport {
    return {
      state: this.#outletState(),
      bytes: this.#frames * FEED_PAYLOAD_LENGTH_BYTES,
      details: {
        subscribers: this.#subscribers.size,
        frames: this.#frames,
        dropped: this.#dropped,
        refused: this.#refused,
      },
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    this.#route?.remove();
    // A subscriber in the middle of a frame gets the rest of it; one that does not read is left to the listener.
    const late = new AbortController();
    await Promise.race([
      Promise.all(this.#subscribers),
      this.#environment.timers.sleep(deadlineMs, late.signal).catch(() => undefined),
    ]);
    late.abort();
    this.#maker?.stream.close();
  }

  #outletState(): OutletReport['state'] {
    if (this.#stopping.signal.aborted) return 'stopped';
    return isServing(this.#maker?.context) ? 'ok' : 'waiting';
  }

  async #subscribe(exchange: Exchange): Promise<void> {
    this.#environment.arrivals.note();
    const { intervalMs, maker } = this.#admit(exchange);
    const serving = this.#serve(exchange, maker, intervalMs);
    const settled = serving.catch(() => undefined);
    this.#subscribers.add(settled);
    try {
      await serving;
    } finally {
      this.#subscribers.delete(settled);
    }
  }

  /** @throws LamplighterError ERR_INTERVAL, ERR_STOPPED, ERR_NOT_SEEDED, ERR_TOO_MANY_CONNECTIONS, ERR_QUOTA */
  #admit(exchange: Exchange): { intervalMs: number; maker: Maker } {
    try {
      const intervalMs = parseFeedInterval(exchange.query.get('interval'));
      const maker = this.#maker;
      if (maker === undefined || this.#stopping.signal.aborted) {
        throw new LamplighterError('ERR_STOPPED', 'the outlet is stopped');
      }
      basisForAnswer(maker.context);
      if (this.#subscribers.size >= this.#maxSubscribers) {
        throw new LamplighterError('ERR_TOO_MANY_CONNECTIONS', 'the feed has all the subscribers it takes');
      }
      // The first frame; each later one before it is made.
      exchange.spend('feedBytes', FEED_FRAME_LENGTH_BYTES);
      return { intervalMs, maker };
    } catch (error) {
      this.#refused += 1;
      throw error;
    }
  }

  /** Frames until the subscriber leaves or the outlet stops. @throws LamplighterError ERR_DEADLINE: cut the connection */
  async #serve(exchange: Exchange, maker: Maker, intervalMs: number): Promise<void> {
    const over = AbortSignal.any([exchange.signal, this.#stopping.signal]);
    const response = exchange.stream({ 'content-type': FEED_CONTENT_TYPE });
    const stallMs = feedStallMs(intervalMs, this.#stallGraceMs);
    try {
      for (let sequence = 1n; !over.aborted; sequence += 1n) {
        if (sequence > 1n && !this.#mayHaveMore(exchange)) break;
        const frame = frameOf(maker, sequence, this.#environment.realtimeNs());
        this.#frames += 1;
        await this.#send(response, frame, stallMs);
        wipe(frame);
        // Measured from when the last frame was taken: a slow subscriber never finds a backlog.
        await this.#environment.timers.sleep(intervalMs, over);
      }
    } catch (error) {
      if (!over.aborted) {
        this.#dropped += 1;
        throw error;
      }
    }
    response.end();
  }

  /** Takes the next frame's bytes from the subscriber's budget. */
  #mayHaveMore(exchange: Exchange): boolean {
    try {
      exchange.spend('feedBytes', FEED_FRAME_LENGTH_BYTES);
      return true;
    } catch (error) {
      if (!(error instanceof LamplighterError) || error.code !== 'ERR_QUOTA') throw error;
      this.#dropped += 1;
      return false;
    }
  }

  #send(response: ResponseStream, frame: Uint8Array, stallMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const stall = this.#environment.timers.after(stallMs, () =>
        reject(new LamplighterError('ERR_DEADLINE', `the subscriber has not read for ${stallMs} ms`)),
      );
      response
        .write(frame)
        .then(resolve, reject)
        .finally(() => stall.cancel());
    });
  }
}

interface Maker {
  readonly context: OutletContext;
  readonly stream: Stream;
}

function frameOf({ context, stream }: Maker, sequence: bigint, realtimeNs: bigint): Uint8Array {
  // A clock may say anything, also a time before 1970; it must not be able to stop a feed.
  const u64 = BigInt.asUintN(64, realtimeNs);
  const payload = stream.read(FEED_PAYLOAD_LENGTH_BYTES);
  try {
    return encodeFeedFrame({ basis: context.readiness().basis, sequence, realtimeNs: u64, payload });
  } finally {
    wipe(payload);
  }
}
