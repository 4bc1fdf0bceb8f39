import { hash, timingSafeEqual } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';

/*
 * The protocol of pollen and pollinate: a challenge is asked, two lines of hex are answered. Source: DESIGN section 8, and
 * Debian's pollen 4.21 watched from outside.
 */

/** Random bytes in an answer. */
export const POLLEN_RANDOM_LENGTH_BYTES = 64;
/** Two lines of 128 hex digits, each with its line feed. */
export const POLLEN_ANSWER_LENGTH_BYTES = 258;
/** The media type of an answer, letter for letter. */
export const POLLEN_CONTENT_TYPE = 'text/plain; charset=utf-8';
/** The media type of what pollinate and our own clients ask with. */
export const POLLEN_FORM_CONTENT_TYPE = 'application/x-www-form-urlencoded';
/** The field that holds the challenge, in a query or a form. */
export const POLLEN_FIELD = 'challenge';

const LINE_LENGTH_BYTES = 2 * POLLEN_RANDOM_LENGTH_BYTES;
const SECOND_LINE_AT = LINE_LENGTH_BYTES + 1;
const LINE_FEED = 0x0a;
const DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));
const NO_DIGIT = 16;
/** What a digit is worth by its character; {@link NO_DIGIT} for all others. */
const WORTH = new Uint8Array(256).fill(NO_DIGIT);
DIGITS.forEach((digit, worth) => (WORTH[digit] = worth));

/**
 * An answer: `hex(sha512(challenge)) LF hex(random) LF`.
 *
 * The first line proves that this challenge was read, and nothing else: whoever sees the challenge can make it.
 * @param challenge - as the client sent it, decoded; any length
 * @param random - 64 secret bytes; the caller wipes them
 * @returns 258 bytes of memory of their own, which the caller wipes
 * @throws RangeError unless `random` is 64 bytes
 */
export function pollenAnswer(challenge: Uint8Array, random: Uint8Array): Uint8Array {
  if (random.length !== POLLEN_RANDOM_LENGTH_BYTES) {
    throw new RangeError(`a pollen answer holds ${POLLEN_RANDOM_LENGTH_BYTES} random bytes`);
  }
  // Not a Buffer's toString('hex'): secrets do not become strings.
  const answer = new Uint8Array(POLLEN_ANSWER_LENGTH_BYTES);
  writeHex(hash('sha512', challenge, 'buffer'), answer.subarray(0, LINE_LENGTH_BYTES));
  answer[LINE_LENGTH_BYTES] = LINE_FEED;
  writeHex(random, answer.subarray(SECOND_LINE_AT));
  answer[POLLEN_ANSWER_LENGTH_BYTES - 1] = LINE_FEED;
  return answer;
}

/**
 * Takes an answer apart.
 * @param challenge - what was asked with
 * @param answer - the whole body; the caller wipes it
 * @returns the 64 random bytes in memory of their own, which the caller wipes
 * @throws LamplighterError ERR_POLLEN_ANSWER unless it is 258 bytes, the first line answers this very challenge, and the second
 *   is lower-case hex
 */
export function decodePollenAnswer(challenge: Uint8Array, answer: Uint8Array): Uint8Array {
  if (answer.length !== POLLEN_ANSWER_LENGTH_BYTES) {
    throw wrong(`is ${answer.length} bytes, not ${POLLEN_ANSWER_LENGTH_BYTES}`);
  }
  const expected = new Uint8Array(SECOND_LINE_AT).fill(LINE_FEED);
  writeHex(hash('sha512', challenge, 'buffer'), expected.subarray(0, LINE_LENGTH_BYTES));
  if (!timingSafeEqual(answer.subarray(0, SECOND_LINE_AT), expected)) {
    throw wrong('does not belong to our challenge');
  }
  const random = new Uint8Array(POLLEN_RANDOM_LENGTH_BYTES);
  let bad = answer[POLLEN_ANSWER_LENGTH_BYTES - 1] === LINE_FEED ? 0 : NO_DIGIT;
  for (let index = 0; index < random.length; index += 1) {
    const high = WORTH[answer[SECOND_LINE_AT + 2 * index] ?? 0] ?? NO_DIGIT;
    const low = WORTH[answer[SECOND_LINE_AT + 2 * index + 1] ?? 0] ?? NO_DIGIT;
    bad |= (high | low) & NO_DIGIT;
    random[index] = (high << 4) | low;
  }
  if (bad === 0) return random;
  random.fill(0);
  throw wrong('has a second line that is not hex');
}

/** @param into - twice as long as `bytes`, or longer */
function writeHex(bytes: Uint8Array, into: Uint8Array): void {
  bytes.forEach((byte, index) => {
    into[2 * index] = DIGITS[byte >> 4] ?? 0;
    into[2 * index + 1] = DIGITS[byte & 15] ?? 0;
  });
}

function wrong(how: string): LamplighterError {
  return new LamplighterError('ERR_POLLEN_ANSWER', `the answer ${how}`, {
    hint: 'check that the address is that of a pollen server',
  });
}
