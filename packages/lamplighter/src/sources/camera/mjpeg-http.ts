import http from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { basisFromHeader } from '../../wire/basis.js';
import type { CameraTarget } from './camera-url.js';
import type { Decoder } from './decoder.js';
import type { CameraInput, CameraListener } from './input.js';
import { MultipartParser, boundaryOf } from './multipart.js';

type HttpTarget = Extract<CameraTarget, { kind: 'http' }>;

/** Video without one decodable picture for so long is not decodable. A 4K JPEG takes the decoder more than a second. */
const PICTURE_WITHIN_MS = 3_500;
/** The response's header block, bytes. */
const MAX_HEADER_BYTES = 16 * 1024;

/**
 * A network camera's MJPEG stream over HTTP, read by our own client and parser: needs nothing but Node.
 *
 * Each whole JPEG is heard as one event, headers and delimiters are not: they are the same every time. Redirects are not
 * followed. An `https` camera's certificate must be valid for its name.
 * @param options - `maxFrameBytes`: the largest JPEG taken; `decoder`: gets a copy of some of them, for health
 */
export function mjpegHttpInput(
  target: HttpTarget,
  options: { readonly maxFrameBytes: number; readonly decoder: Decoder },
  environment: Environment,
): CameraInput {
  return {
    kind: 'http-mjpeg',
    startMs: 0,
    pictureWithinMs: () => PICTURE_WITHIN_MS,
    details: () => ({ codec: 'mjpeg', sandbox: options.decoder.sandbox }),
    attempt(listener, signal) {
      const onFrame = (frame: Uint8Array) => {
        listener.heard(frame);
        listener.frames(1);
        options.decoder.offer(frame, (picture) => {
          if (!signal.aborted) listener.picture(picture);
        });
      };
      return readStream(target, { ...options, onFrame, listener, signal }, environment);
    },
  };
}

/** Resolves never; rejects when the stream is over and its socket closed. */
function readStream(
  target: HttpTarget,
  options: {
    readonly maxFrameBytes: number;
    readonly onFrame: (frame: Uint8Array) => void;
    readonly listener: CameraListener;
    readonly signal: AbortSignal;
  },
  environment: Environment,
): Promise<never> {
  const { maxFrameBytes, onFrame, listener, signal } = options;
  return new Promise((_resolve, reject) => {
    let fault: unknown;
    let parser: MultipartParser | undefined;
    const { raw, stream } = connect(target.url, environment);
    const end = (error: unknown) => {
      fault ??= error;
      stream.destroy();
      raw.destroy();
    };
    const abort = () => end(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    raw.on('error', (error) => end(gone(target, error)));
    raw.once('close', () => {
      signal.removeEventListener('abort', abort);
      parser?.wipe();
      reject(fault ?? gone(target));
    });

    const request = http.request({ ...requestOptions(target), createConnection: () => stream });
    request.on('error', (error) => end(gone(target, error)));
    request.once('response', (response) => {
      response.on('error', (error) => end(gone(target, error)));
      response.once('end', () => end(gone(target)));
      try {
        checkStatus(target, response.statusCode);
        const boundary = boundaryOf(response.headers['content-type']);
        parser = new MultipartParser({ boundary, maxFrameBytes, onFrame });
      } catch (error) {
        end(error);
        return;
      }
      const basis = response.headers['lamplighter-basis'];
      if (typeof basis === 'string' && basisFromHeader(basis).simulated) listener.simulated();
      const streaming = parser;
      // Hashing is synchronous, so the socket is read as fast as is hashed and no faster: that is the back-pressure.
      response.on('data', (chunk: Buffer) => {
        environment.arrivals.note();
        if (fault !== undefined) return;
        try {
          streaming.push(chunk);
        } catch (error) {
          end(error);
        } finally {
          // What the kernel and the TLS layer still hold of it is out of reach.
          chunk.fill(0);
        }
      });
    });
    request.end();
    if (signal.aborted) abort();
  });
}

function connect(url: URL, environment: Environment): { raw: Duplex; stream: Duplex } {
  const host = hostOf(url);
  const raw = environment.connect({ host, port: portOf(url) });
  if (url.protocol === 'http:') return { raw, stream: raw };
  // RFC 6066 knows no addresses as server names; the certificate is then checked against the address.
  const servername = isIP(host) === 0 ? host : '';
  return { raw, stream: tls.connect({ socket: raw, host, servername, ALPNProtocols: ['http/1.1'] }) };
}

function requestOptions(target: HttpTarget): http.RequestOptions {
  const { url, authorization } = target;
  return {
    method: 'GET',
    host: hostOf(url),
    port: portOf(url),
    path: `${url.pathname}${url.search}`,
    headers: {
      Host: url.host,
      Accept: 'multipart/x-mixed-replace, */*;q=0.1',
      'User-Agent': 'lamplighter',
      ...(authorization === undefined ? {} : { Authorization: authorization }),
    },
    maxHeaderSize: MAX_HEADER_BYTES,
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

function checkStatus(target: HttpTarget, status: number | undefined): void {
  if (status === 200) return;
  const denied = status === 401 || status === 403;
  throw new LamplighterError('ERR_CAMERA_GONE', `${target.shown} answers ${status ?? 'nothing'}`, {
    hint: denied
      ? 'put http://NAME:PASSWORD@… into the url; the camera must accept Basic authentication'
      : 'open the address in a browser: it must show the live stream, without a redirect',
  });
}

function gone(target: HttpTarget, cause?: Error): LamplighterError {
  if (cause === undefined) {
    return new LamplighterError('ERR_CAMERA_GONE', `${target.shown} ended the stream`);
  }
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name;
  return new LamplighterError('ERR_CAMERA_GONE', `no connection to ${target.shown} (${code})`, { cause });
}
