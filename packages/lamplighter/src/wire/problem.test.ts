import { ERROR_ACTIONS, type ErrorCode, LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { problemOf, rawProblem } from './problem.js';

const CODES = Object.keys(ERROR_ACTIONS) as ErrorCode[];

function parsed(error: unknown): unknown {
  return JSON.parse(Buffer.from(problemOf(error).body).toString());
}

describe('problemOf', () => {
  it.each(CODES)('%s: tells the peer its code, or nothing at all', (code) => {
    const { status, headers } = problemOf(
      new LamplighterError(code, 'what happened', { hint: 'local advice' }),
    );
    const body = parsed(new LamplighterError(code, 'what happened', { hint: 'local advice' }));
    expect(headers['content-type']).toBe('application/problem+json');
    expect(headers['retry-after']).toBe(status === 503 || status === 429 ? '1' : undefined);
    if (status === 500) {
      expect(body).toEqual({ title: 'Internal Server Error', status, code: 'ERR_INTERNAL' });
    } else {
      expect(body).toMatchObject({ status, code, detail: 'what happened' });
    }
    expect(JSON.stringify(body)).not.toContain('advice');
  });

  it.each<[ErrorCode, number]>([
    ['ERR_BAD_REQUEST', 400],
    ['ERR_INTERVAL', 400],
    ['ERR_NO_CERTIFICATE', 401],
    ['ERR_CERTIFICATE_IDENTITY', 401],
    ['ERR_ROLE', 403],
    ['ERR_NOT_FOUND', 404],
    ['ERR_METHOD', 405],
    ['ERR_NONCE_LENGTH', 413],
    ['ERR_BODY_TOO_LARGE', 413],
    ['ERR_NOT_SEEDED', 503],
    ['ERR_TOO_MANY_CONNECTIONS', 503],
    ['ERR_OVERLOADED', 503],
    ['ERR_QUOTA', 429],
    ['ERR_REVOKED', 403],
    ['ERR_TOKEN_UNKNOWN', 403],
    ['ERR_TOKEN_EXPIRED', 403],
    ['ERR_TOKEN_SPENT', 403],
    ['ERR_TOKEN_REVOKED', 403],
    ['ERR_TOKEN_ROLE', 403],
    ['ERR_ENROLL_PROOF', 403],
    ['ERR_CSR', 400],
    ['ERR_CSR_NAME', 403],
    ['ERR_CHALLENGE', 400],
    ['ERR_KEY_FILE', 500],
    ['ERR_STATE_FILE', 500],
  ])('%s is %i', (code, status) => {
    expect(problemOf(new LamplighterError(code, 'x')).status).toBe(status);
  });

  it.each<[number, string]>([
    [1, '1'],
    [1_000, '1'],
    [1_001, '2'],
    [59_000.5, '60'],
  ])('%d ms until a quota has room again are Retry-After: %s', (retryAfterMs, seconds) => {
    const error = new LamplighterError('ERR_QUOTA', 'x', { retryAfterMs });
    expect(problemOf(error).headers['retry-after']).toBe(seconds);
  });

  it.each([new Error('/etc/secret'), new TypeError('/etc/secret'), '/etc/secret', undefined, null])(
    'says nothing about %s',
    (error) => {
      expect(parsed(error)).toEqual({ title: 'Internal Server Error', status: 500, code: 'ERR_INTERNAL' });
    },
  );
});

describe('rawProblem', () => {
  it('is the same as an HTTP answer that closes and is never stored', () => {
    const error = new LamplighterError('ERR_BAD_REQUEST', 'this is not HTTP/1.1');
    const [head = '', body = ''] = Buffer.from(rawProblem(error)).toString().split('\r\n\r\n');
    expect(head.split('\r\n')).toEqual([
      'HTTP/1.1 400 Bad Request',
      'content-type: application/problem+json',
      'cache-control: no-store',
      `content-length: ${body.length}`,
      'connection: close',
    ]);
    expect(JSON.parse(body)).toEqual(parsed(error));
  });
});
