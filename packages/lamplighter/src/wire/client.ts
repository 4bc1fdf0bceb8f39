import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import { addressOf, connectUpstream, serverOf, type Upstream } from './upstream.js';
import { upstreamError } from './upstream-error.js';

export type { Upstream } from './upstream.js';

/** One request. */
export interface UpstreamRequest {
  readonly method: 'GET' | 'POST';
  /** Begins with a slash; the query belongs to it. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** As a function: made once the server is verified, for what depends on the connection; not with `agent`. */
  readonly body?: Uint8Array | ((socket: TLSSocket) => Uint8Array);
  /** Milliseconds until the response's headers must be here: connection and handshake included. */
  readonly deadlineMs: number;
  /** Gives up at once, also while the body is read. */
  readonly signal?: AbortSignal;
  /** Keeps connections for later requests; by default each request has its own. */
  readonly agent?: UpstreamAgent;
}

/** An answer: its headers are here, its body is still to be read or destroyed. */
export interface UpstreamResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly peer: PeerIdentity;
  /** The key-exchange group, when the runtime tells. */
  readonly group: string | undefined;
  readonly body: IncomingMessage;
}

/** What a server may send in front of a body. */
const MAX_HEADER_BYTES = 8_192;

/** Connections to one upstream that serve request after request. `destroy()` closes them. */
export class UpstreamAgent extends https.Agent {
  readonly upstream: Upstream;
  readonly #connectDeadlineMs: number;

  /** @param options - `maxConnections`: default 1; `connectDeadlineMs`: for one connection, default 5,000 */
  constructor(upstream: Upstream, options: { maxConnections?: number; connectDeadlineMs?: number } = {}) {
    super({ keepAlive: true, maxSockets: options.maxConnections ?? 1, maxCachedSessions: 0 });
    this.upstream = upstream;
    this.#connectDeadlineMs = options.connectDeadlineMs ?? 5_000;
  }

  /** Called by node:http; the connection is verified before any request is put on it. */
  override createConnection(
    _options: https.RequestOptions,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    if (callback === undefined) throw new TypeError('node:http passes a callback');
    // Node's types want a socket with an error too; node looks at nothing else then.
    void this.#connect(callback as (error: unknown, socket?: Duplex) => void);
  }

