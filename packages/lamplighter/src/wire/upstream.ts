import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { identityOfCertificate, type PeerIdentity, type Role } from '../identity/roles.js';
import type { Endpoint } from '../local/environment.js';
import { type ContextMaterial, contextOptions } from './tls-context.js';
import { certificateError, upstreamError } from './upstream-error.js';

/** Whom we trust, and who we are: `TlsMaterial` is one. Without certificate and key we are nobody, as whoever enrols is. */
export type UpstreamMaterial = ContextMaterial & { readonly ca: Buffer };

/** Where to ask, who we are, and who may answer. */
export interface Upstream {
  /** Scheme https; only host and port are used. */
  readonly url: URL;
  readonly tls: UpstreamMaterial;
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
/** Certificates looked at; a CA of ours stands second. */
const MAX_SHOWN = 8;

const contexts = new WeakMap<UpstreamMaterial, tls.SecureContext>();
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
  const socket = await handshake(upstream, signal, () => ({
    secureContext: contextOf(upstream.tls),
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => refusalOfServer(upstream, certificate.raw),
  }));
  servers.set(socket, { peer: identityOfCertificate(peerCertificate(socket)), group: groupOf(socket) });
  return socket;
}

/** Where to ask, when nobody there is known yet. */
export type UnknownServer = Pick<Upstream, 'url' | 'prepare' | 'connect'>;

/**
 * Looks who answers, believes nothing, and hangs up. Not a byte of ours is sent but the handshake's.
 *
 * For enrolment alone: of the certificates shown one is then compared with a hash that is known (see `learnAuthority`).
 * @param signal - gives up; its reason is thrown
 * @returns the certificates that lead from the server's own to its root, as far as it sent them, unverified; 1..8
 * @throws LamplighterError ERR_UPSTREAM_UNREACHABLE, _PROTOCOL
 * @throws TypeError when the URL is not https
 */
export async function certificatesShownBy(
  server: UnknownServer,
  signal: AbortSignal,
): Promise<readonly X509Certificate[]> {
  const socket = await handshake(server, signal, () => ({
    secureContext: tls.createSecureContext(contextOptions({})),
    rejectUnauthorized: false,
  }));
  try {
    const shown: X509Certificate[] = [];
    let next: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    // A self-signed certificate is its own issuer: the chain ends in a circle.
    while (next?.raw !== undefined && shown.length < MAX_SHOWN) {
      const { raw } = next;
      if (shown.some((certificate) => certificate.raw.equals(raw))) break;
      shown.push(new X509Certificate(raw));
      next = next.issuerCertificate;
    }
    return shown;
  } catch (error) {
    throw upstreamError(error, addressOf(server.url).where, 'connect');
  } finally {
    socket.destroy();
  }
}

/** @param optionsOf - called when the hedge is done: no TLS context is made before */
async function handshake(
  server: UnknownServer,
  signal: AbortSignal,
  optionsOf: () => tls.ConnectionOptions,
): Promise<tls.TLSSocket> {
  const { host, port, where } = addressOf(server.url);
  await server.prepare?.();
  signal.throwIfAborted();
  // Before the connection: material that OpenSSL will not have must not leave one behind.
  const options = optionsOf();
  const raw = server.connect?.({ host, port }) ?? net.connect({ host, port, noDelay: true });
  const socket = tls.connect({
    ...options,
    socket: raw,
    ALPNProtocols: ['http/1.1'],
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
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

function contextOf(material: UpstreamMaterial): tls.SecureContext {
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
