import type { TLSSocket } from 'node:tls';
import { LamplighterError, type ErrorCode } from '@lamplighter/core';
import { REFUSED_REASONS, type RefusedReason } from './listener-limits.js';

/** The answers that a listener counts, by their code. Others are a route's own affair. */
const COUNTED: Partial<Record<ErrorCode, RefusedReason>> = {
  ERR_ROLE: 'role',
  ERR_NO_CERTIFICATE: 'identity',
  ERR_CERTIFICATE_IDENTITY: 'identity',
  ERR_TOO_MANY_CONNECTIONS: 'tooManyConnections',
  ERR_REVOKED: 'revoked',
  ERR_QUOTA: 'quota',
  ERR_OVERLOADED: 'overloaded',
};

/** After these the connection closes: asking again on it would be answered the same. */
const FINAL: readonly RefusedReason[] = ['identity', 'tooManyConnections', 'revoked'];

/** How often what was refused since the start. */
export class Refusals {
  readonly #counts = new Map<RefusedReason, number>(REFUSED_REASONS.map((reason) => [reason, 0]));

  add(reason: RefusedReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  /**
   * Counts what a request was answered with, if it is one of ours.
   * @returns whether the connection has to close after it
   */
  addAnswer(error: unknown): boolean {
    const reason = error instanceof LamplighterError ? COUNTED[error.code] : undefined;
    if (reason === undefined) return false;
    this.add(reason);
    return FINAL.includes(reason);
  }

  counts(): Readonly<Record<RefusedReason, number>> {
    return Object.fromEntries(this.#counts) as Record<RefusedReason, number>;
  }
}

/** Why a handshake failed. */
export function failedHandshake(error: Error, socket: TLSSocket): RefusedReason {
  const code = 'code' in error ? error.code : undefined;
  // Node's types promise an Error; what is there is the code of the failed verification, or null.
  const unverified: unknown = socket.authorizationError;
  if (unverified !== null && unverified !== undefined) return 'certificate';
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') return 'noCertificate';
  return code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'handshakeTimeout' : 'handshake';
}
