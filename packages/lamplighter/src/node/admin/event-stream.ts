import type { ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import type { Timers } from '../../local/environment.js';
import type { NodeEvent } from '../../wire/event.js';
import { HEADERS } from './answer.js';
import type { AdminParts } from './parts.js';

// Implementation constants.
export const STREAM_LIMITS = {
  periodMs: 1_000,
  mostViewers: 1_000,
  /** What may lie here for a viewer who does not read; the kernel holds some more. */
  maxUnsentBytes: 262_144,
  /** Of past events a new viewer is told; the newest. */
  maxReplayBytes: 196_608,
} as const;
/** When a browser comes back after its stream has broken. */
const RETRY_MS = 2_000;

/** Somebody who watches. */
interface Viewer {
  readonly response: ServerResponse;
  /** Whether it may still. */
  readonly isAllowed: () => boolean;
}

/** How many watch, and how many were dropped because they did not read. */
export interface StreamCounts {
  readonly viewers: number;
  readonly dropped: number;
}

/**
 * Server-sent events for everybody who watches: the status once a second, put into words once for all, and whatever happens when it
 * happens. Nothing is computed while nobody looks. Whoever does not read is dropped, not waited for.
 *
 * Source: HTML Living Standard, section 9.2. No comment keeps a silent stream alive: it never is.
 */
export class EventStream {
  readonly #parts: Pick<AdminParts, 'status' | 'events'>;
  readonly #timers: Pick<Timers, 'every'>;
  readonly #onError: (error: unknown) => void;
  readonly #viewers = new Set<Viewer>();
  /** While anybody watches. */
  #running: { cancel(): void } | undefined;
  /** The last second's status. */
  #last: Buffer | undefined;
  #dropped = 0;

  /**
   * @param hooks - `onError` hears why a status could not be made: everybody's stream ends then, and the node goes on
   */
  constructor(
    parts: Pick<AdminParts, 'status' | 'events'>,
    hooks: { readonly timers: Pick<Timers, 'every'>; readonly onError: (error: unknown) => void },
  ) {
    this.#parts = parts;
    this.#timers = hooks.timers;
    this.#onError = hooks.onError;
  }

  get counts(): StreamCounts {
    return { viewers: this.#viewers.size, dropped: this.#dropped };
  }

  /**
   * Begins a stream: the status at once, then the events that are kept, then both as they come.
   * @param lastEventId - as the browser sends it after a break: events up to it are not told again
   * @param isAllowed - asked every second; when it says no the stream ends
   * @throws LamplighterError ERR_OVERLOADED when a thousand watch already; nothing was answered
   */
  add(response: ServerResponse, lastEventId: string | undefined, isAllowed: () => boolean): void {
    if (this.#viewers.size >= STREAM_LIMITS.mostViewers) {
      throw new LamplighterError('ERR_OVERLOADED', `${STREAM_LIMITS.mostViewers} watch already`);
    }
    this.#running ??= this.#run();
    const status = (this.#last ??= this.#status());
    // The connection is this stream's alone and ends with it: a frame is then one write of a buffer that all share.
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
    response.on('error', () => undefined);
    const viewer = { response, isAllowed };
    response.on('close', () => this.#remove(viewer));
    this.#viewers.add(viewer);
    response.write(Buffer.concat([RETRY, status, this.#replay(lastEventId)]));
  }

  /** Says a last time how it is, and ends every stream at once. */
  stop(): void {
    if (this.#viewers.size > 0) this.#tick();
    this.#end();
  }

  #end(): void {
    for (const viewer of this.#viewers) end(viewer);
    this.#viewers.clear();
    this.#rest();
  }

  #run(): { cancel(): void } {
    const timer = this.#timers.every(STREAM_LIMITS.periodMs, () => this.#tick());
    const unsubscribe = this.#parts.events.onEvent((event) => this.#tell(eventFrame(event)));
    return {
      cancel() {
        timer.cancel();
        unsubscribe();
      },
    };
  }

  #tick(): void {
    for (const viewer of this.#viewers) if (!viewer.isAllowed()) end(viewer);
    try {
      this.#last = this.#status();
    } catch (error) {
      // A page must never take the node down.
      this.#onError(error);
      this.#end();
      return;
    }
    this.#tell(this.#last);
  }

  #status(): Buffer {
    return frame('status', this.#parts.status());
  }

  #tell(bytes: Buffer): void {
    for (const { response } of this.#viewers) {
      if (response.writableEnded) continue;
      if (response.writableLength > STREAM_LIMITS.maxUnsentBytes) {
        this.#dropped += 1;
        response.destroy();
      } else {
        response.write(bytes);
      }
    }
  }

  /** What has happened since; all that is kept, for who comes anew, and also when numbers began anew with the node. */
  #replay(lastEventId: string | undefined): Buffer {
    const kept = this.#parts.events.since(0);
    const known = /^[0-9]{1,15}$/.test(lastEventId ?? '') ? Number(lastEventId) : 0;
    const isOurs = known <= (kept.at(-1)?.id ?? 0);
    const frames: Buffer[] = [];
    let lengthBytes = 0;
    for (const event of kept.toReversed()) {
      if (isOurs && event.id <= known) break;
      const bytes = eventFrame(event);
      lengthBytes += bytes.length;
      if (lengthBytes > STREAM_LIMITS.maxReplayBytes) break;
      frames.unshift(bytes);
    }
    return Buffer.concat(frames);
  }

  #remove(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    if (this.#viewers.size === 0) this.#rest();
  }

  #rest(): void {
    this.#running?.cancel();
    this.#running = undefined;
    this.#last = undefined;
  }
}

const RETRY = Buffer.from(`retry: ${RETRY_MS}\n\n`);

const eventFrame = (event: NodeEvent): Buffer => frame('event', event, event.id);

/** JSON has no line breaks of its own, so it is always one line of data. */
function frame(name: string, value: unknown, id?: number): Buffer {
  const number = id === undefined ? '' : `id: ${id}\n`;
  return Buffer.from(`event: ${name}\n${number}data: ${JSON.stringify(value)}\n\n`);
}

/** What is still to be sent is given a moment; one that does not read it is gone with the listener or the next tick. */
function end({ response }: Viewer): void {
  response.end();
  response.socket?.destroySoon();
}
