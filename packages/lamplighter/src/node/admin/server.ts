import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { listenError } from '../../wire/listen-error.js';
import type { ListenerMaterial } from '../../wire/listener.js';
import { isLoopback, networkOf } from '../../wire/network.js';
import { contextOptions } from '../../wire/tls-context.js';
import { rawBadRequest } from './answer.js';

/** Implementation constants: every bound of the admin listener but those of its parts. */
export const ADMIN_LIMITS = {
  /** A thousand who watch, and room to ask. */
  maxConnections: 1_200,
  /** From one network, loopback aside. */
  maxConnectionsPerNetwork: 256,
  maxHeaderBytes: 8_192,
  handshakeTimeoutMs: 5_000,
  headersTimeoutMs: 5_000,
  /** A picture of 2 MiB from a telephone. */
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 5_000,
  /** For which nothing may move on a connection. */
  silenceMs: 30_000,
} as const;

/** @param material - undefined for plain HTTP */
export function newServer(material: ListenerMaterial | undefined): http.Server {
  const options: http.ServerOptions = {
    headersTimeout: ADMIN_LIMITS.headersTimeoutMs,
    requestTimeout: ADMIN_LIMITS.requestTimeoutMs,
    keepAliveTimeout: ADMIN_LIMITS.keepAliveTimeoutMs,
    maxHeaderSize: ADMIN_LIMITS.maxHeaderBytes,
    connectionsCheckingInterval: 1_000,
    // We answer that ourselves: node's own answer has none of our headers.
    requireHostHeader: false,
    noDelay: true,
  };
  if (material === undefined) return http.createServer(options);
  return https.createServer({
    ...options,
    ...contextOf(material),
    // Asked for, not insisted on: who has none may come with a login link.
    requestCert: material.clientCa !== undefined,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: ADMIN_LIMITS.handshakeTimeoutMs,
  });
}

/** What handshakes use. */
export function contextOf({
  cert,
  key,
  clientCa,
  requireHybrid = false,
}: ListenerMaterial): SecureContextOptions {
  return contextOptions({ cert, key, requireHybrid, ...(clientCa && { ca: clientCa }) });
}

/** Bounds what connections may cost. @returns those that are open, in their handshake too */
export function guardConnections(server: http.Server): ReadonlySet<Socket> {
  const raw = new Set<Socket>();
  const perNetwork = new Map<string, number>();
  server.maxConnections = ADMIN_LIMITS.maxConnections;
  server.setTimeout(ADMIN_LIMITS.silenceMs, (socket: Socket) => socket.destroy());
  server.on('connection', (socket: Socket) => {
    raw.add(socket);
    const { remoteAddress = '' } = socket;
    const network = networkOf(remoteAddress);
    const open = (perNetwork.get(network) ?? 0) + 1;
    perNetwork.set(network, open);
    socket.on('close', () => {
      raw.delete(socket);
      const left = (perNetwork.get(network) ?? 1) - 1;
      if (left === 0) perNetwork.delete(network);
      else perNetwork.set(network, left);
    });
    if (open > ADMIN_LIMITS.maxConnectionsPerNetwork && !isLoopback(network)) socket.destroy();
  });
  server.on('clientError', (error: Error, socket: Socket) => {
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    // A browser opens connections ahead: what is said where nothing was asked it takes for the answer to what it asks there next.
    const isLate = code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead > 0;
    if ((isLate || code.startsWith('HPE_')) && socket.writable) socket.end(rawBadRequest(code));
    else socket.destroy();
  });
  return raw;
}

/** @returns the port. @throws LamplighterError ERR_PORT_IN_USE, ERR_LISTEN */
export function listen(server: http.Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/** Ends everything at once. */
export function close(server: http.Server, raw: ReadonlySet<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const socket of raw) socket.destroy();
  });
}
