import { STATUS_CODES } from 'node:http';
import { LamplighterError, type ErrorCode } from '@lamplighter/core';

/** An answer that says what went wrong. */
export interface ProblemResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** The HTTP status of every error that is told to a peer. What is not here is our own affair: 500 without detail. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  ERR_BAD_REQUEST: 400,
  ERR_INTERVAL: 400,
  ERR_CHALLENGE: 400,
  ERR_CSR: 400,
  ERR_NO_CERTIFICATE: 401,
  ERR_CERTIFICATE_IDENTITY: 401,
  ERR_LOGIN: 401,
  ERR_ROLE: 403,
  ERR_REVOKED: 403,
  ERR_TOKEN_UNKNOWN: 403,
  ERR_TOKEN_EXPIRED: 403,
  ERR_TOKEN_SPENT: 403,
  ERR_TOKEN_REVOKED: 403,
  ERR_TOKEN_ROLE: 403,
  ERR_ENROLL_PROOF: 403,
  ERR_CSR_NAME: 403,
  ERR_ORIGIN: 403,
  ERR_NOT_FOUND: 404,
  ERR_METHOD: 405,
  ERR_BODY_TOO_LARGE: 413,
  ERR_NONCE_LENGTH: 413,
  ERR_QUOTA: 429,
  ERR_NOT_SEEDED: 503,
  ERR_OVERLOADED: 503,
  ERR_STOPPED: 503,
  ERR_TOO_MANY_CONNECTIONS: 503,
};

/** When asking again makes sense unless the error says so: a node is seeded within its seed deadline, mostly at once. */
const RETRY_AFTER_MS = 1_000;

/**
 * An error as JSON problem details with a stable `code`.
 *
 * Source: RFC 9457; `type` is left out, which means about:blank, so `title` is the status phrase.
 * @param error - anything thrown. A LamplighterError that concerns the peer keeps its code and message; everything
 *   else becomes 500 ERR_INTERNAL without any detail, because its text may speak of our files and insides
 * @returns status, headers (Content-Type; with 429 and 503 Retry-After, whole seconds, rounded up) and body; the caller adds
 *   Cache-Control
 */
export function problemOf(error: unknown): ProblemResponse {
  const known = error instanceof LamplighterError ? STATUS[error.code] : undefined;
  const status = known ?? 500;
  const told = error instanceof LamplighterError && known !== undefined ? error : undefined;
  const details = {
    title: STATUS_CODES[status],
    status,
    code: told?.code ?? 'ERR_INTERNAL',
    detail: told?.message,
  };
  return {
    status,
    headers: {
      'content-type': 'application/problem+json',
      ...(status === 503 || status === 429 ? { 'retry-after': retryAfter(told?.retryAfterMs) } : {}),
    },
    body: Buffer.from(JSON.stringify(details)),
  };
}

const retryAfter = (waitMs = RETRY_AFTER_MS): string => String(Math.max(1, Math.ceil(waitMs / 1_000)));

/** The same as bytes for a socket on which no request could be read; the connection closes after it. */
export function rawProblem(error: unknown): Uint8Array {
  const { status, headers, body } = problemOf(error);
  const fields = {
    ...headers,
    'cache-control': 'no-store',
    'content-length': String(body.length),
    connection: 'close',
  };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head.join('')}\r\n`),
    body,
  ]);
}
