import { type Server, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import type { Stream } from '../../local/stream.js';
import { type PlacedSocket, listenOnUnixSocket } from '../egd/unix-socket.js';
import { TrickleAllowance } from './allowance.js';
import { TrickleConversation, type TrickleServices } from './conversation.js';

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 15_000;

/** What a guest's line needs besides what its conversations need. */
export interface GuestLineServices extends TrickleServices {
  readonly environment: Environment;
  /** A stream that nobody else has. */
  newStream(): Stream;
  /** Told of what ended a connection, or kept one from being made, when that was a fault. */
  onFault(guest: string, error: unknown): void;
}

/** One guest: its socket, at most one connection on it at a time, and what it may still have. */
export class GuestLine {
  readonly guest: string;
  readonly #path: string;
  readonly #services: GuestLineServices;
  readonly #allowance: TrickleAllowance;
  readonly #stopping = new AbortController();
  #conversation: TrickleConversation | undefined;
  #running: Promise<void> | undefined;
  #server: Server | undefined;
  #placed: PlacedSocket | undefined;
  #refused = 0;

  constructor(guest: string, socketPath: string, services: GuestLineServices) {
    this.guest = guest;
    this.#path = socketPath;
    this.#services = services;
    this.#allowance = new TrickleAllowance(services.environment);
  }

  /** The conversation under way. */
  get conversation(): TrickleConversation | undefined {
    return this.#conversation;
  }

  /** Connections that came while there was one. */
  get refused(): number {
    return this.#refused;
  }

  /** Connects, again and again, with back-off: QEMU listens (`server=on`). */
  connect(): void {
    const { environment } = this.#services;
    this.#running = keepTrying((signal) => this.#connected(signal), {
      environment,
      signal: this.#stopping.signal,
      onFault: (error) => this.#services.onFault(this.guest, error),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
    });
  }

  /**
   * Listens: QEMU connects (`server=off,reconnect=1`).
   * @param folderMode - of the socket's folder, if it has to be made
   * @throws LamplighterError ERR_SOCKET_FOLDER, ERR_SOCKET_IN_USE, ERR_LISTEN
   */
  async listen(folderMode: number): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    const options = { path: this.#path, folderMode };
    this.#placed = await listenOnUnixSocket(server, options, this.#services.environment);
    server.on('error', (error) => this.#services.onFault(this.guest, error));
    this.#server = server;
  }

  /** Ends it. What the kernel has already taken still arrives. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#placed?.remove().catch((error: unknown) => this.#services.onFault(this.guest, error));
    this.#server?.close();
    this.#conversation?.close();
    await Promise.all([this.#conversation?.done, this.#running]);
  }

  async #connected(signal: AbortSignal): Promise<void> {
    const { environment } = this.#services;
    await refuseUnlessSocket(this.#path, environment.fs);
    signal.throwIfAborted();
    const socket = environment.connect({ path: this.#path });
    const giveUp = (): void => void socket.destroy();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await opened(socket, this.#path);
      const fault = await this.#converse(socket);
      if (fault !== undefined) throw fault;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  #accept(socket: Duplex): void {
    if (this.#conversation !== undefined || this.#stopping.signal.aborted) {
      this.#refused += 1;
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    void this.#converse(socket).then((fault) => {
      if (fault !== undefined) this.#services.onFault(this.guest, fault);
    });
  }

  /** @returns why it ended, if that was a fault. Never rejects. */
  async #converse(socket: Duplex): Promise<unknown> {
    const stream = this.#services.newStream();
    const conversation = new TrickleConversation(socket, stream, this.#allowance, this.#services);
    this.#conversation = conversation;
    const fault = await conversation.done;
    this.#conversation = undefined;
    return fault;
  }
}

/** A guest's folder may hold anything; only what is a socket is connected to. */
async function refuseUnlessSocket(socketPath: string, fs: Environment['fs']): Promise<void> {
  const stats = await fs.lstat(socketPath).catch((error: unknown) => {
    throw unreachable(socketPath, error);
  });
  if (!stats.isSocket()) throw unreachable(socketPath, undefined, 'something else than a socket is there');
}

function opened(socket: Duplex, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(unreachable(socketPath, undefined, 'closed'));
    const onError = (error: Error): void => reject(unreachable(socketPath, error));
    socket.once('close', onClose);
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('close', onClose);
      socket.off('error', onError);
      resolve();
    });
  });
}

function unreachable(socketPath: string, cause: unknown, why?: string): LamplighterError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `${socketPath}: ${why ?? code}`, {
    hint: 'is the guest running, and may the user of this service write to its socket',
    cause,
  });
}
