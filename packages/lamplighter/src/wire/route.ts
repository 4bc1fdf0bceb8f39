import type { IncomingHttpHeaders } from 'node:http';
import type { PeerIdentity, Role } from '../identity/roles.js';
import type { Spending } from './gate.js';

/** One request, verified and allowed by its route, and the way to answer it. */
export interface Exchange {
  /** Who asks. @throws TypeError on a listener that knows nobody */
  readonly peer: PeerIdentity;
  /** Where the client is, an IPv4 or IPv6 address; undefined for other carriers than TCP. */
  readonly remoteAddress: string | undefined;
  readonly method: string;
  /** As it was asked for, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The request target as it came, query included, one character a byte: escapes may be bad, and bytes need not be UTF-8. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  /** The whole body, at most the route's `maxBodyBytes`. */
  readonly body: Uint8Array;
  /** Aborted when the client is gone or the listener cuts the exchange; the reason is a LamplighterError. */
  readonly signal: AbortSignal;
  /**
   * Answers once, whole; does nothing when the client is gone.
   * @param headers - lower-case names; content-length and cache-control are added
   * @throws TypeError when there is an answer already
   */
  reply(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): void;
  /**
   * Begins an endless answer: status 200, headers flushed at once.
   * @throws TypeError when there is an answer already
   */
  stream(headers: Readonly<Record<string, string>>): ResponseStream;
  /**
   * Takes from the peer's budget; without a gate there is none.
   * @param amount - beacons, or bytes
   * @throws LamplighterError ERR_QUOTA with `retryAfterMs`; nothing is taken then
   */
  spend(what: Spending, amount: number): void;
  /**
   * Bytes that only the two ends of this TLS connection can know (RFC 8446, 7.5), without a context value.
   * @throws TypeError on a listener without TLS
   */
  exportKeyingMaterial(lengthBytes: number, label: string): Uint8Array;
}

/** An endless answer. It outlives `handle` and lasts until `end()` or until the exchange's signal is aborted. */
export interface ResponseStream {
  /**
   * Resolves when the socket took the bytes, which may then be wiped; rejects with ERR_STOPPED when the client is gone.
   * One write at a time is how a slow reader holds its writer back.
   */
  write(bytes: Uint8Array): Promise<void>;
  end(): void;
}

/** One method at one path. */
export interface Route {
  /** `ANY`: every method that no other route at this path has. */
  readonly method: 'GET' | 'POST' | 'ANY';
  /** Matched exactly, without the query; `*`: every path that no other route has. */
  readonly path: string;
  /** Who may ask; everybody else gets 403 ERR_ROLE. `anyone` where nobody is known, and only there. */
  readonly roles: readonly Role[] | 'anyone';
  /** A longer body is 413 ERR_BODY_TOO_LARGE. */
  readonly maxBodyBytes: number;
  /**
   * Answers one request; it must have called `reply` or `stream` when it returns undefined or resolves. A LamplighterError
   * becomes its problem response, anything else 500 ERR_INTERNAL.
   */
  handle(exchange: Exchange): Promise<void> | undefined;
}

/** A request's target without its query. */
export function pathOf(url = ''): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}

/** The query of a request's target. */
export function queryOf(url = ''): URLSearchParams {
  const mark = url.indexOf('?');
  return new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
}
