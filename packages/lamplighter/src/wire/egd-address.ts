import { isIP } from 'node:net';
import { LamplighterError } from '@lamplighter/core';
import type { Endpoint } from '../local/environment.js';

/** sun_path is 108 bytes with its terminating zero: unix(7). */
export const MAX_SOCKET_PATH_BYTES = 107;

const HINT = 'write unix:/absolute/path, tcp:host:port or tcp:[ipv6]:port';

/**
 * Reads where an EGD server is: `unix:/path`, `tcp:host:port` or `tcp:[ipv6]:port`.
 * @throws LamplighterError ERR_CONFIG
 */
export function parseEgdAddress(text: string): Endpoint {
  if (text.startsWith('unix:')) return { path: socketPath(text.slice('unix:'.length)) };
  const [, bracketed, plain, digits] = /^tcp:(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || digits === undefined) return refuse('the address is neither unix: nor tcp:');
  if (bracketed !== undefined && isIP(bracketed) !== 6) return refuse(`${bracketed} is no IPv6 address`);
  const port = Number(digits);
  if (port > 65_535) return refuse(`there is no port ${digits}`);
  return { host, port };
}

/** An endpoint as it stands in a configuration and in messages. */
export function egdAddressText(endpoint: Endpoint): string {
  if ('path' in endpoint) return `unix:${endpoint.path}`;
  const { host, port } = endpoint;
  return isIP(host) === 6 ? `tcp:[${host}]:${port}` : `tcp:${host}:${port}`;
}

function socketPath(path: string): string {
  if (!path.startsWith('/') || path.endsWith('/')) return refuse('the socket needs an absolute path');
  // A longer one would be cut by the system and name another file. A zero byte would make it abstract: no folder at all.
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    return refuse(`the socket's path is longer than ${MAX_SOCKET_PATH_BYTES} bytes`);
  }
  if (path.includes('\0')) return refuse('the path has a zero byte in it');
  return path;
}

function refuse(message: string): never {
  throw new LamplighterError('ERR_CONFIG', message, { hint: HINT });
}
