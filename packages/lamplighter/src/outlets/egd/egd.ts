import { BlockList, type Server, type Socket, createServer, isIP } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import type { Endpoint, Environment } from '../../local/environment.js';
import type { Stream } from '../../local/stream.js';
import { MAX_EGD_LENGTH_BYTES } from '../../wire/egd.js';
import { egdAddressText, parseEgdAddress } from '../../wire/egd-address.js';
import { listenError } from '../../wire/listen-error.js';
import type { OutletReport } from '../../wire/status.js';
import type { Outlet, OutletContext } from '../outlet.js';
import { ByteBudget } from './byte-budget.js';
import { type EgdCounts, EgdConnection, type EgdServices } from './connection.js';
import { type PeerDoor, type PeerList, isOnList, refuseUnlessCheckable, systemPeerDoor } from './peer.js';
import { Seeded } from './seeded.js';
import { type PlacedSocket, listenOnUnixSocket } from './unix-socket.js';

/** Bounds of an EGD outlet; each may be configured. */
export const EGD_LIMITS = {
  /** Clients at once. QEMU keeps one for every guest. */
  maxConnections: 512,
  /** For one client, and the most it gets in one go. A guest's /dev/hwrng reads some 64 bytes every few seconds. */
  bytesPerSecond: 256 * 1024,
  /** For all together, and the most that is given in one go: some 8,000 answers a second. */
  totalBytesPerSecond: 2 * 1024 * 1024,
} as const;

/** A budget must be able to hold the largest answer. */
const LEAST_BYTES_PER_SECOND = 256;

/** Whatever else a folder lets in is refused anyhow. */
export const FOLDER_MODES = { '0700': 0o700, '0750': 0o750 } as const;

/** How an EGD outlet is configured. */
export interface EgdOutletOptions {
  readonly name: string;
  readonly environment: Environment;
  /** `unix:/path/to/socket`, or `tcp:127.0.0.1:port`: an address of the loopback, nothing else. */
  readonly listen: string;
  /** Of the socket's folder, if it has to be made: 0o700 unless told, or 0o750. */
  readonly folderMode?: number;
  /** Who may ask, by number; needs the addon. Nobody else may then. Absent or both empty: whoever reaches the socket. */
  readonly uids?: readonly number[];
  readonly gids?: readonly number[];
  readonly maxConnections?: number;
  readonly bytesPerSecond?: number;
  readonly totalBytesPerSecond?: number;
  /**
   * Sent to whoever connects before it asks, 0..255; 0 unless told. For a socket that only QEMU uses, 64: its rng-egd never asks
   * again for what it asked while nobody was there, and its guest would wait for ever; it takes these bytes for that answer.
   * Without such a request they lie in the kernel's socket buffer until the guest asks: made ahead, which nothing else is.
   */
  readonly unaskedBytes?: number;
  readonly peers?: PeerDoor;
}

/**
 * An EGD server for local programs and for QEMU's virtio-rng: any client gets bytes of a stream of its own.
 *
 * Source: DESIGN section 8. It listens before the node is seeded, so that guests can start: what must wait then waits, with
 * its connection open. Over its budget a client waits too; it is never told an error, and never closed while bytes are
 * owed. What clients push in is mixed and never credited.
 * @throws LamplighterError ERR_CONFIG for an address that is none, TCP beyond the loopback, or a list of users for TCP
 * @throws RangeError for a budget that could not pay for one answer, or another folder mode
 */
export function egdOutlet(options: EgdOutletOptions): Outlet {
  return new EgdOutlet(options);
}

