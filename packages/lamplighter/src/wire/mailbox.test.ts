import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMailboxName, mailboxName } from './mailbox.js';

const HEX = '0123456789abcdef'.repeat(2);

describe('mailbox names', () => {
  it('are hexadecimal of the bytes', () => {
    const bytes = Uint8Array.from({ length: 16 }, (_, at) => at);
    expect(mailboxName(bytes)).toBe('000102030405060708090a0b0c0d0e0f.entropy');
  });

  it('are recognised at every length, and no two are the same', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 64 });
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        expect(isMailboxName(mailboxName(one))).toBe(true);
        expect(mailboxName(one) === mailboxName(other)).toBe(Buffer.from(one).equals(other));
      }),
    );
  });

  it.each([15, 65])('are not made of %i bytes', (length) => {
    expect(() => mailboxName(new Uint8Array(length))).toThrow(RangeError);
  });

  it.each([
    '',
    '.entropy',
    `${HEX.slice(1)}.entropy`,
    `${HEX.slice(2)}.entropy`,
    `${HEX.repeat(4)}00.entropy`,
    `${HEX.toUpperCase()}.entropy`,
    `${HEX}.entropy\n`,
    `${HEX}\n.entropy`,
    `\n${HEX}.entropy`,
    `../${HEX}.entropy`,
    `${HEX}.entropy/..`,
    `${HEX}.entropy\0`,
    `.${HEX}.entropy`,
    `${HEX}.entropy.part`,
    `${HEX}xentropy`,
    `${'０'.repeat(32)}.entropy`,
  ])('are not %j', (name) => {
    expect(isMailboxName(name)).toBe(false);
  });
});
