import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePollenAnswer, POLLEN_ANSWER_LENGTH_BYTES, pollenAnswer } from './pollen.js';

const CHALLENGE = Buffer.from('abc');
const RANDOM = Uint8Array.from({ length: 64 }, (_, index) => index * 4 + 3);
/** FIPS 180-4, the SHA-512 example of one block. */
const ABC =
  'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
  '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f';

const wrong = { code: 'ERR_POLLEN_ANSWER', action: 'go-on-without' };

describe('a pollen answer', () => {
  it('is the hash of the challenge and 64 random bytes, each a line of lower-case hex', () => {
    const answer = Buffer.from(pollenAnswer(CHALLENGE, RANDOM));
    expect(answer.toString('latin1')).toBe(`${ABC}\n${Buffer.from(RANDOM).toString('hex')}\n`);
    expect(answer).toHaveLength(POLLEN_ANSWER_LENGTH_BYTES);
  });

  it('holds 64 random bytes, not one more or fewer', () => {
    expect(() => pollenAnswer(CHALLENGE, RANDOM.subarray(1))).toThrow(RangeError);
    expect(() => pollenAnswer(CHALLENGE, new Uint8Array(65))).toThrow(RangeError);
  });

  it('gives back what went in, whatever was asked', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        (challenge, random) => {
          const answer = pollenAnswer(challenge, random);
          expect(decodePollenAnswer(challenge, answer)).toEqual(random);
          const digest = createHash('sha512').update(challenge).digest('hex');
          expect(Buffer.from(answer.subarray(0, 128)).toString('latin1')).toBe(digest);
        },
      ),
    );
  });

  it('is in memory of its own: neither wiping one nor the other touches anything else', () => {
    const answer = pollenAnswer(CHALLENGE, RANDOM);
    expect(answer.buffer.byteLength).toBe(answer.length);
    const random = decodePollenAnswer(CHALLENGE, answer);
    expect(random.buffer.byteLength).toBe(random.length);
    answer.fill(0);
    expect(random).toEqual(RANDOM);
  });
});

describe('an answer that is refused', () => {
  it('is one byte short or one too long', () => {
    const answer = pollenAnswer(CHALLENGE, RANDOM);
    for (const odd of [
      answer.subarray(1),
      answer.subarray(0, 257),
      Buffer.concat([answer, answer.subarray(0, 1)]),
    ]) {
      expect(() => decodePollenAnswer(CHALLENGE, odd)).toThrow(expect.objectContaining(wrong));
    }
    expect(() => decodePollenAnswer(CHALLENGE, new Uint8Array(0))).toThrow(expect.objectContaining(wrong));
  });

  it('answers another challenge', () => {
    const replayed = pollenAnswer(Buffer.from('abd'), RANDOM);
    expect(() => decodePollenAnswer(CHALLENGE, replayed)).toThrow(/does not belong to our challenge/);
  });

  it('differs in any one bit of the first line, the line feeds or the alphabet', () => {
    const answer = pollenAnswer(CHALLENGE, RANDOM);
    fc.assert(
      fc.property(fc.nat(257), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const odd = Uint8Array.from(answer);
        const byte = (odd[at] ?? 0) ^ flip;
        odd[at] = byte;
        const isOtherRandom = at > 128 && at < 257 && /[0-9a-f]/.test(String.fromCharCode(byte));
        if (isOtherRandom) expect(decodePollenAnswer(CHALLENGE, odd)).not.toEqual(RANDOM);
        else expect(() => decodePollenAnswer(CHALLENGE, odd)).toThrow(expect.objectContaining(wrong));
      }),
      { numRuns: 500 },
    );
  });

  it('is told nothing of in the error', () => {
    const odd = pollenAnswer(CHALLENGE, RANDOM);
    odd[200] = 0x58;
    try {
      decodePollenAnswer(CHALLENGE, odd);
      expect.unreachable();
    } catch (error) {
      const text = JSON.stringify(error) + String(error);
      expect(text).not.toContain(Buffer.from(RANDOM.subarray(0, 4)).toString('hex'));
    }
  });
});
