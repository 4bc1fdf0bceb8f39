import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity, type Role } from '../identity/roles.js';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Endpoint } from '../local/environment.js';
import { contextOptions } from './tls-context.js';
import { certificateError, upstreamError } from './upstream-error.js';

/** Where to ask, who we are, and who may answer. */
export interface Upstream {
  /** Scheme https; only host and port are used. */
  readonly url: URL;
  readonly tls: TlsMaterial;
  /** The roles the server's certificate may carry. */
  readonly roles: readonly Role[];
  /** The lamplighter NAME the server's certificate must carry; replaces the check of host name or IP. */
  readonly name?: string;
  /**
   * Awaited before each connection, and before the first TLS context is made: whoever hedges this process's OpenSSL does it
   * here (DESIGN section 7).
   */
  readonly prepare?: () => Promise<void>;
  /** How to connect (Environment.connect); TCP by node:net when absent. */
  readonly connect?: (endpoint: Endpoint) => Duplex;
}

/** Who was found at the other end of a connection. */
export interface VerifiedServer {
  readonly peer: PeerIdentity;
  /** The key-exchange group, when the runtime tells. */
  readonly group: string | undefined;
}

const HTTPS_PORT = 443;

const contexts = new WeakMap<TlsMaterial, tls.SecureContext>();
const servers = new WeakMap<Duplex, VerifiedServer>();

/**
 * Connects, and returns only when the server has proved who it is: its certificate is from our CA and good for a server,
 * carries one of the allowed roles, *and* the configured name or address. Not a byte of ours is sent before.
 *
 * Source: DESIGN section 8. No session is kept or offered.
 * @param signal - gives up; its reason is thrown
 * @throws LamplighterError ERR_UPSTREAM_UNREACHABLE, _PROTOCOL, _CERTIFICATE, _ROLE, _NAME
 * @throws TypeError when the URL is not https
 */
export async function connectUpstream(upstream: Upstream, signal: AbortSignal): Promise<tls.TLSSocket> {
  const { host, port, where } = addressOf(upstream.url);
  await upstream.prepare?.();
  signal.throwIfAborted();
  // Before the connection: material that OpenSSL will not have must not leave one behind.
  const secureContext = contextOf(upstream.tls);
  const raw = upstream.connect?.({ host, port }) ?? net.connect({ host, port, noDelay: true });
  const socket = tls.connect({
    socket: raw,
    secureContext,
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    checkServerIdentity: (_host, certificate) => refusalOfServer(upstream, certificate.raw),
  });
  // The handshake's errors come below; whoever uses the socket later adds a listener of his own.
  socket.on('error', () => {});
  raw.on('error', () => {});
  return new Promise((resolve, reject) => {
    const giveUp = (): void => {
      socket.destroy();
      raw.destroy();
      reject(signal.reason as Error);
    };
    const failed = (error: unknown): void => {
      signal.removeEventListener('abort', giveUp);
      raw.destroy();
      const unverified = verificationFailure(socket);
      const ours = error instanceof LamplighterError;
      reject(
        unverified !== undefined && !ours
          ? certificateError(unverified, where, error)
          : upstreamError(error, where, 'connect'),
      );
    };
    signal.addEventListener('abort', giveUp, { once: true });
    socket.once('error', failed);
    raw.once('error', failed);
    socket.once('close', () => failed(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', giveUp);
      servers.set(socket, { peer: identityOfCertificate(peerCertificate(socket)), group: groupOf(socket) });
      resolve(socket);
    });
  });
}

/** Who stands behind a socket of {@link connectUpstream}. */
export function serverOf(socket: Duplex): VerifiedServer {
  const server = servers.get(socket);
  if (server === undefined) throw new TypeError('the socket was not made by connectUpstream');
  return server;
}

/**
 * Host and port of an upstream, and both as text.
 * @throws TypeError when the URL is not https
 */
export function addressOf(url: URL): { host: string; port: number; where: string } {
  if (url.protocol !== 'https:') throw new TypeError('an upstream is asked over https only');
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? HTTPS_PORT : Number(url.port);
  return { host, port, where: `${url.hostname}:${port}` };
}

/** Called by node:tls once the chain is verified, before anything is sent. */
function refusalOfServer(upstream: Upstream, der: Buffer): Error | undefined {
  const { host, where } = addressOf(upstream.url);
  try {
    const certificate = new X509Certificate(der);
    const { role, name } = identityOfCertificate(certificate);
    if (!upstream.roles.includes(role)) {
      return new LamplighterError(
        'ERR_UPSTREAM_ROLE',
        `${where} is ${role} ${name}, and only ${upstream.roles.join(' or ')} may answer here`,
        { hint: 'check the address, and which certificate the upstream was given' },
      );
    }
    if (upstream.name !== undefined) {
      return name === upstream.name
        ? undefined
        : wrongName(where, `calls itself ${name}, not ${upstream.name}`);
    }
    const matches =
      net.isIP(host) === 0 ? matchesHost(certificate, host) : certificate.checkIP(host) !== undefined;
    return matches ? undefined : wrongName(where, `(${name}) has no certificate for ${host}`);
  } catch (error) {
    if (error instanceof LamplighterError && error.code === 'ERR_CERTIFICATE_IDENTITY') {
      return new LamplighterError('ERR_UPSTREAM_ROLE', `${where} is nobody we know: ${error.message}`, {
        hint: 'the upstream needs a certificate made by `lamplighter ca issue`',
        cause: error,
      });
    }
    return certificateError('unreadable', where, error);
  }
}

/** DNS names only: node would fall back to the common name, which the CA means for people. */
function matchesHost(certificate: X509Certificate, host: string): boolean {
  return certificate.checkHost(host, { subject: 'never', wildcards: false }) !== undefined;
}

function wrongName(where: string, text: string): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_NAME', `${where} ${text}`, {
    hint: 'issue its certificate with this --dns or --ip, or configure the name it carries',
  });
}

function contextOf(material: TlsMaterial): tls.SecureContext {
  const known = contexts.get(material);
  if (known !== undefined) return known;
  const context = tls.createSecureContext(contextOptions(material));
  contexts.set(material, context);
  return context;
}

/** Node's types promise an Error; what is there is OpenSSL's name of the failure, or null. */
function verificationFailure(socket: tls.TLSSocket): string | undefined {
  const failure: unknown = socket.authorizationError;
  return typeof failure === 'string' ? failure : undefined;
}

function peerCertificate(socket: tls.TLSSocket): X509Certificate {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new TypeError('a verified server has a certificate');
  return certificate;
}

/** Node tells it for groups that OpenSSL knows as a curve; for a hybrid group it may tell nothing. */
function groupOf(socket: tls.TLSSocket): string | undefined {
  const info: object | null = socket.getEphemeralKeyInfo();
  return info !== null && 'name' in info && typeof info.name === 'string' ? info.name : undefined;
}
