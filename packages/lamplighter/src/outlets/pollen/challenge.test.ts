import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ChallengeRequest, challengeOf } from './challenge.js';

const FORM = 'application/x-www-form-urlencoded';

function ask(target: string, rest: Partial<ChallengeRequest> = {}): string | undefined {
  const challenge = challengeOf({
    method: 'GET',
    target,
    contentType: undefined,
    body: new Uint8Array(0),
    ...rest,
  });
  return challenge && Buffer.from(challenge).toString('latin1');
}

function post(target: string, body: string, contentType: string | undefined = FORM, method = 'POST') {
  return ask(target, { method, contentType, body: Buffer.from(body, 'latin1') });
}

describe('a challenge in the query', () => {
  it.each([
    ['/?challenge=abc', 'abc'],
    ['/any/path/at/all?x=1&challenge=abc', 'abc'],
    ['http://host/?challenge=abc', 'abc'],
    ['/?challenge=abc&challenge=def', 'abc'],
    ['/?challenge=&challenge=def', undefined],
    ['/?challenge', undefined],
    ['/?challenge=', undefined],
    ['/?Challenge=abc', undefined],
    ['/', undefined],
    ['/challenge=abc', undefined],
    ['/?&&challenge=abc', 'abc'],
    ['/?ch%61llenge=a%62c', 'abc'],
    ['/?challenge=a+c', 'a c'],
    ['/?challenge=a%2bc', 'a+c'],
    ['/?challenge=a=b?c#d', 'a=b?c#d'],
    ['/?challenge=a%00c', 'a\0c'],
    ['/?challenge=%fF%fe', '\xff\xfe'],
    ['/?challenge=\xc3\xa4', '\xc3\xa4'],
    ['/?challenge=a%zzc', undefined],
    ['/?challenge=abc%', undefined],
    ['/?challenge=abc%4', undefined],
    ['/?challenge=%zz&challenge=abc', 'abc'],
    ['/?x=%zz&challenge=abc&%=1', 'abc'],
    ['/?challenge=abc;x=1', undefined],
    ['/?x=1;y=2&challenge=abc', 'abc'],
  ])('%s', (target, expected) => {
    expect(ask(target)).toBe(expected);
  });
});

describe('a challenge in a form', () => {
  it('goes before one in the query, also when it is empty', () => {
    expect(post('/', 'challenge=abc')).toBe('abc');
    expect(post('/?challenge=q', 'challenge=b')).toBe('b');
    expect(post('/?challenge=q', 'challenge=')).toBeUndefined();
    expect(post('/?challenge=q', 'x=1')).toBe('q');
    expect(post('/?challenge=q', 'challenge=%zz')).toBe('q');
    expect(post('/?challenge=', 'challenge=abc')).toBe('abc');
  });

  it('is read of POST, PUT and PATCH', () => {
    for (const method of ['POST', 'PUT', 'PATCH'])
      expect(post('/', 'challenge=abc', FORM, method)).toBe('abc');
    for (const method of ['GET', 'DELETE', 'OPTIONS']) {
      expect(post('/', 'challenge=abc', FORM, method)).toBeUndefined();
      expect(post('/?challenge=q', 'challenge=abc', FORM, method)).toBe('q');
    }
  });

  it('is a form only by its media type', () => {
    expect(post('/', 'challenge=abc', `${FORM}; charset=utf-8`)).toBe('abc');
    expect(post('/', 'challenge=abc', 'Application/X-WWW-Form-URLEncoded ;=')).toBe('abc');
    for (const type of ['', 'text/plain', 'application/json', 'multipart/form-data; boundary=B']) {
      expect(post('/', 'challenge=abc', type)).toBeUndefined();
      expect(post('/?challenge=q', 'challenge=abc', type)).toBe('q');
    }
    expect(ask('/', { method: 'POST', body: Buffer.from('challenge=abc') })).toBeUndefined();
  });

  it('is bytes: nothing is trimmed, and nothing need be UTF-8', () => {
    expect(post('/', 'challenge=\xff\0\n')).toBe('\xff\0\n');
    expect(post('/', '\xef\xbb\xbfchallenge=abc')).toBeUndefined();
  });
});

it('is whatever bytes the client escaped', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
      const escaped = Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
      const plain = Buffer.from(bytes).toString('latin1');
      expect(ask(`/?challenge=${escaped}`)).toBe(plain);
      expect(post('/', `a=b&challenge=${escaped}&c`)).toBe(plain);
    }),
  );
});

it('agrees with the URL standard on everything that is well escaped UTF-8', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('challenge', 'x', ''), fc.string())), (pairs) => {
      const query = new URLSearchParams(pairs).toString();
      const expected = new URLSearchParams(query).get('challenge') ?? '';
      const found = challengeOf({
        method: 'GET',
        target: `/?${query}`,
        contentType: undefined,
        body: new Uint8Array(0),
      });
      expect(found && Buffer.from(found).toString('utf8')).toBe(expected === '' ? undefined : expected);
    }),
  );
});
