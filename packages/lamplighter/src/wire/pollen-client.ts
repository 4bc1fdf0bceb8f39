import { constants } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { LamplighterError, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import {
  decodePollenAnswer,
  POLLEN_ANSWER_LENGTH_BYTES,
  POLLEN_FIELD,
  POLLEN_FORM_CONTENT_TYPE,
} from './pollen.js';

/** A pollen server, and how it is known. */
export interface PollenServer {
  /** http or https; path and query belong to it. */
  readonly url: URL;
  /** PEM of the CAs that alone may have made its certificate; the CAs that came with node when absent. */
  readonly ca?: Buffer | undefined;
  /** Offers nothing but TLS 1.3 with X25519MLKEM768. */
  readonly requireHybrid?: boolean | undefined;
}

/** What one exchange gave. */
export interface FetchedPollen {
  /** 64 bytes in memory of their own, secret if the connection was; the caller wipes them. */
  readonly bytes: Uint8Array;
  /** `TLSv1.3` or `TLSv1.2`; undefined in the clear. */
  readonly protocol: string | undefined;
}

/** Random bytes whose hex is the challenge: 128 digits, as pollinate sends. */
const CHALLENGE_LENGTH_BYTES = 64;
const MAX_HEADER_BYTES = 8_192;
const SECONDS = /^[0-9]{1,6}$/;
/** Ephemeral keys and authenticated encryption: what has another, whoever records it may read one day. */
const CIPHERS =
  'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20';

/**
 * Asks a pollen server once, as pollinate does: POST, a form with a random challenge. Redirects are not followed.
 *
 * TLS 1.2 is let through, as nowhere else: these servers are other people's and may know nothing newer. The certificate and the
 * host name are verified before a byte of ours is sent.
 * @param options - `deadlineMs`: for everything together; `signal`: gives up at once
 * @throws LamplighterError ERR_UPSTREAM_UNREACHABLE, _CERTIFICATE, _NAME, _REFUSED_US, _PROTOCOL, _NOT_READY, _STATUS; ERR_QUOTA;
 *   ERR_POLLEN_ANSWER; ERR_DEADLINE; ERR_STOPPED when the signal fired. Its connection is closed, however it went
 */
export async function fetchPollen(
  server: PollenServer,
  options: {
    readonly environment: Pick<Environment, 'connect' | 'timers' | 'arrivals' | 'runtimeRandom'>;
    readonly deadlineMs: number;
    readonly signal: AbortSignal;
  },
): Promise<FetchedPollen> {
  const { environment, deadlineMs, signal } = options;
  const where = server.url.host;
  const cut = new AbortController();
  const late = environment.timers.after(deadlineMs, () =>
    cut.abort(new LamplighterError('ERR_DEADLINE', `no answer from ${where} within ${deadlineMs} ms`)),
  );
  const abandon = (): void => cut.abort(new LamplighterError('ERR_STOPPED', 'the request was given up'));
  signal.addEventListener('abort', abandon, { once: true });
  if (signal.aborted) abandon();
  let raw: Duplex | undefined;
  let stream: Duplex | undefined;
  const end = (): void => {
    stream?.destroy();
    raw?.destroy();
  };
  try {
    cut.signal.throwIfAborted();
    raw = environment.connect({ host: hostOf(server.url), port: portOf(server.url) });
    stream = raw;
    cut.signal.addEventListener('abort', end, { once: true });
    raw.on('error', () => undefined);
    let protocol: string | undefined;
    if (server.url.protocol === 'https:') {
      const secured = secure(server, raw);
      stream = secured;
      await once(secured, 'secureConnect', { signal: cut.signal });
      protocol = secured.getProtocol() ?? undefined;
    }
    const challenge = Buffer.from(
      Buffer.from(environment.runtimeRandom(CHALLENGE_LENGTH_BYTES)).toString('hex'),
    );
    const response = await post(server.url, stream, challenge);
    environment.arrivals.note();
    const answer = await answerIn(response, where);
    try {
      return { bytes: decodePollenAnswer(challenge, answer), protocol };
    } finally {
      wipe(answer);
    }
  } catch (error) {
    throw cut.signal.aborted ? cut.signal.reason : faultOf(error, where);
  } finally {
    late.cancel();
    signal.removeEventListener('abort', abandon);
    end();
  }
}

function secure({ url, ca, requireHybrid }: PollenServer, raw: Duplex): tls.TLSSocket {
  const host = hostOf(url);
  const socket = tls.connect({
    socket: raw,
    host,
    // RFC 6066 knows no addresses as server names; the certificate is then checked against the address.
    servername: isIP(host) === 0 ? host : '',
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    minVersion: requireHybrid === true ? 'TLSv1.3' : 'TLSv1.2',
    ciphers: CIPHERS,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(ca !== undefined && { ca }),
    ...(requireHybrid === true && { ecdhCurve: 'X25519MLKEM768' }),
  });
  // Whoever waits hears of it by himself; whoever waits no longer must not be ended by it.
  socket.on('error', () => undefined);
  // What ends below tells the TLS above it only this way.
  raw.once('error', (error) => socket.destroy(error));
  raw.once('close', () => socket.destroy(closed()));
  return socket;
}

function post(url: URL, stream: Duplex, challenge: Buffer): Promise<http.IncomingMessage> {
  const body = Buffer.concat([Buffer.from(`${POLLEN_FIELD}=`), challenge]);
  const request = http.request({
    method: 'POST',
    host: hostOf(url),
    port: portOf(url),
    path: `${url.pathname}${url.search}`,
    headers: {
      Host: url.host,
      'User-Agent': 'lamplighter',
      Accept: '*/*',
      'Content-Type': POLLEN_FORM_CONTENT_TYPE,
      'Content-Length': body.length,
      Connection: 'close',
    },
    maxHeaderSize: MAX_HEADER_BYTES,
    // Not with `agent: false`, which would make node:http connect by itself.
    createConnection: () => stream,
  });
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.once('upgrade', () => {
      reject(new LamplighterError('ERR_UPSTREAM_PROTOCOL', `${url.host} wants to speak another protocol`));
    });
    request.once('response', (response) => {
      response.on('error', () => undefined);
      resolve(response);
    });
    request.end(body);
  });
}

