import http from 'node:http';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Endpoint } from '../local/environment.js';
import { problemCodeOf, readBounded, request, type Upstream } from './client.js';
import { upstreamError } from './upstream-error.js';

/** Where a node's admin listener is. */
export interface StatusPlace {
  /** http://host:port, as on loopback; or https://host:port, whose node must prove its role and name. */
  readonly url: URL;
  /** Whom to be and whom to trust; needed for https. */
  readonly upstream?: Omit<Upstream, 'url' | 'roles'>;
  /** How to connect (Environment.connect). */
  readonly connect: (endpoint: Endpoint) => Duplex;
}

/** A node with 254 sources and 64 outlets says a quarter of it. */
export const MAX_STATUS_BYTES = 2 * 1024 * 1024;
const STATUS_PATH = '/v1/status';
const MAX_HEADER_BYTES = 8_192;

/**
 * Asks a node for its status, once.
 * @param options - `deadlineMs`: for the whole answer
 * @returns what it said, parsed and not looked at yet
 * @throws LamplighterError ERR_DEADLINE, ERR_UPSTREAM_* (ERR_UPSTREAM_STATUS when it refuses, with its own code in the text),
 *   ERR_STOPPED when the signal fired
 */
export async function fetchStatus(
  place: StatusPlace,
  options: { deadlineMs: number; signal: AbortSignal },
): Promise<unknown> {
  const cut = new AbortController();
  const where = place.url.host;
  const timer = setTimeout(
    () =>
      cut.abort(
        new LamplighterError('ERR_DEADLINE', `${where} did not answer within ${options.deadlineMs} ms`),
      ),
    options.deadlineMs,
  );
  const giveUp = (): void => cut.abort(new LamplighterError('ERR_STOPPED', `${where} was asked no more`));
  if (options.signal.aborted) giveUp();
  options.signal.addEventListener('abort', giveUp, { once: true });
  try {
    const { status, body } = await (place.url.protocol === 'https:'
      ? askOverTls(place, options.deadlineMs, cut.signal)
      : askInTheClear(place, cut.signal));
    const bytes = await readBounded(body, MAX_STATUS_BYTES, cut.signal);
    if (status !== 200) throw refused(where, status, bytes);
    return parsed(where, bytes);
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', giveUp);
  }
}

interface Answer {
  readonly status: number;
  readonly body: http.IncomingMessage;
}

async function askOverTls(place: StatusPlace, deadlineMs: number, signal: AbortSignal): Promise<Answer> {
  const { url, upstream, connect } = place;
  if (upstream === undefined) throw new TypeError('https needs certificates');
  return request(
    { ...upstream, url, roles: ['office', 'relay'], connect },
    { method: 'GET', path: STATUS_PATH, deadlineMs, signal },
  );
}

function askInTheClear({ url, connect }: StatusPlace, signal: AbortSignal): Promise<Answer> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? 80 : Number(url.port);
  return new Promise((resolve, reject) => {
    const asked = http.request({
      host,
      port,
      path: STATUS_PATH,
      maxHeaderSize: MAX_HEADER_BYTES,
      createConnection: () => connect({ host, port }),
    });
    const giveUp = (): void => {
      asked.destroy();
      reject(signal.reason as Error);
    };
    if (signal.aborted) {
      giveUp();
      return;
    }
    signal.addEventListener('abort', giveUp, { once: true });
    asked.on('error', (error) => reject(upstreamError(error, url.host, 'connect')));
    asked.once('response', (body) => {
      signal.removeEventListener('abort', giveUp);
      body.on('error', () => {});
      resolve({ status: body.statusCode ?? 0, body });
    });
    asked.end();
  });
}

function parsed(where: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new LamplighterError('ERR_UPSTREAM_PROTOCOL', `what answers at ${where} is no lamplighter node`, {
      hint: 'name the admin port of a node, 9600 unless configured otherwise',
    });
  }
}

function refused(where: string, status: number, bytes: Uint8Array): LamplighterError {
  const problem = problemCodeOf(bytes);
  const why = [problem?.code, problem?.detail].filter((part) => part !== undefined).join(': ');
  return new LamplighterError(
    'ERR_UPSTREAM_STATUS',
    `${where} answered ${status}${why === '' ? '' : ` (${why})`}`,
    { hint: 'name the admin port of a node; from afar it wants a certificate of role admin' },
  );
}
