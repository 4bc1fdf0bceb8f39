import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import type tls from 'node:tls';
import { afterEach } from 'vitest';
import { type MadeCertificate, testAuthority } from '../identity/made-certificates.fixture.js';
import { type Upstream, type UpstreamRequest, readBounded, request } from './client.js';

/** The CA that our end trusts. */
export const authority = await testAuthority();
/** Another one, of the same name. */
export const foreign = await testAuthority();
export const machine = await authority.material({ role: 'machine', name: 'machine-1' });

/** Closed after each test. */
export const open: { close(): unknown }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.close()));
});

/** Anything that listens on a port of loopback chosen by the system, closed after the test. */
export async function listening(server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket.on('error', () => {}));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
  return (server.address() as net.AddressInfo).port;
}

/** A relay's own server, with what a hostile or misconfigured one may have for a certificate. */
export async function serverWith(
  certificate: MadeCertificate,
  options: tls.TlsOptions = {},
  answer: http.RequestListener = (_request, response) => response.end('hello'),
): Promise<{ port: number; requests: () => number }> {
  let requests = 0;
  const { cert, key } = await authority.make(certificate);
  const server = https.createServer(
    { cert, key, ca: authority.pem, requestCert: true, ...options },
    (asked, response) => {
      requests += 1;
      answer(asked, response);
    },
  );
  return { port: await listening(server), requests: () => requests };
}

/** Our end: a machine that wants a relay. */
export function upstreamAt(port: number, more: Partial<Upstream> = {}): Upstream {
  return { url: new URL(`https://127.0.0.1:${port}`), tls: machine, roles: ['relay'], ...more };
}

export const ask: UpstreamRequest = { method: 'GET', path: '/', deadlineMs: 5_000 };

/** Asks, and reads the answer as text. */
export async function textFrom(upstream: Upstream, options: Partial<UpstreamRequest> = {}): Promise<string> {
  const { body } = await request(upstream, { ...ask, ...options });
  return Buffer.from(await readBounded(body, 1_000)).toString();
}
