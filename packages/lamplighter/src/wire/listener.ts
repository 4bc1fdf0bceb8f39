import type { Server } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import { Connection } from './connection.js';
import { cutDuplex } from './cut.js';
import type { Gate } from './gate.js';
import { Handshakes } from './handshakes.js';
import { type Access, type ListenerMaterial, httpServer, serverContext, trusted } from './listener-access.js';
import { LISTENER_LIMITS, type ListenerLimits, type RefusedReason } from './listener-limits.js';
import { Refusals, failedHandshake } from './refusals.js';
import { Requests } from './requests.js';
import type { Route } from './route.js';
import { Router } from './router.js';
import type { ListenerStatus } from './status.js';
import { listenTcp } from './tcp-listen.js';
import { WaitingLine } from './waiting-line.js';

export type { Exchange, ResponseStream, Route } from './route.js';
export type { Access, ListenerMaterial } from './listener-access.js';
export type { ListenerLimits, RefusedReason } from './listener-limits.js';

/** Connections beyond `maxConnections` that are still told why, before they are simply dropped. */
const EXCESS_CONNECTIONS = 64;

export interface ListenerOptions extends Partial<ListenerLimits> {
  /** Who gets through to the routes; `mutual` unless told. */
  readonly access?: Access;
  /** Asked about every connection and request of a mutual listener; without it every known peer may do everything. */
  readonly gate?: Gate;
  /** Hears what a route threw that is no answer to the peer: a fault of our own. */
  readonly onError?: (error: unknown, route: Route | undefined) => void;
  /** Called before every request is looked at; it may cut the connection. */
  readonly before?: () => void;
}

/**
 * TLS 1.3 and HTTP/1.1 over TCP or any other Duplex; outlets register their routes on it.
 *
 * Source: DESIGN section 8. Unless told otherwise every client needs a certificate of the private CA; who it is is read
 * from the certificate, and its role is checked on every request. No session is ever resumed. Everything a client can make
 * long has a bound, whatever the access.
 */
export class Listener {
  readonly #access: Access;
  readonly #gate: Gate | undefined;
  readonly #limits: ListenerLimits;
  readonly #http: Server;
  readonly #servers = new Set<net.Server>();
  readonly #router: Router;
  readonly #connections = new Map<Duplex, Connection>();
  /** Everything accepted and not yet closed. */
  readonly #raw = new Set<Duplex>();
  readonly #handshakes: Handshakes;
  readonly #refusals = new Refusals();
  readonly #requests: Requests;
  #handshakesDone = 0;
  /** Connections that are served, and those that are told that they are too many. */
  readonly #maxTold: number;
  #ca: Buffer | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  #lastConnectionGone: (() => void) | undefined;

