import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hmac } from './hmac.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('hmac', () => {
  // RFC 4231, sections 4.3 (case 2) and 4.7 (case 6: a key longer than the block).
  const rows = [
    {
      row: 'case 2',
      key: Buffer.from('Jefe'),
      data: Buffer.from('what do ya want for nothing?'),
      sha256: '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
      sha512:
        '164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554' +
        '9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737',
    },
    {
      row: 'case 6',
      key: Buffer.alloc(131, 0xaa),
      data: Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
      sha256: '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
      sha512:
        '80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352' +
        '6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598',
    },
  ];

  it.each(rows)('RFC 4231 $row', ({ key, data, sha256, sha512 }) => {
    expect(hex(hmac('sha256', key, data))).toBe(sha256);
    expect(hex(hmac('sha512', key, data))).toBe(sha512);
  });

  it('hashes the concatenation of its chunks', () => {
    const key = Buffer.from('Jefe');
    const whole = hex(hmac('sha512', key, Buffer.from('what do ya want for nothing?')));
    const chunks = ['what do ya ', '', 'want for nothing?'].map((text) => Buffer.from(text));
    expect(hex(hmac('sha512', key, ...chunks))).toBe(whole);
  });

  it('takes an empty key, which is a key of zeros', () => {
    const data = Buffer.from('x');
    expect(hex(hmac('sha512', new Uint8Array(0), data))).toBe(hex(hmac('sha512', new Uint8Array(64), data)));
  });

  it('agrees with OpenSSL, whatever the lengths, and leaves its inputs alone', () => {
    const bytes = (maxLength: number) => fc.uint8Array({ maxLength, size: 'max' });
    fc.assert(
      fc.property(
        fc.constantFrom('sha256' as const, 'sha512' as const),
        bytes(300),
        fc.array(bytes(1_500), { maxLength: 3 }),
        (hash, key, chunks) => {
          const before = hex(Buffer.concat([key, ...chunks]));
          const expected = createHmac(hash, key).update(Buffer.concat(chunks)).digest('hex');
          expect(hex(hmac(hash, key, ...chunks))).toBe(expected);
          expect(hex(Buffer.concat([key, ...chunks]))).toBe(before);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes a message that is an earlier result', () => {
    const [key, first] = [Buffer.from('Jefe'), hmac('sha512', Buffer.from('Jefe'), Buffer.from('x'))];
    const expected = createHmac('sha512', key).update(first).digest('hex');
    expect(hex(hmac('sha512', key, first))).toBe(expected);
    expect(hex(hmac('sha512', first, first))).toBe(createHmac('sha512', first).update(first).digest('hex'));
  });

  it('refuses what is not bytes', () => {
    const text: unknown = 'text';
    expect(() => hmac('sha512', text as Uint8Array)).toThrow(TypeError);
    expect(() => hmac('sha512', new Uint8Array(1), text as Uint8Array)).toThrow(TypeError);
  });
});
