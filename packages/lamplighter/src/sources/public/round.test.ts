import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DRAND_SCHEMES, type DrandScheme, lengthsOf } from './chain.js';
import { messageOf, parseRound, refuseUnlessBound } from './round.js';

const hex = (lengthBytes: number): string => 'a5'.repeat(lengthBytes);

function valid(scheme: DrandScheme): Record<string, unknown> {
  const { signatureBytes } = lengthsOf(scheme);
  return {
    round: 7,
    randomness: hex(32),
    signature: hex(signatureBytes),
    ...(scheme === 'pedersen-bls-chained' && { previous_signature: hex(signatureBytes) }),
  };
}

const parse = (scheme: DrandScheme, text: string) => parseRound(Buffer.from(text), scheme);
const fault = expect.objectContaining({ code: 'ERR_DRAND_FORMAT' }) as Error;

describe.each(DRAND_SCHEMES)('a round of %s', (scheme) => {
  it('is read as it is', () => {
    const round = parse(scheme, JSON.stringify(valid(scheme)));
    expect(round.round).toBe(7);
    expect(Buffer.from(round.randomness).toString('hex')).toBe(hex(32));
    expect(Buffer.from(round.signature).toString('hex')).toBe(valid(scheme)['signature']);
    expect(round.previousSignature?.length).toBe(scheme === 'pedersen-bls-chained' ? 96 : undefined);
  });

  it.each(['round', 'randomness', 'signature'])('needs %s', (name) => {
    const { [name]: _gone, ...rest } = valid(scheme);
    expect(() => parse(scheme, JSON.stringify(rest))).toThrow(fault);
  });

  it.each<[string, Record<string, unknown>]>([
    ['round 0', { round: 0 }],
    ['a negative round', { round: -1 }],
    ['a round and a half', { round: 1.5 }],
    ['a round beyond what a number holds', { round: 2 ** 53 }],
    ['a round in words', { round: '7' }],
    ['a randomness that is too short', { randomness: hex(31) }],
    ['a randomness in capitals', { randomness: hex(32).toUpperCase() }],
    ['a randomness that is no hex', { randomness: 'zz'.repeat(32) }],
    ['a signature of another length', { signature: hex(64) }],
    ['a signature that is a list', { signature: [hex(48)] }],
    ['a field that does not belong', { comment: 'hello' }],
    ['a prototype', Object.fromEntries([['__proto__', {}]])],
    ['no chain where there is one, or one where there is none', { previous_signature: hex(3) }],
  ])('is refused with %s', (_what, change) => {
    expect(() => parse(scheme, JSON.stringify({ ...valid(scheme), ...change }))).toThrow(fault);
  });

  it('is refused wherever it is cut off', () => {
    const text = JSON.stringify(valid(scheme));
    for (let end = 0; end < text.length; end += 1) {
      expect(() => parse(scheme, text.slice(0, end))).toThrow(fault);
    }
  });
});

describe('what is no round', () => {
  it.each(['', 'null', '7', '"round"', '[]', '{}', '<html>', '{"round":7}'])('%j', (text) => {
    expect(() => parse('pedersen-bls-unchained', text)).toThrow(fault);
  });

  it('is never anything but refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
        expect(() => parseRound(garbage, 'pedersen-bls-unchained')).toThrow(fault);
      }),
    );
  });
});

describe('what a round says', () => {
  it('follows the group’s seed when it is the first of its chain', () => {
    const scheme = 'pedersen-bls-chained';
    const first = { ...valid(scheme), round: 1, previous_signature: hex(32) };
    expect(parse(scheme, JSON.stringify(first)).previousSignature?.length).toBe(32);
    expect(() => parse(scheme, JSON.stringify({ ...valid(scheme), round: 1 }))).toThrow(fault);
  });

  it('is signed as SHA-256 of a u64, after the signature before it', () => {
    // Source: `printf '\0\0\0\0\0\0\0\1' | sha256sum`, and with 'aa' in front of it.
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
    expect(text(messageOf({ round: 1, previousSignature: undefined }))).toBe(
      'cd2662154e6d76b2b2b92e70c0cac3ccf534f9b74eb5b89819ec509083d00a50',
    );
    expect(text(messageOf({ round: 1, previousSignature: Buffer.from('aa') }))).toBe(
      '290a0f27e1e8d4ead6f18a703eee7e1ea9c2876125671dd9aaa7850004d6b6a1',
    );
  });

  it('has the hash of its signature for randomness, or is refused', () => {
    const round = parse('pedersen-bls-unchained', JSON.stringify(valid('pedersen-bls-unchained')));
    expect(() => refuseUnlessBound(round)).toThrow(
      expect.objectContaining({ code: 'ERR_DRAND_RANDOMNESS' }) as Error,
    );
  });
});
