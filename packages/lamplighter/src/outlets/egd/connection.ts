import type { Socket } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { Stream } from '../../local/stream.js';
import { type EgdReply, type EgdRequest, EgdRequestDecoder, encodeEgdReply } from '../../wire/egd.js';
import type { ByteBudget } from './byte-budget.js';
import type { Seeded } from './seeded.js';

/**
 * What command 00 says once the node is seeded. A generator has no level that output lowers; the constant is the size of the
 * kernel's pool when clients of this protocol were written, enough for any threshold of theirs. Before: 0.
 */
export const SEEDED_LEVEL_BITS = 4_096;

/** What a request costs at least, so that requests without an answer are not free. */
const LEAST_COST_BYTES = 16;

/** Counted over all connections of an outlet. */
export interface EgdCounts {
  bytes: number;
  requests: number;
  inputs: number;
  inputBytes: number;
  protocolErrors: number;
  failures: number;
}

/** What a connection shares with the others. */
export interface EgdServices {
  readonly environment: Pick<Environment, 'timers' | 'arrivals'>;
  readonly seeded: Seeded;
  readonly total: ByteBudget;
  readonly counts: EgdCounts;
  /** What every client is sent before it asks, 0..255. */
  readonly unaskedBytes: number;
  hear(uncreditedBytes: Uint8Array): void;
}

/**
 * One client. Its requests are answered one after the other, in their order: the next is looked at when the answer before it
 * is with the kernel, and nothing is read from the socket meanwhile. So a client that asks and does not read costs one chunk
 * of requests and one answer, and no answer is made before the one in front of it has left.
 */
export class EgdConnection {
  readonly #socket: Socket;
  readonly #stream: Stream;
  readonly #budget: ByteBudget;
  readonly #services: EgdServices;
  readonly #decoder = new EgdRequestDecoder();
  readonly #gone = new AbortController();
  /** Gone, or its side is shut. */
  readonly #left = new AbortController();
  #draining = false;
  #wake: (() => void) | undefined;
  /** Resolves when the socket is closed and the stream wiped. Never rejects. */
  readonly done: Promise<void>;

  /**
   * @param socket - accepted with `allowHalfOpen`: a client may shut its side and still read
   * @param stream - of this connection alone; closed with it
   * @param budget - of this connection alone
   */
  constructor(socket: Socket, stream: Stream, budget: ByteBudget, services: EgdServices) {
    this.#socket = socket;
    this.#stream = stream;
    this.#budget = budget;
    this.#services = services;
    const wake = (): void => this.#wake?.();
    socket.on('error', () => undefined);
    socket.on('readable', () => {
      // Lets 'end' come also while nobody reads; with bytes in front of it, it has to wait.
      if (socket.readableLength === 0) socket.read(0);
      wake();
    });
    socket.on('end', () => {
      this.#left.abort(new LamplighterError('ERR_STOPPED', 'the client has shut its side'));
      wake();
    });
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        const gone = new LamplighterError('ERR_STOPPED', 'the client is gone');
        this.#gone.abort(gone);
        this.#left.abort(gone);
        wake();
        resolve();
      });
    });
    this.done = this.#serve().then(async () => {
      await closed;
      stream.close();
    });
  }

  /** Answers whatever has arrived by now, over budget or not, then closes. */
  drain(): void {
    this.#draining = true;
    this.#budget.lift();
    this.#wake?.();
  }

  /** Closes at once; what is owed is lost. */
  cut(): void {
    this.#socket.destroy();
  }

  async #serve(): Promise<void> {
    const { environment, counts, unaskedBytes } = this.#services;
    try {
      if (unaskedBytes > 0) await this.#sendUnasked(unaskedBytes);
      for (let chunk = await this.#read(); chunk !== undefined; chunk = await this.#read()) {
        environment.arrivals.note();
        this.#decoder.push(chunk);
        for (let request = this.#decoder.next(); request !== undefined; request = this.#decoder.next()) {
          counts.requests += 1;
          await this.#answer(request);
          // A client with many requests in one packet gets one answer a turn of the event loop, like everybody else.
          await environment.timers.turn();
        }
      }
      this.#socket.destroySoon();
    } catch (error) {
      const code = error instanceof LamplighterError ? error.code : 'ERR_INTERNAL';
      if (code === 'ERR_EGD_PROTOCOL') counts.protocolErrors += 1;
      else if (code !== 'ERR_STOPPED' && !this.#gone.signal.aborted) counts.failures += 1;
      // Every request in front of the bad one has its answer, and the kernel has it.
      this.#socket.destroy();
    }
  }

  /** What has come; undefined when the client has shut its side, is gone, or nothing more has come while draining. */
  async #read(): Promise<Buffer | undefined> {
    for (let emptyTurns = 0; ;) {
      const chunk: unknown = this.#socket.read();
      if (Buffer.isBuffer(chunk)) return chunk;
      if (this.#socket.readableEnded || this.#socket.destroyed) return undefined;
      if (this.#draining) {
        // In a whole turn the event loop has taken from the kernel all that was there.
        if (emptyTurns === 2) return undefined;
        emptyTurns += 1;
        await this.#services.environment.timers.turn();
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }

  async #answer(request: EgdRequest): Promise<void> {
    const { seeded, counts } = this.#services;
    switch (request.kind) {
      case 'level':
        await this.#spend(4);
        return this.#send(request, { kind: 'level', bits: seeded.now ? SEEDED_LEVEL_BITS : 0 });
      case 'pid':
        await this.#spend(0);
        return this.#send(request, { kind: 'pid', pid: String(process.pid) });
      case 'write':
        await this.#spend(request.data.length);
        counts.inputs += 1;
        counts.inputBytes += request.data.length;
        if (request.data.length > 0) this.#services.hear(request.data);
        request.data.fill(0);
        return;
      case 'read': {
        // 01 asks for what there is, 02 for what was asked: only the second waits.
        if (!seeded.now && !request.blocking) {
          await this.#spend(1);
          return this.#send(request, { kind: 'read', bytes: new Uint8Array(0) });
        }
        // Seeding may take for ever, and a client that has shut its side looks like one that is gone: neither holds a place.
        await seeded.wait(this.#left.signal);
        await this.#spend(request.lengthBytes);
        const bytes = request.lengthBytes === 0 ? new Uint8Array(0) : this.#stream.read(request.lengthBytes);
        await this.#send(request, { kind: 'read', bytes });
        counts.bytes += request.lengthBytes;
      }
    }
  }

  /** As the answer to a request that QEMU sent while nobody was there. */
  async #sendUnasked(lengthBytes: number): Promise<void> {
    await this.#services.seeded.wait(this.#left.signal);
    await this.#spend(lengthBytes);
    const bytes = this.#stream.read(lengthBytes);
    await this.#send({ kind: 'read', lengthBytes, blocking: true }, { kind: 'read', bytes });
    this.#services.counts.bytes += lengthBytes;
  }

  async #spend(lengthBytes: number): Promise<void> {
    const cost = Math.max(LEAST_COST_BYTES, lengthBytes);
    await this.#budget.take(cost, this.#gone.signal);
    await this.#services.total.take(cost, this.#gone.signal);
  }

  /** Resolves when the kernel has it all. */
  async #send(request: Exclude<EgdRequest, { kind: 'write' }>, reply: EgdReply): Promise<void> {
    const bytes = encodeEgdReply(request, reply);
    if (reply.kind === 'read') reply.bytes.fill(0);
    try {
      if (bytes.length === 0) return;
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
    } finally {
      bytes.fill(0);
    }
  }
}
