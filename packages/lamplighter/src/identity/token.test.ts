import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ROLES } from './roles.js';
import {
  decodeToken,
  encodeToken,
  isTokenId,
  newToken,
  type Token,
  tokenKeys,
  wipeTokenKeys,
} from './token.js';

const count = (from: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => from + index);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const KNOWN: Token = {
  id: count(0x40, 16),
  secret: count(0, 32),
  keyHash: new Uint8Array(32).fill(0xa5),
  role: 'machine',
  expiresAtMs: 1_900_000_000_000,
};
/** Made with Python's hashlib, hmac and base64, as the docstrings say. */
const KNOWN_TEXT =
  'lamplighter-token-1.QEFCQ0RFRkdISUpLTE1OTwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaUEAAAAAHE_swBJE9ti';
const KNOWN_KEYS = {
  hedge:
    'ed9b698589152842d31369a17736257ce2d015ef4444f2c4f3797d2f8c4f73d7ff71c1450fe85d25bdbb24f7ffb7a8d0890a37d4d108886186c137f88069a924',
  proof: '221248168bbd9f42804ca3a4f81bc1008819d43baf2309a6327533dfed65f1ba',
  seed: 'd7cbee54236b48996263e69284dc68ed55fdd04f17ab69da73a82f80e9f030ad24b774de3d8928568b81ecc6bfc9b711018b30d033f3adf30000c19d3a4ac499',
};

const code = (text: string): unknown => {
  try {
    decodeToken(text);
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
  return undefined;
};

describe('a token', () => {
  it('is the text that the format says, and is read back', () => {
    expect(encodeToken(KNOWN)).toBe(KNOWN_TEXT);
    expect(decodeToken(KNOWN_TEXT)).toEqual(KNOWN);
    expect(decodeToken(` \t${KNOWN_TEXT}\r\n\n`)).toEqual(KNOWN);
  });

  it('whatever is in it, comes back', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const token = fc.record({
      id: bytes(16),
      secret: bytes(32),
      keyHash: bytes(32),
      role: fc.constantFrom(...ROLES),
      expiresAtMs: fc.integer({ min: 0, max: 8_640_000_000_000 }).map((seconds) => seconds * 1_000),
    });
    fc.assert(
      fc.property(token, (one) => {
        expect(decodeToken(encodeToken(one))).toEqual(one);
      }),
    );
  });

  it('with any one character changed, left out or put in is none', () => {
    for (let at = 0; at < KNOWN_TEXT.length; at += 1) {
      const [before, after] = [KNOWN_TEXT.slice(0, at), KNOWN_TEXT.slice(at + 1)];
      const other = KNOWN_TEXT[at] === 'A' ? 'B' : 'A';
      for (const text of [before + other + after, before + after, before + other + KNOWN_TEXT.slice(at)]) {
        if (text === KNOWN_TEXT) continue;
        expect(code(text), text).toBe('ERR_TOKEN_FORMAT');
      }
    }
  });

  it.each([
    ['nothing', ''],
    ['another version', KNOWN_TEXT.replace('-1.', '-2.')],
    ['the usual base64', KNOWN_TEXT.replace('_', '/')],
    ['padding', `${KNOWN_TEXT}=`],
    ['white space within', `${KNOWN_TEXT.slice(0, 60)} ${KNOWN_TEXT.slice(60)}`],
    ['two of them', `${KNOWN_TEXT}\n${KNOWN_TEXT}`],
    ['a megabyte', 'lamplighter-token-1.'.padEnd(1_048_576, 'A')],
  ])('is not %s', (_what, text) => expect(code(text)).toBe('ERR_TOKEN_FORMAT'));

  it('never stands in the error', () => {
    const broken = KNOWN_TEXT.slice(0, -1) + 'A';
    try {
      decodeToken(broken);
      expect.unreachable();
    } catch (error) {
      const told = JSON.stringify(error, Object.getOwnPropertyNames(error));
      expect(told).not.toContain(broken.slice(20, 60));
      expect(told).toContain('token create');
    }
  });

  it('refuses to be made of what it cannot hold', () => {
    expect(() => encodeToken({ ...KNOWN, id: count(0, 15) })).toThrow(RangeError);
    expect(() => encodeToken({ ...KNOWN, secret: count(0, 33) })).toThrow(RangeError);
    expect(() => encodeToken({ ...KNOWN, expiresAtMs: 1_500 })).toThrow(RangeError);
    expect(() => encodeToken({ ...KNOWN, expiresAtMs: -1_000 })).toThrow(RangeError);
  });

  it('has an id and a secret of its own', () => {
    const many = Array.from({ length: 100 }, () => newToken(KNOWN));
    for (const part of ['id', 'secret'] as const) {
      expect(new Set(many.map((one) => hex(one[part]))).size).toBe(100);
    }
  });
});

describe('the keys of a token', () => {
  it('are what HKDF-SHA-512 gives', () => {
    const keys = tokenKeys(KNOWN.secret);
    expect({ hedge: hex(keys.hedge), proof: hex(keys.proof), seed: hex(keys.seed) }).toEqual(KNOWN_KEYS);
    wipeTokenKeys(keys);
    expect(hex(keys.seed)).toBe('00'.repeat(64));
  });

  it('need the whole secret', () => {
    expect(() => tokenKeys(count(0, 31))).toThrow(RangeError);
  });
});

it('an id is 32 lower-case hex digits and nothing that a path could be made of', () => {
  expect(isTokenId('0123456789abcdef0123456789abcdef')).toBe(true);
  for (const word of ['', 'A'.repeat(32), 'a'.repeat(31), `../${'a'.repeat(29)}`, `${'a'.repeat(32)}\n`]) {
    expect(isTokenId(word)).toBe(false);
  }
});
