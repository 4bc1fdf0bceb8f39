import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listenError } from '../wire/listen-error.js';
import type { NodeStatus } from '../wire/status.js';
import { newMetrics } from './metrics.js';

export interface AdminServer {
  readonly url: string;
  stop(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * The admin listener: health, readiness, metrics and status over plain HTTP, loopback unless told otherwise. It only
 * reads, and nothing it says holds a secret byte.
 *
 * A page of another site may point a browser at it (DNS rebinding), so on loopback it answers to loopback names only.
 *
 * @param address - port 0 takes a free one
 * @throws LamplighterError ERR_PORT_IN_USE, ERR_LISTEN
 */
export async function startAdmin(
  address: { host: string; port: number },
  status: () => NodeStatus,
): Promise<AdminServer> {
  const metrics = newMetrics(status);
  const routes: Readonly<Record<string, () => Answer | Promise<Answer>>> = {
    '/healthz': () => text(200, 'ok\n'),
    '/readyz': () => readyz(status()),
    '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
    '/v1/status': () => json(200, status()),
  };

  async function answer(request: IncomingMessage): Promise<Answer> {
    if (isLoopback(address.host) && !isLoopback(hostOf(request))) return text(403, 'unknown host name\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET\n');
    const route = routes[(request.url ?? '').split('?', 1)[0] ?? ''];
    return route === undefined
      ? text(404, `not found; there are ${Object.keys(routes).join(', ')}\n`)
      : route();
  }

  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 10_000, maxHeaderSize: 8_192, keepAliveTimeout: 5_000 },
    (request, response) => {
      request.resume();
      answer(request).then(
        (done) => send(response, done, request.method === 'HEAD'),
        () => send(response, text(500, 'internal error\n'), false),
      );
    },
  );
  server.maxConnections = 256;
  const port = await listen(server, address);
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { url: `http://${host}:${port}`, stop: () => close(server) };
}

function readyz({ state, reasons }: NodeStatus): Answer {
  const serving = state === 'ready' || state === 'degraded';
  return json(serving ? 200 : 503, { state, reasons });
}

function send(response: ServerResponse, { status, type, body }: Answer, headOnly: boolean): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'",
  });
  response.end(headOnly ? undefined : body);
}

const text = (status: number, body: string): Answer => ({ status, type: 'text/plain; charset=utf-8', body });
const json = (status: number, value: unknown): Answer => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(value, null, 2)}\n`,
});

/** The host part of the Host header, without its port and brackets. */
function hostOf(request: IncomingMessage): string {
  return (request.headers.host ?? '').replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1');
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(host);

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
