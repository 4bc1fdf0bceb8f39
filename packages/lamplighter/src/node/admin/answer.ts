import type { IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import { problemOf } from '../../wire/problem.js';
import { announcesNoBody, endAfterBody } from '../../wire/request-body.js';

/** One whole answer of the admin listener. */
export interface Answer {
  readonly status: number;
  /** Lower-case names; those of {@link HEADERS} may be replaced, content-length is added. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Camera and the like are for pages that say so. */
const NO_DEVICES = 'camera=(), microphone=(), geolocation=(), display-capture=()';

/** On every answer: nothing here is stored, guessed at, framed, or read by a page of another origin. */
export const HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': NO_DEVICES,
};

export const text = (status: number, body: string): Answer => ({
  status,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  body: Buffer.from(body),
});

export const json = (status: number, value: unknown): Answer => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(`${JSON.stringify(value, null, 2)}\n`),
});

export const empty = (status: number, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers,
  body: new Uint8Array(0),
});

/**
 * An error as an answer; see {@link problemOf}.
 * @param headers - added: Allow, for instance
 */
export function problem(error: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  const told = problemOf(error);
  return { status: told.status, headers: { ...told.headers, ...headers }, body: told.body };
}

/** Sends a whole answer; does nothing when there is one already or nobody is there any more. */
export function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.headersSent || response.destroyed) return;
  const { status, headers, body } = answer;
  const isBodyRead = request.complete || announcesNoBody(request.headers);
  if (!isBodyRead) response.shouldKeepAlive = false;
  // 204 has neither a body nor a length (RFC 9110, 8.6).
  const length = status === 204 ? {} : { 'content-length': String(body.length) };
  response.writeHead(status, { ...HEADERS, ...headers, ...length });
  const told = request.method === 'HEAD' ? new Uint8Array(0) : body;
  if (isBodyRead) response.end(told);
  else endAfterBody(request, response, told);
}

/** What is said on a connection on which no request could be read; it is closed after that. */
export function rawBadRequest(code: string): Uint8Array {
  const why =
    code === 'HPE_HEADER_OVERFLOW'
      ? 'the headers are too long'
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'the request did not come in time'
        : 'this is not HTTP/1.1';
  const { status, headers, body } = problem(new LamplighterError('ERR_BAD_REQUEST', why));
  const fields = { ...HEADERS, ...headers, 'content-length': String(body.length), connection: 'close' };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} Bad Request\r\n${lines.join('')}\r\n`), body]);
}
