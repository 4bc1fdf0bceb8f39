import type tls from 'node:tls';
import { afterEach } from 'vitest';
import { type MadeCertificate, testAuthority } from '../identity/made-certificates.fixture.js';
import type { Role } from '../identity/roles.js';
import { type Exchange, Listener, type ListenerOptions } from './listener.js';
import { Answers, openTls } from './raw-peer.fixture.js';

/** The CA of the listener and its clients. */
export const authority = await testAuthority();
export const relay = await authority.material({ role: 'relay', name: 'relay-1' });
export const machine = await authority.material({ role: 'machine', name: 'machine-1' });

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.stop(0)));
});

/** A listener under test. */
export interface Served {
  readonly listener: Listener;
  readonly port: number;
  readonly errors: unknown[];
}

/** A relay that answers GET /hello, and POST /echo (at most 8 bytes) with what it was sent. */
export async function serve(options: ListenerOptions = {}): Promise<Served> {
  const errors: unknown[] = [];
  const listener = new Listener(relay, { onError: (error) => errors.push(error), ...options });
  open.push(listener);
  const roles: Role[] = ['machine', 'service'];
  listener.route({
    method: 'GET',
    path: '/hello',
    roles,
    maxBodyBytes: 0,
    handle: async (exchange) => hello(exchange),
  });
  listener.route({
    method: 'POST',
    path: '/echo',
    roles,
    maxBodyBytes: 8,
    handle: async (exchange) => exchange.reply(200, { 'content-type': 'text/plain' }, exchange.body),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return { listener, port, errors };
}

/** Says who asked. */
export function hello(exchange: Exchange): void {
  const { role, name } = exchange.peer;
  exchange.reply(
    200,
    { 'content-type': 'text/plain' },
    Buffer.from(`${role} ${name} ${exchange.query.get('q') ?? ''}`),
  );
}

/** A GET request as bytes on the wire. */
export function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
}

/** A connection that is through its handshake, as whoever the certificate says. */
export async function connect(
  port: number,
  certificate: MadeCertificate = { role: 'machine', name: 'machine-1' },
): Promise<Answers> {
  const material =
    certificate.role === 'machine' && certificate.name === 'machine-1'
      ? machine
      : await authority.material(certificate);
  const { cert, key } = material;
  return new Answers(await openTls({ port, ca: authority.pem, cert, key, ALPNProtocols: ['http/1.1'] }));
}

/** Whether a client is refused: in TLS 1.3 it learns so only when it reads (RFC 8446, 4.4.2.4). */
export async function refusedClient(options: tls.ConnectionOptions): Promise<boolean> {
  const socket = await openTls(options);
  socket.on('error', () => {});
  let read = 0;
  socket.on('data', (bytes: Buffer) => (read += bytes.length));
  socket.write(get('/hello'));
  await new Promise((resolve) => {
    socket.once('close', resolve);
  });
  return read === 0;
}
