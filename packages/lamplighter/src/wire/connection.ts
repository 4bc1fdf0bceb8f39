import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity } from '../identity/roles.js';
import type { HttpExchange, Party } from './exchange.js';
import type { Gate, Spending } from './gate.js';
import type { Access } from './listener-access.js';
import { networkOf } from './network.js';

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
export class Connection implements Party {
  readonly socket: Socket;
  readonly exchanges = new Set<HttpExchange>();
  /** Where the client is; undefined for other carriers than TCP. */
  readonly remoteAddress: string | undefined;
  /** Whose share it counts against: role and name, or the network where nobody is known. */
  readonly group: string;
  /** Serves no further request: the listener stops, or this peer was let in by a CA that is no longer ours. */
  retired = false;
  /** What its first request is answered with; it closes after that. */
  refusal: unknown;
  /** Undefined where nobody is known. */
  readonly #peer: PeerIdentity | LamplighterError | undefined;
  readonly #expiresMs: number;
  #gate: Gate | undefined;
  #headersSinceMs: number | undefined = performance.now();
  #idleBytesRead = 0;
  /** While nothing is read. */
  #resting: { readonly timer: NodeJS.Timeout; readonly onEnd: () => void } | undefined;

  constructor(socket: Socket, access: Access) {
    this.socket = socket;
    // Asked now: it cannot be told any more once the client is gone.
    this.remoteAddress = socket.remoteAddress;
    const { peer, expiresMs } = socket instanceof TLSSocket ? holderOf(socket, access) : NOBODY;
    this.#peer = peer;
    this.#expiresMs = expiresMs;
    this.group =
      peer === undefined || peer instanceof LamplighterError
        ? networkOf(this.remoteAddress)
        : `${peer.role}/${peer.name}`;
  }

  /**
   * Who is there; undefined on a listener that knows nobody.
   * @throws LamplighterError ERR_NO_CERTIFICATE or ERR_CERTIFICATE_IDENTITY when it has to be known and is not
   */
  get identity(): PeerIdentity | undefined {
    if (this.#peer instanceof LamplighterError) throw this.#peer;
    return this.#peer;
  }

  /** @throws TypeError on a listener that knows nobody; see {@link Connection.identity} */
  get peer(): PeerIdentity {
    const { identity } = this;
    if (identity === undefined) throw new TypeError('this listener knows nobody');
    return identity;
  }

  /** Asks a gate to let the peer in; what it refuses with becomes the {@link Connection.refusal}. */
  enter(gate: Gate): void {
    if (this.#peer === undefined || this.#peer instanceof LamplighterError) return;
    try {
      gate.open(this.#peer);
      this.#gate = gate;
    } catch (error) {
      this.refusal = error;
    }
  }

  /**
   * Reads nothing more for a while; what is asked meanwhile waits at the client, or in the kernel. Answers go on, and a body
   * that is half here is read to its end first: then nothing rests.
   * @param forMs - at most so long; shorter than any deadline of the client's, so that it is read again before it gives up
   * @param onEnd - called once if it rests: when that is over, or the connection gone
   * @returns whether it rests now, and did not before
   */
  rest(forMs: number, onEnd: () => void): boolean {
    if (this.#resting !== undefined || this.socket.destroyed) return false;
    for (const { waiting } of this.exchanges) if (waiting.what === 'body') return false;
    this.socket.pause();
    this.#resting = { timer: setTimeout(() => this.wake(), forMs), onEnd };
    return true;
  }

  /** Reads on, if it rests. */
  wake(): void {
    if (this.#endRest()) this.socket.resume();
  }

  /** It is gone: tells the gate, and stops waiting for anything. */
  left(): void {
    this.#endRest();
    if (this.#gate !== undefined) this.#gate.close(this.peer);
    this.#gate = undefined;
  }

  /** Before a request is looked at. @throws LamplighterError what the gate says */
  admit(): void {
    this.#gate?.admit(this.peer);
  }

  spend(what: Spending, amount: number): void {
    this.#gate?.spend(this.peer, what, amount);
  }

  exportKeyingMaterial(lengthBytes: number, label: string): Uint8Array {
    if (!(this.socket instanceof TLSSocket)) throw new TypeError('this connection has no TLS');
    // In TLS 1.3 no context value and an empty one are the same.
    return this.socket.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0));
  }

  /** Whether a known peer is there of whom this is said. */
  isOf(which: (peer: PeerIdentity) => boolean): boolean {
    return this.#peer !== undefined && !(this.#peer instanceof LamplighterError) && which(this.#peer);
  }

  /** A request's headers are here. */
  began(exchange: HttpExchange): void {
    this.#headersSinceMs = undefined;
    this.exchanges.add(exchange);
  }

  /** The last byte of an answer has been handed over, or the client is gone. */
  finished(exchange: HttpExchange): void {
    this.exchanges.delete(exchange);
    // Node reads on when an answer is out whose request had no body.
    if (this.#resting !== undefined) this.socket.pause();
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
    if (this.exchanges.size > 0 || this.#resting !== undefined) return undefined;
    // Idle until the first byte of another request is here; from then on its headers are due.
    if (this.#headersSinceMs === undefined && this.socket.bytesRead !== this.#idleBytesRead) {
      this.#headersSinceMs = nowMs;
    }
    const waitedMs = nowMs - (this.#headersSinceMs ?? nowMs);
    return waitedMs > timeouts.headersTimeoutMs ? 'headersTimeout' : undefined;
  }

  /** @returns whether it rested */
  #endRest(): boolean {
    const resting = this.#resting;
    this.#resting = undefined;
    clearTimeout(resting?.timer);
    resting?.onEnd();
    return resting !== undefined;
  }
}

/** Who is there, and until when. */
interface Holder {
  readonly peer: PeerIdentity | LamplighterError | undefined;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

const NOBODY: Holder = { peer: undefined, expiresMs: Infinity };

function holderOf(socket: TLSSocket, access: Access): Holder {
  if (access === 'mutual' && !socket.authorized) {
    const error = new LamplighterError('ERR_NO_CERTIFICATE', 'a certificate of the private CA is needed');
    return { ...NOBODY, peer: error };
  }
  if (!socket.authorized) return NOBODY;
  // Not getPeerX509Certificate: it copies the whole chain, which takes 100 µs on Node 20; this takes 20.
  const certificate = socket.getPeerCertificate();
  const { subjectaltname: subjectAltName, fingerprint256, serialNumber, valid_to: validTo } = certificate;
  const expiresMs = Date.parse(validTo);
  if (access !== 'mutual') return { ...NOBODY, expiresMs };
  try {
    return { expiresMs, peer: identityOfCertificate({ subjectAltName, fingerprint256, serialNumber }) };
  } catch (error) {
    if (error instanceof LamplighterError) return { expiresMs, peer: error };
    throw error;
  }
}
