import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Endpoint, Environment } from '../local/environment.js';
import { egdAddressText } from '../wire/egd-address.js';
import type { EgdReply, EgdReplyDecoder } from '../wire/egd.js';

/** What the link is waited on for: one thing at a time. */
interface Wait {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * One connection to an EGD server, one question at a time. Whatever goes wrong ends it: the server sent more than it was
 * asked for, or without being asked, or not in time, or it is gone. Whoever waits is told, or the next who does.
 */
export class EgdLink {
  readonly #socket: Duplex;
  readonly #server: string;
  readonly #environment: Pick<Environment, 'timers'>;
  readonly #closed: Promise<void>;
  #ended: { readonly reason: unknown } | undefined;
  #wait: Wait | undefined;
  #decoder: EgdReplyDecoder | undefined;
  #reply: EgdReply | undefined;

  /**
   * Connects.
   * @param options - `signal`: ends the link, now or later
   * @throws LamplighterError ERR_UPSTREAM_UNREACHABLE, ERR_DEADLINE; ERR_STOPPED when the signal fired
   */
  static async open(
    endpoint: Endpoint,
    options: {
      readonly environment: Pick<Environment, 'connect' | 'timers'>;
      readonly deadlineMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<EgdLink> {
    const link = new EgdLink(endpoint, options);
    try {
      link.#socket.once('connect', () => link.#settle());
      await link.#within(options.deadlineMs, 'connection');
      return link;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  private constructor(
    endpoint: Endpoint,
    { environment, signal }: { environment: Pick<Environment, 'connect' | 'timers'>; signal: AbortSignal },
  ) {
    this.#server = egdAddressText(endpoint);
    this.#environment = environment;
    const socket = environment.connect(endpoint);
    this.#socket = socket;
    const abort = (): void => this.#end(new LamplighterError('ERR_STOPPED', 'the source is stopped'));
    signal.addEventListener('abort', abort, { once: true });
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        signal.removeEventListener('abort', abort);
        this.#end(this.#gone('closed the connection'));
        resolve();
      });
    });
    socket.on('error', (error) => {
      const code = 'code' in error ? String(error.code) : 'unknown error';
      this.#end(this.#gone(`cannot be reached (${code})`, error));
    });
    socket.on('end', () => this.#end(this.#gone('closed the connection')));
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    if (signal.aborted) abort();
  }

  /**
   * Asks one thing.
   * @param request - encoded
   * @param decoder - for its answer; wiped
   * @throws LamplighterError what ended the link: ERR_DEADLINE, ERR_EGD_PROTOCOL, ERR_UPSTREAM_UNREACHABLE, ERR_STOPPED
   */
  async ask(request: Uint8Array, decoder: EgdReplyDecoder, deadlineMs: number): Promise<EgdReply> {
    this.#decoder = decoder;
    this.#reply = undefined;
    try {
      this.#socket.write(request);
      await this.#within(deadlineMs, 'answer');
      const reply: EgdReply | undefined = this.#reply;
      if (reply === undefined) throw new TypeError('settled without an answer');
      return reply;
    } finally {
      this.#decoder = undefined;
      this.#reply = undefined;
      decoder.wipe();
    }
  }

  /**
   * Waits with the link at rest, until the time is over or `wake` is called.
   * @throws LamplighterError what ended the link
   */
  async rest(delayMs: number): Promise<void> {
    const over = this.#environment.timers.after(delayMs, () => this.#settle());
    try {
      await this.#settled();
    } finally {
      over.cancel();
    }
  }

  /** Ends a rest. Does nothing to a question. */
  wake(): void {
    if (this.#decoder === undefined) this.#settle();
  }

  /** Ends the link; resolves when its socket is gone. */
  async close(): Promise<void> {
    this.#socket.destroy();
    await this.#closed;
  }

  #take(chunk: Buffer): void {
    try {
      const decoder = this.#reply === undefined ? this.#decoder : undefined;
      if (decoder === undefined) {
        throw new LamplighterError('ERR_EGD_PROTOCOL', `${this.#server} sent bytes without being asked`);
      }
      this.#reply = decoder.push(chunk);
      if (this.#reply !== undefined) this.#settle();
    } catch (error) {
      this.#end(error);
    } finally {
      // What the kernel still holds of it is out of reach.
      chunk.fill(0);
    }
  }

  /** @throws ERR_DEADLINE, which ends the link: an answer that came later would be taken for the next one */
  async #within(deadlineMs: number, what: string): Promise<void> {
    const late = this.#environment.timers.after(deadlineMs, () =>
      this.#end(
        new LamplighterError('ERR_DEADLINE', `no ${what} from ${this.#server} within ${deadlineMs} ms`),
      ),
    );
    try {
      await this.#settled();
    } finally {
      late.cancel();
    }
  }

  /** A promise made anew for each wait: one that lives as long as the link would collect whoever ever waited for it. */
  #settled(): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended.reason);
    if (this.#wait !== undefined) throw new TypeError('one wait at a time');
    return new Promise((resolve, reject) => {
      this.#wait = { resolve, reject };
    });
  }

  #settle(): void {
    this.#wait?.resolve();
    this.#wait = undefined;
  }

  /** The first reason counts. */
  #end(reason: unknown): void {
    this.#ended ??= { reason };
    this.#wait?.reject(reason);
    this.#wait = undefined;
    this.#socket.destroy();
  }

  #gone(what: string, cause?: unknown): LamplighterError {
    return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `the EGD server ${this.#server} ${what}`, {
      hint: 'see that it runs, and that this process may reach it',
      cause,
    });
  }
}
