import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import { listenError } from '../../wire/listen-error.js';
import { problemOf } from '../../wire/problem.js';
import { PAGE_POLICY, wallPage } from './page.js';
import { systemRandomness } from './randomness.js';
import { MAX_VIEWERS, STREAM_TYPE, Viewers } from './viewers.js';
import { Wall } from './wall.js';

/** Where the wall is served and how it looks. */
export interface WallServerOptions {
  /** Default 127.0.0.1: nobody else can look. */
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Pixels, 160..1280; default 640. */
  readonly width?: number;
  /** Pixels, 90..720; default 360. */
  readonly height?: number;
  /** 1..30; default 10. */
  readonly framesPerSecond?: number;
  /** 1..24; default 16. More than five stand on two boards. */
  readonly lamps?: number;
  /** How long a viewer may leave a frame waiting before it loses its place; default 30,000. */
  readonly stalledMs?: number;
}

/** A wall that is being served. */
export interface WallServer {
  /** The page's address, without a slash at its end; the stream is at `/stream.mjpg` below it. */
  readonly url: string;
  readonly port: number;
  /** Ends every stream and closes the port, within a second; calling it again waits for the same end. */
  stop(): Promise<void>;
}

/** What every answer carries: the wall is simulated, and says so; nothing of it is kept or read as something else. */
const ALWAYS = {
  'lamplighter-basis': 'simulated',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-site',
} as const;
const NOTHING_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** Streams, and as many again for pages and single frames, and then some. */
const MAX_CONNECTIONS = 4 * MAX_VIEWERS;
/** How long a connection may take to end by itself when the wall stops. */
const STOP_GRACE_MS = 250;

/**
 * Serves the virtual lamp wall over HTTP: `GET /` a page, `GET /stream.mjpg` MJPEG, `GET /frame.jpg` the latest frame.
 *
 * With the defaults it takes 10 % of one core while anyone watches, whatever their number, and next to none otherwise.
 *
 * @throws RangeError if a size or number is out of range
 * @throws LamplighterError ERR_PORT_IN_USE or ERR_LISTEN; nothing is left behind
 */
export async function startWall(options: WallServerOptions): Promise<WallServer> {
  const { host = '127.0.0.1', port, width = 640, height = 360 } = options;
  const { framesPerSecond = 10, lamps = 16, stalledMs = 30_000 } = options;
  if (!(framesPerSecond >= 1 && framesPerSecond <= 30)) throw new RangeError('frames per second: 1 to 30');
  const wall = new Wall({ widthPx: width, heightPx: height, lampCount: lamps }, systemRandomness());
  const page = Buffer.from(wallPage(width, height));
  const server = createServer({
    headersTimeout: 5_000,
    requestTimeout: 10_000,
    keepAliveTimeout: 5_000,
    maxHeaderSize: 8_192,
    // Ours to refuse, so that this answer too says what it rests on.
    requireHostHeader: false,
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, host, port);
  const viewers = new Viewers(wall, 1000 / framesPerSecond, stalledMs);
  const isOurs = answersTo(host);

  const answer = (request: IncomingMessage, response: ServerResponse) => {
    // No request has a body that matters; what comes is dropped as it comes.
    request.resume();
    try {
      route(request, response);
    } catch (error) {
      sendProblem(response, error);
    }
  };
  server.on('request', answer);
  server.on('checkContinue', answer);
  server.on('checkExpectation', answer);
  server.on('clientError', refuseMalformed);

  function route(request: IncomingMessage, response: ServerResponse): void {
    if (!isOurs(hostNameOf(request))) {
      throw new LamplighterError('ERR_BAD_REQUEST', 'this wall does not answer to that host name');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      throw new LamplighterError('ERR_METHOD', 'only GET and HEAD');
    }
    switch ((request.url ?? '').split('?', 1)[0] ?? '') {
      case '/':
        return send(response, 'text/html; charset=utf-8', page, PAGE_POLICY);
      case '/frame.jpg':
        return send(response, 'image/jpeg', viewers.latestFrame(), NOTHING_POLICY);
      case '/stream.mjpg':
        return request.method === 'HEAD' ? void streamHead(response).end() : stream(response);
      default:
        throw new LamplighterError('ERR_NOT_FOUND', 'there are /, /stream.mjpg and /frame.jpg');
    }
  }

  function stream(response: ServerResponse): void {
    if (viewers.full) {
      throw new LamplighterError('ERR_TOO_MANY_CONNECTIONS', `${MAX_VIEWERS} are watching already`);
    }
    viewers.add(streamHead(response));
  }

  let stopping: Promise<void> | undefined;
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    stop: () => (stopping ??= close(server, viewers)),
  };
}

function send(response: ServerResponse, type: string, body: Uint8Array, policy: string): void {
  const headers = { 'content-type': type, 'content-length': body.length, 'content-security-policy': policy };
  response.writeHead(200, { ...ALWAYS, ...headers }).end(body);
}

/** The parts frame themselves, so chunks around them would only stand in the way of simple cameras' clients. */
function streamHead(response: ServerResponse): ServerResponse {
  response.removeHeader('transfer-encoding');
  return response.writeHead(200, {
    ...ALWAYS,
    'content-type': STREAM_TYPE,
    'content-security-policy': NOTHING_POLICY,
    connection: 'close',
  });
}

function sendProblem(response: ServerResponse, error: unknown): void {
  const { status, headers, body } = problemOf(error);
  response.writeHead(status, {
    ...ALWAYS,
    ...headers,
    'content-length': body.length,
    'content-security-policy': NOTHING_POLICY,
  });
  response.end(body);
}

/** What is no HTTP at all has no response object; it is told so by hand. */
function refuseMalformed(_error: Error, socket: Duplex): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const { status, headers, body } = problemOf(
    new LamplighterError('ERR_BAD_REQUEST', 'that was no HTTP request'),
  );
  const fields = { ...ALWAYS, ...headers, 'content-length': body.length, connection: 'close' };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Bad Request\r\n${lines.join('')}\r\n`), body]));
}

/**
 * The names this server answers to. A page elsewhere can point a name of its own at a loopback address (DNS rebinding),
 * and would then read the answers as its own; but it cannot make the browser call it by one of these. A server on all
 * addresses answers to any address, because an address cannot be pointed elsewhere.
 */
function answersTo(host: string): (name: string) => boolean {
  const names = new Set(['localhost', '127.0.0.1', '::1', host.toLowerCase()]);
  const everywhere = host === '0.0.0.0' || host === '::';
  return (name) => names.has(name) || (everywhere && isIP(name) !== 0);
}

/** The host part of the Host header, without its port and brackets. */
function hostNameOf(request: IncomingMessage): string {
  const host = (request.headers.host ?? '').toLowerCase();
  return host.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1');
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, resolve);
  });
}

async function close(server: Server, viewers: Viewers): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  viewers.stop();
  server.closeIdleConnections();
  const grace = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
  await closed;
  clearTimeout(grace);
}
