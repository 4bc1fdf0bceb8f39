import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TRICKLE_GREETING, TRICKLE_HELLO, TrickleGreeting, TrickleHellos } from './trickle.js';

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const fault = expect.objectContaining({ code: 'ERR_TRICKLE_PROTOCOL' }) as Error;

/** Cuts bytes into pieces, some of them empty. */
function* pieces(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (const length of lengths) yield bytes.subarray(at, (at += length));
  yield bytes.subarray(at);
}

/** What the search relies on. */
it('no message has its first letter in it again', () => {
  for (const message of [TRICKLE_HELLO, TRICKLE_GREETING])
    expect(message.lastIndexOf(message.charAt(0))).toBe(0);
});

it('the messages are xentropyd’s, to the byte', () => {
  expect(ascii(TRICKLE_HELLO).toString('hex')).toBe(
    '48656c6c6f2c206d61792049206861766520736f6d6520656e74726f70793f0d0a',
  );
  expect(ascii(TRICKLE_GREETING).toString('hex')).toBe(
    '596f75206d61792074726561742065766572797468696e6720666f6c6c6f77696e672074686973206d65737361676520617320656e74726f70792e0d0a',
  );
});

describe('TrickleHellos', () => {
  const count = (said: Uint8Array, lengths: readonly number[] = []): number => {
    const hellos = new TrickleHellos();
    let sum = 0;
    for (const piece of pieces(said, lengths)) sum += hellos.push(piece);
    return sum;
  };

  it('finds as many as were said, also behind unfinished ones, however they are cut', () => {
    const part = fc.nat(TRICKLE_HELLO.length).map((length) => TRICKLE_HELLO.slice(0, length));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 25 }), fc.array(fc.nat(40)), (parts, lengths) => {
        const whole = parts.filter((said) => said === TRICKLE_HELLO).length;
        expect(count(ascii(parts.join('')), lengths)).toBe(whole);
      }),
    );
  });

  it.each([
    ['another word', 'Goodbye'],
    ['another end', TRICKLE_HELLO.replace('\r\n', '\n')],
    ['something behind it', `${TRICKLE_HELLO}and more`],
    ['a zero byte', '\0'],
    ['a letter of another case', TRICKLE_HELLO.toUpperCase()],
  ])('refuses %s', (_what, said) => {
    expect(() => count(ascii(said))).toThrow(fault);
  });

  it('refuses a hello that is begun for ever', () => {
    expect(() => count(Buffer.alloc(100_000, 'H'))).toThrow(fault);
    expect(() => count(ascii('Hello, '.repeat(1_000)))).toThrow(fault);
    // A thousand whole ones are no fault here: how often they are answered is another matter.
    expect(count(ascii(TRICKLE_HELLO.repeat(1_000)))).toBe(1_000);
  });

  it('of any garbage finds hellos or a named fault, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
        try {
          expect(count(garbage)).toBe(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_TRICKLE_PROTOCOL' });
        }
      }),
    );
  });
});

describe('TrickleGreeting', () => {
  it('gives every byte behind it and none in front, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat(70)),
        (before, entropy, lengths) => {
          const greeting = new TrickleGreeting();
          const all = Buffer.concat([before, ascii(TRICKLE_GREETING), entropy]);
          const heard = [...pieces(all, lengths)].map((piece) => Buffer.from(greeting.push(piece)));
          expect(greeting.heard).toBe(true);
          expect(Buffer.concat(heard)).toEqual(Buffer.from(entropy));
        },
      ),
    );
  });

  it('is found behind one that was cut off', () => {
    const greeting = new TrickleGreeting();
    const said = ascii(`${TRICKLE_GREETING.slice(0, 20)}${TRICKLE_GREETING}x`);
    expect(Buffer.from(greeting.push(said)).toString()).toBe('x');
  });

  it('is entropy like everything else when it comes again', () => {
    const greeting = new TrickleGreeting();
    greeting.push(ascii(TRICKLE_GREETING));
    expect(greeting.push(ascii(TRICKLE_GREETING)).length).toBe(TRICKLE_GREETING.length);
  });

  it('is not waited for without end', () => {
    const greeting = new TrickleGreeting();
    const flood = Buffer.alloc(65_536, TRICKLE_GREETING.slice(0, -1));
    expect(() => {
      for (let i = 0; i < 5; i += 1) greeting.push(flood);
    }).toThrow(fault);
    expect(greeting.heard).toBe(false);
  });
});