class EgdOutlet implements Outlet {
  readonly name: string;
  readonly kind = 'egd';
  readonly #environment: Environment;
  readonly #endpoint: Endpoint;
  readonly #folderMode: number;
  readonly #list: PeerList | undefined;
  readonly #door: PeerDoor;
  readonly #maxConnections: number;
  readonly #bytesPerSecond: number;
  readonly #totalBytesPerSecond: number;
  readonly #unaskedBytes: number;
  readonly #stopping = new AbortController();
  readonly #connections = new Set<EgdConnection>();
  readonly #counts: EgdCounts = {
    bytes: 0,
    requests: 0,
    inputs: 0,
    inputBytes: 0,
    protocolErrors: 0,
    failures: 0,
  };
  #accepted = 0;
  #refusedConnections = 0;
  #refusedPeers = 0;
  #context: OutletContext | undefined;
  #services: (EgdServices & { readonly seeded: Seeded }) | undefined;
  /** For the next client: it is keyed at its first read, not now. */
  #spare: Stream | undefined;
  #server: Server | undefined;
  #placed: PlacedSocket | undefined;
  #listening: string;
  #stopped: Promise<void> | undefined;

  constructor(options: EgdOutletOptions) {
    this.name = options.name;
    this.#environment = options.environment;
    this.#endpoint = parseEgdAddress(options.listen);
    this.#listening = egdAddressText(this.#endpoint);
    this.#folderMode = options.folderMode ?? 0o700;
    if (!Object.values<number>(FOLDER_MODES).includes(this.#folderMode))
      throw new RangeError('the folder has mode 0700 or 0750');
    this.#door = options.peers ?? systemPeerDoor;
    const { uids = [], gids = [] } = options;
    if (uids.length + gids.length > 0) this.#list = { uids, gids };
    this.#maxConnections = options.maxConnections ?? EGD_LIMITS.maxConnections;
    this.#bytesPerSecond = options.bytesPerSecond ?? EGD_LIMITS.bytesPerSecond;
    this.#totalBytesPerSecond = options.totalBytesPerSecond ?? EGD_LIMITS.totalBytesPerSecond;
    if (Math.min(this.#bytesPerSecond, this.#totalBytesPerSecond) < LEAST_BYTES_PER_SECOND) {
      throw new RangeError(`a budget is at least ${LEAST_BYTES_PER_SECOND} bytes a second`);
    }
    this.#unaskedBytes = options.unaskedBytes ?? 0;
    if (
      !Number.isInteger(this.#unaskedBytes) ||
      this.#unaskedBytes < 0 ||
      this.#unaskedBytes > MAX_EGD_LENGTH_BYTES
    )
      throw new RangeError(`unasked are 0 to ${MAX_EGD_LENGTH_BYTES} bytes`);
    refuseUnlessLocal(this.#endpoint, this.#list);
  }

  async start(context: OutletContext, signal: AbortSignal): Promise<void> {
    if (this.#list !== undefined) refuseUnlessCheckable(this.#door);
    this.#context = context;
    this.#services = {
      environment: this.#environment,
      seeded: new Seeded(context.ready()),
      total: new ByteBudget(this.#totalBytesPerSecond, this.#environment),
      counts: this.#counts,
      unaskedBytes: this.#unaskedBytes,
      hear: (bytes) => context.hear(bytes),
    };
    this.#spare = context.stream('client-1');
    await this.#listen();
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: this.#stopping.signal });
    if (signal.aborted) await this.stop(0);
  }

  status(): OutletReport {
    const { bytes, ...counts } = this.#counts;
    return {
      state: this.#outletState(),
      bytes,
      details: {
        listen: this.#listening,
        protection: this.#protection(),
        connections: this.#connections.size,
        maxConnections: this.#maxConnections,
        accepted: this.#accepted,
        refusedConnections: this.#refusedConnections,
        refusedPeers: this.#refusedPeers,
        overBudget: this.#services?.total.waiting ?? 0,
        ...counts,
        inputCreditBits: 0,
        unaskedBytes: this.#unaskedBytes,
      },
    };
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop();
    const overdue = this.#environment.timers.after(deadlineMs, () => this.#cut());
    if (deadlineMs <= 0) this.#cut();
    return this.#stopped.finally(() => overdue.cancel());
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    // Nobody finds it any more; whoever is already in the queue is let in and answered.
    await this.#placed?.remove().catch(() => (this.#counts.failures += 1));
    for (let turn = 0; turn < 2; turn += 1) await this.#environment.timers.turn();
    this.#server?.close();
    this.#services?.seeded.fail(new LamplighterError('ERR_STOPPED', 'the outlet is stopped'));
    // QEMU never asks again for what it did not get: what is owed is paid now, one answer a client and turn.
    this.#services?.total.lift();
    for (const connection of this.#connections) connection.drain();
    await Promise.all([...this.#connections].map(({ done }) => done));
    this.#spare?.close();
  }

  #cut(): void {
    for (const connection of this.#connections) connection.cut();
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket));
    const endpoint = this.#endpoint;
    if ('path' in endpoint) {
      const { path } = endpoint;
      this.#placed = await listenOnUnixSocket(
        server,
        { path, folderMode: this.#folderMode },
        this.#environment,
      );
    } else {
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error) => reject(listenError(error, endpoint)));
        server.listen({ ...endpoint, exclusive: true }, resolve);
      });
      const bound = server.address();
      if (bound !== null && typeof bound === 'object') {
        this.#listening = egdAddressText({ host: bound.address, port: bound.port });
      }
    }
    // Out of file descriptors, most likely: the system has dropped one connection, the rest carries on.
    server.on('error', () => (this.#refusedConnections += 1));
    this.#server = server;
  }

  #accept(socket: Socket): void {
    const { context, services, spare } = {
      context: this.#context,
      services: this.#services,
      spare: this.#spare,
    };
    if (context === undefined || services === undefined || spare === undefined) {
      throw new TypeError('a client before start');
    }
    if (this.#list !== undefined && !isOnList(socket, this.#list, this.#door)) {
      this.#refusedPeers += 1;
      socket.destroy();
      return;
    }
    if (this.#connections.size >= this.#maxConnections) {
      this.#refusedConnections += 1;
      socket.destroy();
      return;
    }
    this.#accepted += 1;
    this.#spare = context.stream(`client-${this.#accepted + 1}`);
    const budget = new ByteBudget(this.#bytesPerSecond, this.#environment);
    const connection = new EgdConnection(socket, spare, budget, services);
    this.#connections.add(connection);
    void connection.done.then(() => this.#connections.delete(connection));
  }

  #outletState(): OutletReport['state'] {
    if (this.#stopped !== undefined) return 'stopped';
    return this.#services?.seeded.now === true ? 'ok' : 'waiting';
  }

  #protection(): string {
    if (!('path' in this.#endpoint)) return 'none: every process of this machine may ask';
    return this.#list === undefined ? 'the folder alone' : 'the folder and a list of users';
  }
}

/** @throws LamplighterError ERR_CONFIG */
function refuseUnlessLocal(endpoint: Endpoint, list: PeerList | undefined): void {
  if ('path' in endpoint) return;
  if (!isLoopback(endpoint.host)) {
    throw new LamplighterError('ERR_CONFIG', `${endpoint.host} is not an address of the loopback`, {
      hint: 'EGD is in the clear and knows no identities: use 127.0.0.1, ::1 or a unix socket',
    });
  }
  if (list !== undefined) {
    throw new LamplighterError('ERR_CONFIG', 'uids and gids need a unix socket: TCP has no identity', {
      hint: 'listen on unix:/path, or remove uids and gids',
    });
  }
}

/** Numbers only: what a name like localhost means is up to files and servers. */
function isLoopback(host: string): boolean {
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
