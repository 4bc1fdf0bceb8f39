import { describe, expect, it } from 'vitest';
import { completedHeaders } from './answer-headers.js';

describe('completedHeaders', () => {
  it('adds what no route can change, and takes no route’s word for it', () => {
    const given = { 'content-type': 'text/plain', 'cache-control': 'public', 'content-length': '7' };
    expect(completedHeaders(given, 64)).toEqual({
      'content-type': 'text/plain',
      'content-length': '64',
      'cache-control': 'no-store',
    });
    expect(completedHeaders({}, undefined)).toEqual({ 'cache-control': 'no-store' });
  });

  it('remembers what cannot change, for its length alone, and nothing else', () => {
    const frozen = Object.freeze({ a: '1' });
    expect(completedHeaders(frozen, 64)).toBe(completedHeaders(frozen, 64));
    expect(completedHeaders(frozen, 65)['content-length']).toBe('65');
    const open = { a: '1' };
    completedHeaders(open, 64);
    open.a = '2';
    expect(completedHeaders(open, 64)['a']).toBe('2');
  });
});