  async #connect(done: (error: unknown, socket?: Duplex) => void): Promise<void> {
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(late(this.#connectDeadlineMs)), this.#connectDeadlineMs);
    let socket: Duplex;
    try {
      socket = await connectUpstream(this.upstream, cut.signal);
    } catch (error) {
      done(error);
      return;
    } finally {
      clearTimeout(timer);
    }
    done(null, socket);
  }
}

/**
 * Asks an upstream and returns when the headers of its answer are here. Never follows a redirect, never asks twice.
 * @returns the answer, whatever its status
 * @throws LamplighterError ERR_DEADLINE; ERR_UPSTREAM_UNREACHABLE, _REFUSED_US, _CERTIFICATE, _ROLE, _NAME, _PROTOCOL;
 *   ERR_STOPPED when the signal fired, or the signal's reason when that is a LamplighterError
 * @throws TypeError when the URL is not https, the path has no slash or the agent belongs to another upstream
 */
export async function request(upstream: Upstream, options: UpstreamRequest): Promise<UpstreamResponse> {
  const { deadlineMs, signal, agent } = options;
  const { where } = addressOf(upstream.url);
  if (!options.path.startsWith('/')) throw new TypeError('a path begins with a slash');
  if (agent !== undefined && agent.upstream !== upstream)
    throw new TypeError('the agent is of another upstream');
  if (agent !== undefined && typeof options.body === 'function')
    throw new TypeError('a body made for a connection needs one of its own');
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(late(deadlineMs, where)), deadlineMs);
  const abandon = (): void => cut.abort(abandoned(signal, where));
  if (signal?.aborted === true) abandon();
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    const socket = agent === undefined ? await connectUpstream(upstream, cut.signal) : undefined;
    const response = await ask(upstream, options, socket, cut.signal);
    // From here on the signal cuts the body.
    response.body.once('close', () => signal?.removeEventListener('abort', abandon));
    cut.signal.addEventListener('abort', () => response.body.destroy(), { once: true });
    return response;
  } catch (error) {
    signal?.removeEventListener('abort', abandon);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function ask(
  upstream: Upstream,
  { method, path, headers, body, agent }: UpstreamRequest,
  socket: TLSSocket | undefined,
  signal: AbortSignal,
): Promise<UpstreamResponse> {
  const { host, port, where } = addressOf(upstream.url);
  return new Promise((resolve, reject) => {
    let bytes: Uint8Array | undefined;
    try {
      bytes = typeof body === 'function' ? socket && body(socket) : body;
    } catch (error) {
      // The server hung up between its handshake and this.
      socket?.destroy();
      reject(upstreamError(error, where, 'answer'));
      return;
    }
    const asked = https.request({
      method,
      path,
      host,
      port,
      headers: { ...headers },
      maxHeaderSize: MAX_HEADER_BYTES,
      ...(agent === undefined ? { createConnection: () => socket } : { agent }),
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
    asked.on('error', (error) => {
      signal.removeEventListener('abort', giveUp);
      reject(upstreamError(error, where, asked.reusedSocket ? 'reused' : 'answer'));
    });
    asked.once('upgrade', (_response, socket) => {
      socket.destroy();
      reject(new LamplighterError('ERR_UPSTREAM_PROTOCOL', `${where} wants to speak another protocol`));
    });
    asked.once('response', (response) => {
      signal.removeEventListener('abort', giveUp);
      response.on('error', () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        ...serverOf(response.socket),
        body: response,
      });
    });
    asked.end(bytes);
  });
}

/**
 * Reads a body whole.
 * @param maxBytes - the most it may be
 * @param signal - gives up and destroys the body
 * @throws LamplighterError ERR_UPSTREAM_PROTOCOL when it is longer; ERR_UPSTREAM_UNREACHABLE when it breaks off;
 *   ERR_STOPPED or the signal's own LamplighterError; the body is destroyed then
 */
export async function readBounded(
  body: IncomingMessage,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const tooLong = new LamplighterError(
    'ERR_UPSTREAM_PROTOCOL',
    `the answer is longer than ${maxBytes} bytes`,
  );
  const giveUp = (): void => void body.destroy();
  if (signal?.aborted === true) giveUp();
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    if (Number(body.headers['content-length'] ?? 0) > maxBytes) throw tooLong;
    const chunks: Buffer[] = [];
    let lengthBytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      lengthBytes += chunk.length;
      if (lengthBytes > maxBytes) throw tooLong;
      chunks.push(chunk);
    }
    if (!body.complete) throw Object.assign(new Error('broken off'), { code: 'ECONNRESET' });
    return Buffer.concat(chunks);
  } catch (error) {
    body.destroy();
    if (signal?.aborted === true) throw abandoned(signal, 'the upstream');
    throw upstreamError(error, 'the upstream', 'body');
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

const MAX_PROBLEM_BYTES = 65_536;
const MAX_DETAIL_LENGTH = 200;

/**
 * What an upstream said is wrong, for a person to read (RFC 9457, as `problemOf` writes it).
 * @returns a code of capital letters, digits and underscores, at most 64; the detail in printable ASCII, at most 200
 *   characters; undefined when the body is nothing of the kind
 */
export function problemCodeOf(
  body: Uint8Array,
): { readonly code: string; readonly detail: string | undefined } | undefined {
  if (body.length > MAX_PROBLEM_BYTES) return undefined;
  let problem: unknown;
  try {
    problem = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof problem !== 'object' || problem === null || !('code' in problem)) return undefined;
  const { code } = problem;
  if (typeof code !== 'string' || !/^[A-Z][A-Z0-9_]{0,63}$/.test(code)) return undefined;
  const detail = 'detail' in problem && typeof problem.detail === 'string' ? problem.detail : undefined;
  return { code, detail: detail?.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_DETAIL_LENGTH) };
}

function late(deadlineMs: number, where = 'the upstream'): LamplighterError {
  return new LamplighterError('ERR_DEADLINE', `${where} did not answer within ${deadlineMs} ms`);
}

function abandoned(signal: AbortSignal | undefined, where: string): LamplighterError {
  const reason: unknown = signal?.reason;
  if (reason instanceof LamplighterError) return reason;
  return new LamplighterError('ERR_STOPPED', `the request to ${where} was given up`, { cause: reason });
}
