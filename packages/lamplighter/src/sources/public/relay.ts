import http from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';

/** A round is some 500 bytes. */
const MAX_BODY_BYTES = 8_192;
const MAX_HEADER_BYTES = 8_192;

/**
 * Reads a relay's base address: `https://host` or `http://host`, with a path or without. What comes is verified, so plain
 * HTTP costs nothing but privacy.
 * @throws LamplighterError ERR_CONFIG
 */
export function parseRelayUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url === undefined || !plain || !['http:', 'https:'].includes(url.protocol)) {
    throw new LamplighterError('ERR_CONFIG', 'drand: a relay is an http:// or https:// address', {
      hint: 'for example https://api.drand.sh, without a user, a query or a chain hash',
    });
  }
  return url;
}

/**
 * Asks a relay for a chain's latest round: one request on a connection of its own. Redirects are not followed.
 * @param options - `deadlineMs`: for everything together; `signal`: gives up at once; `ca`: PEM that replaces the public CAs
 * @returns the body, whole
 * @throws LamplighterError ERR_UPSTREAM_UNREACHABLE, ERR_UPSTREAM_CERTIFICATE, ERR_UPSTREAM_PROTOCOL, ERR_UPSTREAM_STATUS,
 *   ERR_BODY_TOO_LARGE, ERR_DEADLINE; ERR_STOPPED when the signal fired. Its connection is closed, however it went
 */
export function fetchLatest(
  relay: URL,
  chainHash: string,
  options: {
    readonly environment: Pick<Environment, 'connect' | 'timers' | 'arrivals'>;
    readonly deadlineMs: number;
    readonly signal: AbortSignal;
    readonly ca?: string | undefined;
  },
): Promise<Uint8Array> {
  const { environment, deadlineMs, signal } = options;
  const where = relay.host;
  return new Promise((resolve, reject) => {
    let body: Uint8Array | undefined;
    let fault: unknown;
    const { raw, stream } = connect(relay, options);
    const end = (error?: unknown): void => {
      fault ??= error;
      stream.destroy();
      raw.destroy();
    };
    const late = environment.timers.after(deadlineMs, () =>
      end(new LamplighterError('ERR_DEADLINE', `no answer from ${where} within ${deadlineMs} ms`)),
    );
    const stop = (): void => end(new LamplighterError('ERR_STOPPED', 'the source is stopped'));
    signal.addEventListener('abort', stop, { once: true });
    for (const either of [raw, stream]) either.on('error', (error) => end(unreachable(where, error)));
    const settle = (): void => {
      late.cancel();
      signal.removeEventListener('abort', stop);
      if (body === undefined) reject(fault ?? unreachable(where));
      else resolve(body);
    };
    // Of a body that ends with its connection, node:http tells the end only after this.
    stream.once('close', () => void environment.timers.turn().then(settle));

    const path = `${relay.pathname.replace(/\/$/, '')}/${chainHash}/public/latest`;
    const request = http.request({
      method: 'GET',
      host: hostOf(relay),
      port: portOf(relay),
      path,
      headers: {
        Host: relay.host,
        Accept: 'application/json',
        'User-Agent': 'lamplighter',
        Connection: 'close',
      },
      maxHeaderSize: MAX_HEADER_BYTES,
      // Not with `agent: false`, which would make node:http connect by itself.
      createConnection: () => stream,
    });
    request.on('error', (error) => end(unreachable(where, error)));
    request.once('upgrade', () => end(new LamplighterError('ERR_UPSTREAM_PROTOCOL', `${where} is no relay`)));
    request.once('response', (response) => {
      environment.arrivals.note();
      const wrong = wrongHead(response, where);
      if (wrong !== undefined) return end(wrong);
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      response.on('error', (error) => end(unreachable(where, error)));
      response.on('data', (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes > MAX_BODY_BYTES) return end(tooLarge(where));
        chunks.push(chunk);
      });
      response.once('end', () => {
        if (fault === undefined && response.complete) body = Buffer.concat(chunks);
        end();
      });
    });
    request.end();
    if (signal.aborted) stop();
  });
}

/** Whether an answer's head already says that it is none. */
function wrongHead(response: http.IncomingMessage, where: string): LamplighterError | undefined {
  const { statusCode = 0, headers } = response;
  if (statusCode !== 200) {
    const redirect = statusCode >= 300 && statusCode < 400;
    return new LamplighterError('ERR_UPSTREAM_STATUS', `${where} answers ${statusCode}`, {
      hint: redirect ? 'redirects are not followed: configure the address itself' : 'configure other relays',
    });
  }
  return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES ? tooLarge(where) : undefined;
}

function connect(
  url: URL,
  { environment, ca }: { environment: Pick<Environment, 'connect'>; ca?: string | undefined },
): { raw: Duplex; stream: Duplex } {
  const host = hostOf(url);
  const raw = environment.connect({ host, port: portOf(url) });
  if (url.protocol === 'http:') return { raw, stream: raw };
  // RFC 6066 knows no addresses as server names; the certificate is then checked against the address.
  const servername = isIP(host) === 0 ? host : '';
  const trust = ca === undefined ? {} : { ca };
  return {
    raw,
    stream: tls.connect({ socket: raw, host, servername, ALPNProtocols: ['http/1.1'], ...trust }),
  };
}

/** An IPv6 address stands in brackets only inside a URL. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function tooLarge(where: string): LamplighterError {
  return new LamplighterError('ERR_BODY_TOO_LARGE', `the answer of ${where} exceeds ${MAX_BODY_BYTES} bytes`);
}

function unreachable(where: string, cause?: Error): LamplighterError {
  const code = cause !== undefined && 'code' in cause ? String(cause.code) : 'the connection was cut';
  if (code.startsWith('HPE_') || code.startsWith('ERR_SSL_')) {
    return new LamplighterError('ERR_UPSTREAM_PROTOCOL', `${where} does not speak HTTP/1.1 (${code})`, {
      cause,
    });
  }
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) {
    return new LamplighterError(
      'ERR_UPSTREAM_CERTIFICATE',
      `the certificate of ${where} is not accepted (${code})`,
      { hint: "check this machine's clock, or configure other relays", cause },
    );
  }
  return new LamplighterError('ERR_UPSTREAM_UNREACHABLE', `${where} cannot be reached (${code})`, {
    hint: 'check the network, or configure other relays',
    cause,
  });
}
