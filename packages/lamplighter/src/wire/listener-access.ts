import http from 'node:http';
import https from 'node:https';
import type { SecureContextOptions, TlsOptions } from 'node:tls';
import type { ListenerLimits } from './listener-limits.js';
import { contextOptions } from './tls-context.js';

/**
 * Who gets through to a listener's routes.
 *
 * - `mutual`: whoever holds a certificate of the private CA; who it is, is known. Everybody else fails in the handshake.
 * - `server`: whoever asks, or with `clientCa` whoever holds any certificate of that CA; nobody is known. TLS all the same.
 * - `plain`: whoever asks, over HTTP without TLS.
 */
export type Access = 'mutual' | 'server' | 'plain';

/** What a listener's end of TLS holds; `TlsMaterial` is one. */
export interface ListenerMaterial {
  /** The private CA that clients of a `mutual` listener are known by; of no meaning to others. */
  readonly ca?: Buffer;
  /** PEM, the leaf first; what follows is sent along, roots too. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** For `server` alone: clients need a certificate of this CA; whose it is makes no difference. */
  readonly clientCa?: Buffer;
  readonly requireHybrid?: boolean;
}

/**
 * The HTTP server behind a listener; it listens nowhere itself.
 * @throws TypeError when the material is not what the access needs; Error from OpenSSL when it is unusable
 */
export function httpServer(
  access: Access,
  tls: ListenerMaterial | undefined,
  limits: ListenerLimits,
): http.Server {
  const options: http.ServerOptions = {
    keepAliveTimeout: limits.idleTimeoutMs,
    maxHeaderSize: limits.maxHeaderBytes,
    // We answer a missing Host ourselves: node's own answer carries no Cache-Control.
    requireHostHeader: false,
  };
  if (tls === undefined) {
    if (access !== 'plain') throw new TypeError(`a listener of access ${access} needs a certificate`);
    return http.createServer(options);
  }
  const asked: TlsOptions =
    trusted(access, tls) === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
  return https.createServer({
    ...options,
    ...serverContext(access, tls),
    ...asked,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: limits.handshakeTimeoutMs,
  });
}

/**
 * What a listener's handshakes use.
 * @throws TypeError when the material is not what the access needs
 */
export function serverContext(access: Access, tls: ListenerMaterial): SecureContextOptions {
  const { ca, clientCa, ...own } = tls;
  if (access === 'plain') throw new TypeError('a listener without TLS has no use for a certificate');
  if (access === 'mutual' && ca === undefined) throw new TypeError('a mutual listener needs the CA');
  if (access === 'mutual' && clientCa !== undefined) throw new TypeError('clientCa is for access server');
  const trust = trusted(access, tls);
  return contextOptions({ ...own, ...(trust !== undefined && { ca: trust }) });
}

/** The CA whose certificates let a client in; undefined when none is asked for. */
export function trusted(access: Access, tls: ListenerMaterial): Buffer | undefined {
  return access === 'mutual' ? tls.ca : tls.clientCa;
}
