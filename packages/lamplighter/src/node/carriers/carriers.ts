import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import { FOLDER_MODES } from '../../outlets/egd/egd.js';
import { listenOnUnixSocket, type PlacedSocket } from '../../outlets/egd/unix-socket.js';
import type { CarrierStatus } from '../../wire/carrier-status.js';
import type { CarrierEntry } from './config.js';
import { allLines, GuestLine, type LineDoors } from './guest-line.js';
import { upstreamError } from '../../wire/upstream-error.js';
import { reasonOf, type Reason } from '../../wire/reason.js';

/** How soon a guest's socket is looked for again: a guest that was started shall not wait long. */
const RETRY = { minMs: 100, maxMs: 1_000, healthyAfterMs: 0 };

/**
 * The serial lines by which guests without a network reach this node's listener.
 *
 * Two ways to the same thing: QEMU listens on a socket for each guest and we connect to it (`connect`), or QEMU connects to one of
 * ours (`listen`), where one socket serves all guests. Who a guest is says its certificate, not its line.
 */
export class Carriers {
  readonly #carriers: readonly Carrier[];

  /** @param options - `accept`: serves a connection, as `Listener.accept` does */
  constructor(
    entries: readonly CarrierEntry[],
    options: { readonly environment: Environment; readonly accept: (connection: Duplex) => void },
  ) {
    const doors = { ...options, all: allLines(options.environment) };
    this.#carriers = entries.map((entry) => new Carrier(entry, doors));
  }

  /**
   * Begins to listen, and to connect; a guest that is not there yet is looked for again and again.
   * @throws LamplighterError ERR_SOCKET_FOLDER, ERR_SOCKET_IN_USE, ERR_LISTEN; those begun are to be stopped
   */
  async start(): Promise<void> {
    for (const carrier of this.#carriers) await carrier.start();
  }

  status(): readonly CarrierStatus[] {
    return this.#carriers.map((carrier) => carrier.status());
  }

  /** Ends every line; what is still served on one ends too. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.#carriers.map((carrier) => carrier.stop()));
  }
}

class Carrier {
  readonly #entry: CarrierEntry;
  readonly #doors: LineDoors & { readonly environment: Environment };
  readonly #stopping = new AbortController();
  readonly #lines = new Set<GuestLine>();
  readonly #served = new Set<Promise<void>>();
  #server: net.Server | undefined;
  #socket: PlacedSocket | undefined;
  #reason: Reason | undefined;
  #sessions = 0;
  #garbageBytes = 0;
  #refused = 0;

  constructor(entry: CarrierEntry, doors: LineDoors & { readonly environment: Environment }) {
    this.#entry = entry;
    this.#doors = doors;
  }

  async start(): Promise<void> {
    const { listen, connect, folderMode } = this.#entry;
    const { environment } = this.#doors;
    if (connect !== undefined) {
      const trying = keepTrying((signal) => this.#connectTo(connect, signal), {
        environment,
        signal: this.#stopping.signal,
        onFault: (error) => (this.#reason = reasonOf(error)),
        ...RETRY,
      });
      this.#served.add(trying);
    }
    if (listen !== undefined) {
      this.#server = net.createServer((socket) => this.#accept(socket));
      const place = { path: listen, folderMode: FOLDER_MODES[folderMode] };
      this.#socket = await listenOnUnixSocket(this.#server, place, environment);
      // File descriptors ran out; the rest carries on.
      this.#server.on('error', () => (this.#refused += 1));
    }
  }

  status(): CarrierStatus {
    const lines = [...this.#lines];
    const sum = (of: (line: GuestLine) => number): number =>
      lines.reduce((total, line) => total + of(line), 0);
    return {
      name: this.#entry.name,
      lines: lines.length,
      sessions: this.#sessions + sum(({ sessions }) => sessions),
      garbageBytes: this.#garbageBytes + sum(({ garbageBytes }) => garbageBytes),
      refused: this.#refused,
      ...(this.#reason && lines.length === 0 && { reason: this.#reason }),
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const server = this.#server;
    const closed =
      server?.listening === true
        ? new Promise((resolve) => {
            server.close(resolve);
          })
        : undefined;
    await Promise.all([closed, ...this.#served]);
    await this.#socket?.remove();
  }

  #accept(socket: net.Socket): void {
    if (this.#lines.size >= this.#entry.maxLines) {
      this.#refused += 1;
      socket.destroy();
      return;
    }
    const served = this.#serve(socket, this.#stopping.signal);
    this.#served.add(served);
    void served.then(() => this.#served.delete(served));
  }

  async #connectTo(path: string, signal: AbortSignal): Promise<void> {
    const socket = this.#doors.environment.connect({ path });
    await new Promise<void>((resolve, reject) => {
      const abandon = (): void => void socket.destroy();
      signal.addEventListener('abort', abandon, { once: true });
      socket.once('close', () => {
        signal.removeEventListener('abort', abandon);
        resolve();
      });
      socket.once('error', (error) => reject(upstreamError(error, path, 'connect')));
      socket.once('connect', resolve);
    });
    if (!socket.destroyed) await this.#serve(socket, signal);
  }

  async #serve(socket: Duplex, signal: AbortSignal): Promise<void> {
    const line = new GuestLine(socket, this.#doors);
    this.#reason = undefined;
    this.#lines.add(line);
    await line.serve(signal);
    this.#lines.delete(line);
    this.#sessions += line.sessions;
    this.#garbageBytes += line.garbageBytes;
  }
}
