import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_XENSTORE_PAYLOAD_BYTES,
  XENSTORE_TYPE,
  type XenstoreMessage,
  XenstoreMessageDecoder,
  decodeXenstoreEntropy,
  encodeXenstoreEntropy,
  encodeXenstoreMessage,
  isXenstorePath,
  splitXenstoreFields,
  xenstoreFields,
  xenstoreWritePayload,
} from './xenstore.js';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const message = fc.record({
  type: u32,
  requestId: u32,
  transactionId: u32,
  payload: fc.uint8Array({ maxLength: 200 }),
});

function decodeAll(chunks: readonly Uint8Array[]): XenstoreMessage[] {
  const decoder = new XenstoreMessageDecoder();
  const messages: XenstoreMessage[] = [];
  for (const chunk of chunks) decoder.push(chunk, (decoded) => messages.push(decoded));
  return messages;
}

describe('the xenstore protocol', () => {
  it('has a header of four little-endian words: type, request, transaction, length (xs_wire.h)', () => {
    const bytes = encodeXenstoreMessage({
      type: XENSTORE_TYPE.read,
      requestId: 0x01020304,
      transactionId: 5,
      payload: xenstoreFields('/local'),
    });
    expect(Buffer.from(bytes).toString('hex')).toBe('020000000403020105000000070000002f6c6f63616c00');
  });

  it('gives back what was encoded, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map(encodeXenstoreMessage));
          const chunks: Uint8Array[] = [];
          for (let at = 0; at < bytes.length;) {
            const [length = 1] = cuts.take(1);
            chunks.push(bytes.subarray(at, at + length));
            at += length;
          }
          expect(decodeAll(chunks)).toEqual(messages);
          expect(decodeAll([bytes])).toEqual(messages);
        },
      ),
    );
  });

  it('takes the longest payload there is, and no longer one', () => {
    const payload = new Uint8Array(MAX_XENSTORE_PAYLOAD_BYTES).fill(7);
    const bytes = encodeXenstoreMessage({ type: 2, requestId: 1, transactionId: 0, payload });
    expect(decodeAll([bytes])[0]?.payload).toEqual(payload);
    expect(() =>
      encodeXenstoreMessage({ type: 2, requestId: 1, transactionId: 0, payload: new Uint8Array(4097) }),
    ).toThrow(RangeError);
    const tooLong = Buffer.from(bytes);
    tooLong.writeUInt32LE(4097, 12);
    expect(() => decodeAll([tooLong.subarray(0, 16), Uint8Array.of(1)])).toThrow(
      expect.objectContaining({ code: 'ERR_XENSTORE_PROTOCOL' }) as Error,
    );
  });

  it('never holds more than one message of any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 50 }), (chunks) => {
        try {
          for (const { payload } of decodeAll(chunks)) expect(payload.length).toBeLessThanOrEqual(4096);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_XENSTORE_PROTOCOL' });
        }
      }),
    );
  });

  it('splits and joins fields; a value has no zero byte after it', () => {
    expect(splitXenstoreFields(xenstoreFields('a', '', 'b'))).toEqual(['a', '', 'b']);
    expect(splitXenstoreFields(Buffer.from('a\0b'))).toEqual(['a']);
    expect(splitXenstoreFields(new Uint8Array(0))).toEqual([]);
    expect(Buffer.from(xenstoreWritePayload('/a', Uint8Array.of(1, 0, 2))).toString('hex')).toBe(
      '2f6100010002',
    );
  });

  it('writes entropy as lowercase hex and reads it in either case', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 100 }), (bytes) => {
        const text = encodeXenstoreEntropy(bytes);
        expect(Buffer.from(text).toString()).toBe(Buffer.from(bytes).toString('hex'));
        expect(decodeXenstoreEntropy(text)).toEqual(bytes);
        expect(decodeXenstoreEntropy(Buffer.from(Buffer.from(text).toString().toUpperCase()))).toEqual(bytes);
      }),
    );
  });

  it('takes nothing else for entropy', () => {
    const hex = /^(?:[0-9a-fA-F]{2})+$/;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8 }), (value) => {
        const isHex = hex.test(Buffer.from(value).toString('latin1'));
        expect(decodeXenstoreEntropy(value) !== undefined).toBe(isHex);
      }),
    );
    for (const wrong of ['', 'a', 'abc', 'gg', '@@', '``', 'ab\n', ' ab'])
      expect(decodeXenstoreEntropy(Buffer.from(wrong))).toBeUndefined();
  });

  it.each(['data', '/local/domain/7/data', 'a-b_c@d', '@introduceDomain'])('has the path %s', (path) => {
    expect(isXenstorePath(path)).toBe(true);
  });

  it.each(['', '/', 'a/', 'a//b', 'a b', 'a\0', 'a\n', 'é', `/${'x'.repeat(3072)}`, 'x'.repeat(2049)])(
    'does not have the path %j',
    (path) => {
      expect(isXenstorePath(path)).toBe(false);
    },
  );
});
