import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CarrierDecoder,
  type CarrierFrame,
  encodeCarrierFrame,
  MAX_CARRIER_PAYLOAD_BYTES,
} from './carrier.js';

const END = 0xc0;
const ESC = 0xdb;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Bytes among which those with a meaning of their own are frequent. */
const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((all) => all.map((byte) => (byte < 16 ? END : byte < 32 ? ESC : byte)));
const session = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const frame: fc.Arbitrary<CarrierFrame> = fc.oneof(
  session.map((session) => ({ type: 'open' as const, session, payload: new Uint8Array() })),
  session.map((session) => ({ type: 'close' as const, session, payload: new Uint8Array() })),
  fc
    .tuple(
      session,
      bytes(300).filter(({ length }) => length > 0),
    )
    .map(([session, payload]) => ({
      type: 'data' as const,
      session,
      payload,
    })),
);
const encoded = ({ type, session, payload }: CarrierFrame): Buffer =>
  encodeCarrierFrame(type, session, payload);

/** Decodes in pieces of these lengths, again and again. */
function decodeIn(
  pieces: readonly number[],
  line: Uint8Array,
  decoder = new CarrierDecoder(),
): CarrierFrame[] {
  const frames: CarrierFrame[] = [];
  for (let at = 0, i = 0; at < line.length; i += 1) {
    const length = pieces[i % pieces.length] ?? 1;
    frames.push(...decoder.push(line.subarray(at, at + length)));
    at += length;
  }
  return frames;
}

const pieces = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 8 });

describe('a frame on a line', () => {
  it('is the bytes that wire/carrier.ts says', () => {
    expect(encodeCarrierFrame('open', 0x0102030405060708n)).toEqual(
      hex('c0 4c4c4331 01 0102030405060708 c0'),
    );
    expect(encodeCarrierFrame('data', 0xc0n, Uint8Array.of(1, END, ESC, 2))).toEqual(
      hex('c0 4c4c4331 02 00000000000000 dbdc 01 dbdc dbdd 02 c0'),
    );
    expect(encodeCarrierFrame('close', 2n ** 64n - 1n)).toEqual(hex('c0 4c4c4331 03 ffffffffffffffff c0'));
  });

  it('has a payload of 1 to 4,096 bytes when it is data, and none otherwise', () => {
    const most = new Uint8Array(MAX_CARRIER_PAYLOAD_BYTES).fill(END);
    expect(new CarrierDecoder().push(encodeCarrierFrame('data', 1n, most))).toEqual([
      { type: 'data', session: 1n, payload: most },
    ]);
    expect(() => encodeCarrierFrame('data', 1n, new Uint8Array(most.length + 1))).toThrow(RangeError);
    expect(() => encodeCarrierFrame('data', 1n)).toThrow(RangeError);
    expect(() => encodeCarrierFrame('open', 1n, Uint8Array.of(1))).toThrow(RangeError);
  });

  it('comes out as it went in, however the line is cut', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), pieces, (frames, pieces) => {
        const decoder = new CarrierDecoder();
        expect(decodeIn(pieces, Buffer.concat(frames.map(encoded)), decoder)).toEqual(frames);
        expect(decoder.garbageBytes).toBe(0);
      }),
    );
  });

  it('is found behind anything at all: another frame that was cut, or garbage', () => {
    fc.assert(
      fc.property(
        bytes(200),
        frame,
        fc.nat(),
        fc.array(frame, { minLength: 1 }),
        pieces,
        (before, cut, at, frames, pieces) => {
          const half = encoded(cut);
          const line = [before, half.subarray(0, at % half.length), ...frames.map(encoded)];
          expect(decodeIn(pieces, Buffer.concat(line)).slice(-frames.length)).toEqual(frames);
        },
      ),
    );
  });

  it('is nothing when its magic, type or length is wrong; every byte of it is counted', () => {
    const wrong = [
      'c0 4c4c4332 01 0000000000000001 c0',
      'c0 4c4c4331 00 0000000000000001 c0',
      'c0 4c4c4331 04 0000000000000001 c0',
      'c0 4c4c4331 01 0000000000000001 00 c0',
      'c0 4c4c4331 02 0000000000000001 c0',
      'c0 4c4c4331 03 00000000000001 c0',
      'c0 4c4c4331 02 0000000000000001 db00 c0',
      'c0 4c4c4331 02 0000000000000001 00db c0',
    ];
    for (const text of wrong) {
      const decoder = new CarrierDecoder();
      expect(decoder.push(hex(text)), text).toEqual([]);
      expect(decoder.garbageBytes, text).toBe(hex(text).length - 2);
    }
  });

  it('that never ends is dropped as it comes', () => {
    const decoder = new CarrierDecoder();
    const chunk = new Uint8Array(65_536).fill(7);
    for (let i = 0; i < 16; i += 1) expect(decoder.push(chunk)).toEqual([]);
    expect(decoder.garbageBytes).toBe(16 * chunk.length);
    const good = encodeCarrierFrame('open', 7n);
    expect(decoder.push(good)).toHaveLength(1);
    expect(decoder.garbageBytes).toBe(16 * chunk.length);
  });

  it('is not any other memory than its own', () => {
    const decoder = new CarrierDecoder();
    const [first] = decoder.push(encodeCarrierFrame('data', 1n, Uint8Array.of(1, 2, 3)));
    decoder.push(encodeCarrierFrame('data', 1n, Uint8Array.of(9, 9, 9)));
    expect(first?.payload).toEqual(Uint8Array.of(1, 2, 3));
  });
});