  /**
   * @param tls - undefined for access `plain`, and only there
   * @throws TypeError when material and gate are not what the access needs
   * @throws Error from OpenSSL when the material is unusable; `loadTlsFiles` has checked it
   */
  constructor(tls: ListenerMaterial | undefined, options: ListenerOptions = {}) {
    const { onError = () => {}, before = () => {}, access = 'mutual', gate, ...limits } = options;
    const hooks = { onError, before };
    if (gate !== undefined && access !== 'mutual') throw new TypeError('a gate knows peers by certificate');
    this.#access = access;
    this.#gate = gate;
    this.#limits = { ...LISTENER_LIMITS, ...limits };
    this.#maxTold = this.#limits.maxConnections + EXCESS_CONNECTIONS;
    this.#ca = tls && trusted(access, tls);
    this.#router = new Router(access === 'mutual');
    this.#http = httpServer(access, tls, this.#limits);
    this.#handshakes = new Handshakes(this.#limits, {
      begin: (socket) => void this.#http.emit('connection', socket),
      refuse: (reason) => this.#refusals.add(reason),
      hasRoom: () => this.#connections.size + this.#handshakes.begun < this.#maxTold,
    });
    this.#http.on('tlsClientError', (error: Error, socket: TLSSocket) =>
      this.#refusals.add(failedHandshake(error, socket)),
    );
    const opened = access === 'plain' ? 'connection' : 'secureConnection';
    this.#http.prependListener(opened, (socket: net.Socket) => this.#opened(socket));
    this.#requests = new Requests(this.#connections, this.#router, this.#refusals, hooks, this.#limits);
    this.#requests.serve(this.#http);
  }

  /** Connections whose handshake is done. */
  get connections(): number {
    return this.#connections.size;
  }

  /** How often what was refused since the start. */
  get refused(): Readonly<Record<RefusedReason, number>> {
    return this.#refusals.counts();
  }

  /** Who is there, who waits, who was turned away. */
  status(): ListenerStatus {
    const { begun, waiting, silent } = this.#handshakes;
    return {
      connections: this.connections,
      handshakes: { done: this.#handshakesDone, begun, waiting, silent },
      queued: this.#requests.queued,
      refused: this.refused,
    };
  }

  /**
   * Serves a route from now on.
   * @returns the way to take it off again; exchanges under way are not touched
   * @throws RangeError when method and path are taken, or the path does not begin with a slash
   */
  route(route: Route): { remove(): void } {
    return this.#router.add(route);
  }

  /**
   * Listens on TCP; may be called for several addresses.
   * @param address - port 0 lets the system choose
   * @returns the address really bound
   * @throws LamplighterError ERR_PORT_IN_USE, ERR_LISTEN; ERR_STOPPED after `stop`
   */
  async listen(address: { host: string; port: number }): Promise<{ host: string; port: number }> {
    if (this.#stopped !== undefined) throw new LamplighterError('ERR_STOPPED', 'the listener was stopped');
    const { server, bound } = await listenTcp(
      address,
      (socket) => this.accept(socket),
      () => this.#refusals.add('tooManyConnections'),
    );
    if (this.#stopped !== undefined) {
      server.close();
      throw new LamplighterError('ERR_STOPPED', 'the listener was stopped');
    }
    this.#servers.add(server);
    return bound;
  }

  /**
   * Serves TLS and HTTP/1.1 over a connection that came some other way. It is destroyed when the exchange is over.
   * @throws TypeError without TLS when it is not TCP
   */
  accept(duplex: Duplex): void {
    if (this.#access === 'plain' && !(duplex instanceof net.Socket)) throw new TypeError('plain is over TCP');
    duplex.on('error', () => {});
    if (this.#stopped !== undefined) {
      duplex.destroy();
      return;
    }
    this.#raw.add(duplex);
    duplex.on('close', () => this.#raw.delete(duplex));
    if (duplex instanceof net.Socket && this.#access !== 'plain') this.#handshakes.offer(duplex);
    else this.#http.emit('connection', duplex);
  }

  /**
   * Uses other material for handshakes from now on. Under the same CA nothing else changes: connections already made end
   * at the latest when their client's certificate expires. When the CA's file changed, every connection was let in by
   * what may no longer be trusted: endless answers and idle connections end now, short answers finish and close.
   * @throws Error from OpenSSL when the material is unusable; the old one stays in use
   */
  replaceTls(tls: ListenerMaterial): void {
    const context = serverContext(this.#access, tls);
    if (this.#http instanceof https.Server) this.#http.setSecureContext(context);
    const ca = trusted(this.#access, tls);
    if (ca === this.#ca || (ca !== undefined && this.#ca?.equals(ca) === true)) return;
    this.#ca = ca;
    const reason = new LamplighterError('ERR_STOPPED', 'the CA was replaced: connect again');
    for (const connection of this.#connections.values()) connection.retire(reason);
    this.#handshakes.destroy();
  }

  /**
   * Destroys the connections of some peers at once, open streams too, without another byte. A handshake under way is the
   * gate's affair: it ends with {@link Gate.open}.
   * @param reason - what the routes that serve them are told
   * @returns how many there were
   */
  destroyPeers(which: (peer: PeerIdentity) => boolean, reason: LamplighterError): number {
    const theirs = [...this.#connections.values()].filter((connection) => connection.isOf(which));
    for (const connection of theirs) {
      // The socket first: what ends an open stream then finds nothing left to write to.
      connection.socket.destroy();
      connection.destroy(reason);
    }
    return theirs.length;
  }

  /**
   * Destroys every connection, also those in their handshake, without writing another byte; goes on accepting new ones.
   *
   * Source: DESIGN 6.4, step 1 of a resume.
   * @returns how many connections there were
   */
  cut(): number {
    const raw = [...this.#raw];
    // The carriers first: what is told of its end below finds nothing left to write to.
    for (const duplex of raw) cutDuplex(duplex);
    const reason = new LamplighterError('ERR_STOPPED', 'this machine was resumed: connect again');
    for (const connection of this.#connections.values()) {
      connection.socket.destroy();
      connection.destroy(reason);
    }
    return raw.length;
  }

  /**
   * Stops accepting, ends endless answers and idle connections at once, lets short answers finish until the deadline, then
   * destroys what is left. Idempotent; nothing is left behind.
   * @param deadlineMs - monotonic milliseconds from now
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const reason = new LamplighterError('ERR_STOPPED', 'the listener was stopped');
    const closed = [...this.#servers].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    this.#handshakes.destroy();
    for (const connection of this.#connections.values()) connection.retire(reason);
    const deadline = setTimeout(() => {
      for (const connection of this.#connections.values()) connection.destroy(reason);
    }, deadlineMs);
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#lastConnectionGone = resolve;
      });
    }
    clearTimeout(deadline);
    clearInterval(this.#sweep);
    for (const duplex of this.#raw) duplex.destroy();
    await Promise.all(closed);
  }

  #opened(socket: net.Socket): void {
    this.#handshakes.done(socket);
    this.#handshakesDone += 1;
    const full = this.#connections.size >= this.#maxTold;
    if (this.#stopped !== undefined || full) {
      if (full) this.#refusals.add('tooManyConnections');
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#access);
    if (this.#access !== 'mutual') this.#makeRoomFor(connection);
    if (this.#connections.size >= this.#limits.maxConnections) {
      // It is told so and closed. Those already there are not disturbed.
      connection.refusal = new LamplighterError('ERR_TOO_MANY_CONNECTIONS', 'all connections are taken');
    } else if (this.#gate !== undefined) connection.enter(this.#gate);
    this.#connections.set(socket, connection);
    socket.on('close', () => {
      this.#connections.delete(socket);
      connection.left();
      this.#handshakes.proceed();
      if (this.#connections.size > 0) return;
      clearInterval(this.#sweep);
      this.#sweep = undefined;
      this.#lastConnectionGone?.();
    });
    this.#sweep ??= setInterval(
      () => this.#cutOverdue(),
      Math.min(this.#limits.headersTimeoutMs / 4, 1_000),
    ).unref();
  }

  /** Where nobody is known no gate counts: when all is taken, who has the most gives up an idle connection for who has less. */
  #makeRoomFor({ group }: Connection): void {
    if (this.#connections.size < this.#limits.maxConnections) return;
    const line = new WaitingLine<Connection>();
    for (const connection of this.#connections.values()) line.add(connection);
    const most = line.longest();
    if (most.size <= line.sizeOf(group) + 1) return;
    const idle = [...most].find(({ exchanges }) => exchanges.size === 0);
    if (idle === undefined) return;
    this.#refusals.add('tooManyConnections');
    this.#connections.delete(idle.socket);
    idle.destroy(new LamplighterError('ERR_STOPPED', 'the connection was idle and its place was needed'));
  }

  #cutOverdue(): void {
    const nowMs = performance.now();
    const realtimeMs = Date.now();
    for (const connection of this.#connections.values()) {
      const overdue = connection.overdue(nowMs, realtimeMs, this.#limits);
      if (overdue === undefined) continue;
      this.#refusals.add(overdue);
      connection.destroy(new LamplighterError('ERR_STOPPED', `the connection was cut: ${overdue}`));
    }
  }
}
