import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import {
  XENSTORE_TYPE,
  type XenstoreMessage,
  XenstoreMessageDecoder,
  encodeXenstoreMessage,
  splitXenstoreFields,
} from './xenstore.js';

/** Requests with the daemon at once; the rest waits here. A guest may have 20 outstanding (xenstored -Q outstanding). */
const MAX_IN_FLIGHT = 16;
/** Requests that wait here; more is a defect of ours. */
const MAX_WAITING = 8_192;

/** The daemon understood a request and refused it. */
export class XenstoreRefusal extends LamplighterError {
  /** As xenstored names it: ENOENT, EACCES, EQUOTA, EAGAIN … */
  readonly errno: string;

  constructor(what: string, errno: string) {
    super('ERR_XENSTORE_REFUSED', `xenstored refused to ${what} (${errno})`, {
      hint: HINTS[errno] ?? 'see xenstored’s own log',
    });
    this.errno = errno;
  }
}

const HINTS: Readonly<Record<string, string>> = {
  EACCES: 'the node belongs to somebody else: see `xenstore-ls -p`',
  ENOENT: 'there is no such node',
  EQUOTA: 'a quota of xenstored is reached: see its options -E, -S, -W and -Q',
  ENOSPC: 'a quota of xenstored is reached: see its options -E, -S, -W and -Q',
};

/** Whether an error is the daemon's refusal with one of these names. */
export function isXenstoreRefusal(error: unknown, ...names: readonly string[]): error is XenstoreRefusal {
  return error instanceof XenstoreRefusal && names.includes(error.errno);
}

/** How a connection is made. */
export interface XenstoreConnectionOptions {
  readonly environment: Pick<Environment, 'timers'>;
  /** For the connection and for each answer, ms. When one is late the connection ends: who knows what it would answer then. */
  readonly deadlineMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Requests with the daemon at once, 16 unless told. /dev/xen/xenbus takes one: a second one in the same write(2) is lost. */
  readonly maxInFlight?: number;
  /** For messages, such as `/run/xenstored/socket`. */
  readonly shown: string;
  /** Told of every change under a watched path: which, and the token of the watch. May not throw. */
  readonly onEvent: (path: string, token: string) => void;
}

interface Request {
  readonly what: string;
  readonly type: number;
  readonly transactionId: number;
  readonly payload: Uint8Array;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One connection to xenstored over any carrier. Requests are pipelined and matched to their answers by number; whatever the peer
 * does wrong ends the connection, and everybody who waits is told why.
 *
 * Memory: 16 requests and one message of 4 KiB are held; events are handed on as they come and never kept.
 */
export class XenstoreConnection {
  /** Resolves when the carrier is closed. Never rejects. */
  readonly closed: Promise<void>;
  readonly #carrier: Duplex;
  readonly #options: XenstoreConnectionOptions;
  readonly #decoder = new XenstoreMessageDecoder();
  readonly #inFlight = new Map<number, Request & { readonly late: { cancel(): void } }>();
  #waiting: Request[] = [];
  #lastId = 0;
  #ended: { readonly reason: unknown } | undefined;
  #resting: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;

  /**
   * @param carrier - connected or about to be; this connection's alone from now on
   */
  constructor(carrier: Duplex, options: XenstoreConnectionOptions) {
    this.#carrier = carrier;
    this.#options = options;
    const { signal } = options;
    const abort = (): void => this.#end(new LamplighterError('ERR_STOPPED', 'the connection is stopped'));
    signal.addEventListener('abort', abort, { once: true });
    this.closed = new Promise((resolve) => {
      carrier.once('close', () => {
        signal.removeEventListener('abort', abort);
        this.#end(this.#gone('closed the connection'));
        resolve();
      });
    });
    carrier.on('error', (error) => {
      if (error instanceof LamplighterError) return this.#end(error);
      const code = 'code' in error ? String(error.code) : 'unknown error';
      this.#end(this.#gone(`cannot be reached (${code})`, error));
    });
    carrier.on('end', () => this.#end(this.#gone('closed the connection')));
    carrier.on('data', (chunk: Buffer) => this.#take(chunk));
    if (signal.aborted) abort();
  }

  /**
   * Asks one thing.
   * @param type - of {@link XENSTORE_TYPE}
   * @param payload - at most 4096 bytes; wiped once the carrier has taken it
   * @param options - `what`: in words, after "refused to"; `transactionId`: 0 unless told
   * @returns the answer's payload, the caller's own
   * @throws XenstoreRefusal what the daemon says by name
   * @throws LamplighterError what ended the connection: ERR_DEADLINE, ERR_XENSTORE_PROTOCOL, ERR_UPSTREAM_UNREACHABLE, ERR_STOPPED
   */
  request(
    type: number,
    payload: Uint8Array,
    { what, transactionId = 0 }: { readonly what: string; readonly transactionId?: number },
  ): Promise<Uint8Array> {
    if (this.#waiting.length >= MAX_WAITING) throw new RangeError('too many requests wait');
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended.reason);
        return;
      }
      this.#waiting.push({ what, type, transactionId, payload, resolve, reject });
      this.#send();
    });
  }

