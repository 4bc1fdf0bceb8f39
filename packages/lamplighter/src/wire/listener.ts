import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import type { TlsMaterial } from '../identity/tls-files.js';
import { Connection } from './connection.js';
import { cutDuplex } from './cut.js';
import { HttpExchange, type Route } from './exchange.js';
import {
  LISTENER_LIMITS,
  REFUSED_REASONS,
  type ListenerLimits,
  type RefusedReason,
} from './listener-limits.js';
import { listenError } from './listen-error.js';
import { problemOf, rawProblem } from './problem.js';
import { Router } from './router.js';
import { contextOptions } from './tls-context.js';

export type { Exchange, ResponseStream, Route } from './exchange.js';
export type { ListenerLimits, RefusedReason } from './listener-limits.js';

/** Connections beyond `maxConnections` that are still told why, before they are simply dropped. */
const EXCESS_CONNECTIONS = 64;
/** Requests a client may send ahead of the answers. Ours send none. */
const MAX_PIPELINED = 8;

export interface ListenerOptions extends Partial<ListenerLimits> {
  /** Hears what a route threw that is no answer to the peer: a fault of our own. */
  readonly onError?: (error: unknown, route: Route | undefined) => void;
  /** Called before every request is looked at; it may cut the connection. */
  readonly before?: () => void;
}

/**
 * Mutual TLS 1.3 and HTTP/1.1 over TCP or any other Duplex; outlets register their routes on it.
 *
 * Source: DESIGN section 8. Every client needs a certificate of the private CA; who it is is read from the certificate,
 * and its role is checked on every request. No session is ever resumed. Everything a client can make long has a bound.
 */
export class Listener {
  readonly #limits: ListenerLimits;
  readonly #onError: (error: unknown, route: Route | undefined) => void;
  readonly #before: () => void;
  readonly #https: https.Server;
  readonly #servers = new Set<net.Server>();
  readonly #router = new Router();
  readonly #connections = new Map<Duplex, Connection>();
  /** Everything accepted and not yet closed. */
  readonly #raw = new Set<Duplex>();
  /** TCP sockets in their handshake by both ends' addresses, the oldest first. */
  readonly #handshakes = new Map<string, net.Socket>();
  readonly #refused = new Map<RefusedReason, number>(REFUSED_REASONS.map((reason) => [reason, 0]));
  #ca: Buffer;
  #sweep: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  #lastConnectionGone: (() => void) | undefined;

