import type { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity } from '../identity/roles.js';
import type { HttpExchange } from './exchange.js';

/** How long each stage of a connection may take. */
export interface ConnectionTimeouts {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly writeTimeoutMs: number;
}

/** Why a connection has to be cut. */
export type Overdue = 'headersTimeout' | 'requestTimeout' | 'writeTimeout' | 'expired';

/**
 * One connection whose handshake is done: who is there, what is being asked, and what it is waiting for.
 *
 * node:http's own header and request timeouts run only in a server that listens; ours serves any Duplex, so they live here.
 */
export class Connection {
  readonly socket: TLSSocket;
  readonly exchanges = new Set<HttpExchange>();
  /** Serves no further request: the listener stops, or this peer was let in by a CA that is no longer ours. */
  retired = false;
  /** Made when all connections were taken: it is told so and closed. Those already there are not disturbed. */
  readonly excess: boolean;
  readonly #peer: PeerIdentity | LamplighterError;
  readonly #expiresMs: number;
  #headersSinceMs: number | undefined = performance.now();
  #idleBytesRead = 0;

  constructor(socket: TLSSocket, excess: boolean) {
    this.socket = socket;
    this.excess = excess;
    if (!socket.authorized) {
      this.#expiresMs = Infinity;
      this.#peer = new LamplighterError('ERR_NO_CERTIFICATE', 'a certificate of the private CA is needed');
      return;
    }
    // Not getPeerX509Certificate: it copies the whole chain, which takes 100 µs on Node 20; this takes 20.
    const certificate = socket.getPeerCertificate();
    const { subjectaltname: subjectAltName, fingerprint256, serialNumber, valid_to: validTo } = certificate;
    this.#expiresMs = Date.parse(validTo);
    try {
      this.#peer = identityOfCertificate({ subjectAltName, fingerprint256, serialNumber });
    } catch (error) {
      if (!(error instanceof LamplighterError)) throw error;
      this.#peer = error;
    }
  }

  /** @throws LamplighterError ERR_NO_CERTIFICATE or ERR_CERTIFICATE_IDENTITY when nobody known is there */
  get peer(): PeerIdentity {
    if (this.#peer instanceof LamplighterError) throw this.#peer;
    return this.#peer;
  }

  /** A request's headers are here. */
  began(exchange: HttpExchange): void {
    this.#headersSinceMs = undefined;
    this.exchanges.add(exchange);
  }

  /** The last byte of an answer has been handed over, or the client is gone. */
  finished(exchange: HttpExchange): void {
    this.exchanges.delete(exchange);
    if (this.exchanges.size > 0) return;
    this.#idleBytesRead = this.socket.bytesRead;
    if (this.retired) this.socket.destroySoon();
  }

  /** Cuts idle connections and endless answers now; lets short ones finish, then closes. */
  retire(reason: LamplighterError): void {
    this.retired = true;
    for (const exchange of this.exchanges) if (exchange.streaming) exchange.cut(reason);
    if (this.exchanges.size === 0) this.socket.destroy();
  }

  /** Ends everything at once. */
  destroy(reason: LamplighterError): void {
    for (const exchange of this.exchanges) exchange.cut(reason);
    this.socket.destroy();
  }

  /**
   * What has taken too long by now, if anything. Called again and again.
   * @param nowMs - monotonic milliseconds (performance.now)
   * @param realtimeMs - milliseconds since 1970, against which the peer's certificate expires
   */
  overdue(nowMs: number, realtimeMs: number, timeouts: ConnectionTimeouts): Overdue | undefined {
    if (realtimeMs >= this.#expiresMs) return 'expired';
    for (const { waiting } of this.exchanges) {
      const waitedMs = nowMs - waiting.sinceMs;
      if (waiting.what === 'body' && waitedMs > timeouts.requestTimeoutMs) return 'requestTimeout';
      if (waiting.what === 'write' && waitedMs > timeouts.writeTimeoutMs) return 'writeTimeout';
    }
    if (this.exchanges.size > 0) return undefined;
    // Idle until the first byte of another request is here; from then on its headers are due.
    if (this.#headersSinceMs === undefined && this.socket.bytesRead !== this.#idleBytesRead) {
      this.#headersSinceMs = nowMs;
    }
    const waitedMs = nowMs - (this.#headersSinceMs ?? nowMs);
    return waitedMs > timeouts.headersTimeoutMs ? 'headersTimeout' : undefined;
  }
}