/** The body of a 200, whole and no longer than an answer is. */
async function answerIn(response: http.IncomingMessage, where: string): Promise<Buffer> {
  if (response.statusCode !== 200) throw refusal(response, where);
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    lengthBytes += chunk.length;
    chunks.push(chunk);
    if (lengthBytes <= POLLEN_ANSWER_LENGTH_BYTES) continue;
    throw new LamplighterError(
      'ERR_POLLEN_ANSWER',
      `the answer of ${where} is longer than ${POLLEN_ANSWER_LENGTH_BYTES} bytes`,
    );
  }
  if (!response.complete) throw closed();
  return Buffer.concat(chunks);
}

function refusal({ statusCode = 0, headers }: http.IncomingMessage, where: string): LamplighterError {
  const seconds = headers['retry-after'];
  const retryAfterMs = seconds !== undefined && SECONDS.test(seconds) ? Number(seconds) * 1_000 : undefined;
  if (statusCode === 503) {
    const hint = 'wait: it answers once it is seeded';
    return new LamplighterError('ERR_UPSTREAM_NOT_READY', `${where} is not ready`, { hint, retryAfterMs });
  }
  if (statusCode === 429) {
    const hint = 'wait, or have its budget by address raised';
    return new LamplighterError('ERR_QUOTA', `${where} says that we ask too often`, { hint, retryAfterMs });
  }
  const hint =
    statusCode >= 300 && statusCode < 400
      ? 'redirects are not followed: configure the address itself'
      : 'check that the address is that of a pollen server';
  return new LamplighterError('ERR_UPSTREAM_STATUS', `${where} answers ${statusCode}`, {
    hint,
    retryAfterMs,
  });
}

/** An IPv6 address stands in brackets only inside a URL. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function closed(): Error {
  return Object.assign(new Error('the connection was cut'), { code: 'ECONNRESET' });
}

function faultOf(error: unknown, where: string): LamplighterError {
  if (error instanceof LamplighterError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  const say = (
    name: 'CERTIFICATE' | 'NAME' | 'REFUSED_US' | 'PROTOCOL' | 'UNREACHABLE',
    what: string,
    hint: string,
  ): LamplighterError =>
    new LamplighterError(`ERR_UPSTREAM_${name}`, `${where} ${what} (${code})`, { hint, cause: error });
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return say('NAME', 'has a certificate for another name', 'use the name its certificate is for');
  }
  if (/ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)/.test(code)) {
    return say('REFUSED_US', 'refused us in the handshake', 'ask its operator what clients need');
  }
  if (code.startsWith('HPE_') || code.startsWith('ERR_SSL_')) {
    return say('PROTOCOL', 'speaks another protocol', 'check scheme and port');
  }
  if (/CERT|SIGNATURE|ISSUER/.test(code)) {
    return say(
      'CERTIFICATE',
      'has a certificate that is not accepted',
      "check `ca`, and this machine's clock",
    );
  }
  return say('UNREACHABLE', 'cannot be reached', 'check host, port and network, and whether it runs');
}