  /** @throws Error from OpenSSL when the material is unusable; `loadTlsFiles` has checked it */
  constructor(tls: TlsMaterial, options: ListenerOptions = {}) {
    const { onError, before, ...limits } = options;
    this.#limits = { ...LISTENER_LIMITS, ...limits };
    this.#onError = onError ?? (() => {});
    this.#before = before ?? (() => {});
    this.#ca = tls.ca;
    this.#https = https.createServer({
      ...contextOptions(tls),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: this.#limits.handshakeTimeoutMs,
      keepAliveTimeout: this.#limits.idleTimeoutMs,
      maxHeaderSize: this.#limits.maxHeaderBytes,
      // We answer a missing Host ourselves: node's own answer carries no Cache-Control.
      requireHostHeader: false,
    });
    this.#https.on('tlsClientError', (error, socket) => this.#handshakeFailed(error, socket));
    this.#https.prependListener('secureConnection', (socket) => this.#secured(socket));
    this.#https.on('clientError', (error, socket) => this.#notHttp(error, socket));
    this.#https.on('request', (request, response) => void this.#serve(request, response, false));
    this.#https.on('checkContinue', (request, response) => void this.#serve(request, response, false));
    this.#https.on('checkExpectation', (request, response) => void this.#serve(request, response, true));
  }

  /** Connections whose handshake is done. */
  get connections(): number {
    return this.#connections.size;
  }

  /** How often what was refused since the start. */
  get refused(): Readonly<Record<RefusedReason, number>> {
    return Object.fromEntries(this.#refused) as Record<RefusedReason, number>;
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
    const server = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
    server.on('connection', (socket) => this.accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenError(error, address)));
      server.listen(address, resolve);
    });
    if (this.#stopped !== undefined) {
      server.close();
      throw new LamplighterError('ERR_STOPPED', 'the listener was stopped');
    }
    // Out of file descriptors, most likely: the system has dropped one connection, the rest carries on.
    server.on('error', () => this.#refuse('tooManyConnections'));
    this.#servers.add(server);
    const bound = server.address();
    return bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : address;
  }

  /** Serves TLS and HTTP/1.1 over a connection that came some other way. It is destroyed when the exchange is over. */
  accept(duplex: Duplex): void {
    duplex.on('error', () => {});
    if (this.#stopped !== undefined) {
      duplex.destroy();
      return;
    }
    this.#raw.add(duplex);
    const key = duplex instanceof net.Socket ? addresses(duplex) : undefined;
    if (duplex instanceof net.Socket && key !== undefined) this.#beginHandshake(key, duplex);
    duplex.on('close', () => {
      this.#raw.delete(duplex);
      if (key !== undefined && this.#handshakes.get(key) === duplex) this.#handshakes.delete(key);
    });
    this.#https.emit('connection', duplex);
  }

  /**
   * Uses other material for handshakes from now on. Under the same CA nothing else changes: connections already made end
   * at the latest when their client's certificate expires. When the CA's file changed, every connection was let in by
   * what may no longer be trusted: endless answers and idle connections end now, short answers finish and close.
   * @throws Error from OpenSSL when the material is unusable; the old one stays in use
   */
  replaceTls(tls: TlsMaterial): void {
    this.#https.setSecureContext(contextOptions(tls));
    if (this.#ca.equals(tls.ca)) return;
    this.#ca = tls.ca;
    const reason = new LamplighterError('ERR_STOPPED', 'the CA was replaced: connect again');
    for (const connection of this.#connections.values()) connection.retire(reason);
    for (const socket of this.#handshakes.values()) socket.destroy();
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
    for (const socket of this.#handshakes.values()) socket.destroy();
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

  #beginHandshake(key: string, socket: net.Socket): void {
    const [oldest] = this.#handshakes;
    if (oldest !== undefined && this.#handshakes.size >= this.#limits.maxHandshakes) {
      this.#handshakes.delete(oldest[0]);
      oldest[1].destroy();
      this.#refuse('tooManyHandshakes');
    }
    this.#handshakes.set(key, socket);
  }

  #handshakeFailed(error: Error, socket: TLSSocket): void {
    const code = 'code' in error ? error.code : undefined;
    // Node's types promise an Error; what is there is the code of the failed verification, or null.
    const unverified: unknown = socket.authorizationError;
    if (unverified !== null && unverified !== undefined) this.#refuse('certificate');
    else if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') this.#refuse('noCertificate');
    else if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') this.#refuse('handshakeTimeout');
    else this.#refuse('handshake');
  }

  #secured(socket: TLSSocket): void {
    const key = addresses(socket);
    if (key !== undefined) this.#handshakes.delete(key);
    const full = this.#connections.size >= this.#limits.maxConnections + EXCESS_CONNECTIONS;
    if (this.#stopped !== undefined || full) {
      if (full) this.#refuse('tooManyConnections');
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#connections.size >= this.#limits.maxConnections);
    this.#connections.set(socket, connection);
    socket.on('close', () => {
      this.#connections.delete(socket);
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

  #cutOverdue(): void {
    const nowMs = performance.now();
    const realtimeMs = Date.now();
    for (const connection of this.#connections.values()) {
      const overdue = connection.overdue(nowMs, realtimeMs, this.#limits);
      if (overdue === undefined) continue;
      this.#refuse(overdue);
      connection.destroy(new LamplighterError('ERR_STOPPED', `the connection was cut: ${overdue}`));
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse, oddExpectation: boolean): Promise<void> {
    this.#before();
    const connection = this.#connections.get(request.socket);
    // The parser hands over what it had read before the connection was destroyed.
    if (connection === undefined || request.socket.destroyed) return;
    if (connection.exchanges.size >= MAX_PIPELINED) {
      this.#refuse('pipelined');
      connection.destroy(new LamplighterError('ERR_STOPPED', 'too many requests ahead of their answers'));
      return;
    }
    const exchange = new HttpExchange(request, response, connection);
    connection.began(exchange);
    response.on('close', () => connection.finished(exchange));
    let route: Route | undefined;
    try {
      if (connection.excess) {
        throw new LamplighterError('ERR_TOO_MANY_CONNECTIONS', 'all connections are taken');
      }
      if (oddExpectation) throw new LamplighterError('ERR_BAD_REQUEST', 'only 100-continue can be expected');
      route = this.#router.routeFor(connection.peer, request);
      await exchange.readBody(route.maxBodyBytes);
      await route.handle(exchange);
      if (!exchange.answered) throw new Error(`${route.method} ${route.path} gave no answer`);
    } catch (error) {
      this.#fail(error, connection, exchange, request, route);
    }
  }

  #fail(
    error: unknown,
    connection: Connection,
    exchange: HttpExchange,
    request: IncomingMessage,
    route: Route | undefined,
  ): void {
    const code = error instanceof LamplighterError ? error.code : undefined;
    const headers: Record<string, string> = {};
    if (code === 'ERR_METHOD') headers['allow'] = this.#router.methodsFor(request).join(', ');
    if (code === 'ERR_ROLE') this.#refuse('role');
    if (code === 'ERR_NO_CERTIFICATE' || code === 'ERR_CERTIFICATE_IDENTITY') {
      this.#refuse('identity');
      connection.retired = true;
    }
    if (code === 'ERR_TOO_MANY_CONNECTIONS') {
      this.#refuse('tooManyConnections');
      connection.retired = true;
    }
    exchange.fail(error, headers);
    if (problemOf(error).status === 500) this.#onError(error, route);
  }

  /** What node's HTTP parser could not read, and every error of a socket. */
  #notHttp(error: Error, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    if (connection === undefined || !code.startsWith('HPE_')) {
      socket.destroy();
      return;
    }
    this.#refuse('badRequest');
    if (connection.exchanges.size === 0 && socket.writable) {
      const text = code === 'HPE_HEADER_OVERFLOW' ? 'the headers are too long' : 'this is not HTTP/1.1';
      socket.write(rawProblem(new LamplighterError('ERR_BAD_REQUEST', text)));
    }
    connection.socket.destroySoon();
  }

  #refuse(reason: RefusedReason): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1);
  }
}

/** Both ends' addresses: no two live TCP connections share them. Absent for other carriers, and once the peer is gone. */
function addresses(socket: net.Socket): string | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
