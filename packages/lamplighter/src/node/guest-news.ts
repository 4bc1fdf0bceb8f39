import { createServer, type Server, type Socket } from 'node:net';
import type { Environment } from '../local/environment.js';
import { type PlacedSocket, listenOnUnixSocket } from '../outlets/egd/unix-socket.js';
import { firstLine, guestInRequest } from '../wire/guest-resumed.js';

/** What a node has to be to hear of its guests. */
export interface GuestNewsOptions {
  readonly environment: Environment;
  /** Absolute, in a folder that only those may enter who may tell. */
  readonly socket: string;
  /** Of the folder, if it has to be made: 0o700 unless told, or 0o750. */
  readonly folderMode?: number;
  /**
   * Bursts for a guest, now.
   * @returns on how many lines; undefined when this node is not seeded yet
   */
  readonly onResumed: (guest: string) => number | undefined;
}

/** What was heard since the start. */
export interface GuestNewsCounts {
  readonly told: number;
  readonly refused: number;
}

const MAX_CONNECTIONS = 32;
const DEADLINE_MS = 2_000;

/**
 * Where hooks of a VM host say that a guest was restored or cloned, so that it gets a burst at once.
 *
 * Source: DESIGN 6.4: a host burst is the only separator that is certain where a guest sees no VM generation. Who may enter
 * the folder may tell, and can do no more than make guests resume.
 */
export class GuestNews {
  readonly #options: GuestNewsOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #placed: PlacedSocket | undefined;
  #told = 0;
  #refused = 0;

  constructor(options: GuestNewsOptions) {
    this.#options = options;
  }

  get counts(): GuestNewsCounts {
    return { told: this.#told, refused: this.#refused };
  }

  /** @throws LamplighterError ERR_SOCKET_FOLDER, ERR_SOCKET_IN_USE, ERR_LISTEN; nothing is left behind then */
  async start(): Promise<void> {
    const { environment, socket: path, folderMode = 0o700 } = this.#options;
    const server = createServer((socket) => void this.#serve(socket));
    server.maxConnections = MAX_CONNECTIONS;
    this.#placed = await listenOnUnixSocket(server, { path, folderMode }, environment);
    server.on('error', () => (this.#refused += 1));
    this.#server = server;
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await this.#placed?.remove();
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    const overdue = this.#options.environment.timers.after(DEADLINE_MS, () => socket.destroy());
    try {
      const guest = guestInRequest(await firstLine(socket));
      if (guest === undefined) {
        this.#refused += 1;
        socket.destroy();
        return;
      }
      this.#told += 1;
      const lines = this.#options.onResumed(guest);
      socket.end(lines === undefined ? 'not ready\n' : `${lines}\n`);
    } catch {
      this.#refused += 1;
      socket.destroy();
    } finally {
      overdue.cancel();
    }
  }
}