  /**
   * Waits with nothing asked, until the time is over or `wake` is called. One at a time.
   * @throws LamplighterError what ended the connection
   */
  async rest(delayMs: number): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended.reason;
    if (this.#resting !== undefined) throw new TypeError('one rest at a time');
    const over = this.#options.environment.timers.after(delayMs, () => this.wake());
    try {
      await new Promise<void>((resolve, reject) => {
        this.#resting = { resolve, reject };
      });
    } finally {
      this.#resting = undefined;
      over.cancel();
    }
  }

  /** Ends a rest, if there is one. */
  wake(): void {
    this.#resting?.resolve();
  }

  /** Ends the connection; resolves when the carrier is gone. */
  async close(): Promise<void> {
    this.#end(new LamplighterError('ERR_STOPPED', 'the connection is closed'));
    await this.closed;
  }

  #send(): void {
    while (this.#inFlight.size < (this.#options.maxInFlight ?? MAX_IN_FLIGHT)) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      const requestId = this.#freeId();
      const { deadlineMs, environment, shown } = this.#options;
      const late = environment.timers.after(deadlineMs, () =>
        this.#end(new LamplighterError('ERR_DEADLINE', `no answer from ${shown} within ${deadlineMs} ms`)),
      );
      this.#inFlight.set(requestId, { ...request, late });
      const { type, transactionId, payload } = request;
      const message = encodeXenstoreMessage({ type, requestId, transactionId, payload });
      payload.fill(0);
      this.#carrier.write(message, () => message.fill(0));
    }
  }

  /** Never 0, which events have. After 2^32 requests numbers come again; those still in flight are passed over. */
  #freeId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#lastId === 0 || this.#inFlight.has(this.#lastId));
    return this.#lastId;
  }

  #take(chunk: Buffer): void {
    try {
      if (this.#ended === undefined) this.#decoder.push(chunk, (message) => this.#settle(message));
    } catch (error) {
      this.#end(error);
    } finally {
      // What the kernel still holds of it is out of reach.
      chunk.fill(0);
    }
  }

  #settle({ type, requestId, transactionId, payload }: XenstoreMessage): void {
    // Whoever ended it in the middle of a chunk hears nothing of the rest.
    if (this.#ended !== undefined) return;
    if (type === XENSTORE_TYPE.watchEvent) {
      const [path, token] = splitXenstoreFields(payload);
      if (path === undefined || token === undefined)
        throw this.#broken('an event without a path and a token');
      this.#options.onEvent(path, token);
      return;
    }
    const answered = requestId === 0 ? this.#oldestWatch(type) : requestId;
    const request = this.#inFlight.get(answered);
    if (request === undefined) throw this.#broken('an answer that nobody asked for');
    if (type !== XENSTORE_TYPE.error && type !== request.type)
      throw this.#broken('an answer of another kind');
    if (transactionId !== request.transactionId) throw this.#broken('an answer for another transaction');
    this.#inFlight.delete(answered);
    request.late.cancel();
    if (type === XENSTORE_TYPE.error) request.reject(new XenstoreRefusal(request.what, errorName(payload)));
    else request.resolve(payload);
    this.#send();
  }

  /**
   * Linux answers WATCH and UNWATCH on /dev/xen/xenbus itself, without the number they were asked by
   * (drivers/xen/xenbus/xenbus_dev_frontend.c, xenbus_write_watch), and in their order.
   */
  #oldestWatch(type: number): number {
    if (type !== XENSTORE_TYPE.watch && type !== XENSTORE_TYPE.unwatch) return 0;
    for (const [requestId, request] of this.#inFlight) if (request.type === type) return requestId;
    return 0;
  }

  /** The first reason counts. */
  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    for (const request of this.#inFlight.values()) {
      request.late.cancel();
      request.reject(reason);
    }
    for (const request of this.#waiting) {
      request.payload.fill(0);
      request.reject(reason);
    }
    this.#inFlight.clear();
    this.#waiting = [];
    this.#decoder.wipe();
    this.#carrier.destroy();
    this.#resting?.reject(reason);
  }

  #broken(what: string): LamplighterError {
    return new LamplighterError('ERR_XENSTORE_PROTOCOL', `${this.#options.shown} sent ${what}`);
  }

  #gone(what: string, cause?: unknown): LamplighterError {
    return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `xenstored at ${this.#options.shown} ${what}`, {
      hint: 'see that it runs, and that this process may reach it',
      cause,
    });
  }
}

/** Only a name is taken from a daemon's error: it stands in messages. */
function errorName(payload: Uint8Array): string {
  const [name = ''] = splitXenstoreFields(payload);
  return /^E[A-Z0-9]{1,15}$/.test(name) ? name : 'an unknown error';
}
