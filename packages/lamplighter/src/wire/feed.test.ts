import { type ErrorCode, LamplighterError } from '@lamplighter/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_BASIS } from './basis.js';
import {
  FEED_FRAME_LENGTH_BYTES,
  FEED_HEADER_LENGTH_BYTES,
  FeedDecoder,
  type FeedFrame,
  encodeFeedFrame,
  feedStallMs,
  parseFeedInterval,
} from './feed.js';

const PAYLOAD = Uint8Array.from({ length: 64 }, (_, index) => index);

// Written out by hand from DESIGN section 8, not made by the code under test.
const KNOWN_HEX =
  '4c4c4631' + // LLF1
  '05' + // simulated and physical
  '00' + // reserved
  '0040' + // 64
  '0102030405060708' + // sequence
  '17979cfe362a0000' + // 1,700,000,000 s
  '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' +
  '202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f';

const KNOWN_FRAME: FeedFrame = {
  basis: { simulated: true, degraded: false, physical: true },
  sequence: 0x0102030405060708n,
  realtimeNs: 1_700_000_000_000_000_000n,
  payload: PAYLOAD,
};

const frameAt = (sequence: bigint): FeedFrame => ({ ...KNOWN_FRAME, sequence });

const decodeAll = (decoder: FeedDecoder, ...chunks: Uint8Array[]): FeedFrame[] =>
  chunks.flatMap((chunk) => [...decoder.push(chunk)]);

function codeOf(run: () => unknown): ErrorCode | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof LamplighterError) return error.code;
    throw error;
  }
  return undefined;
}

describe('encodeFeedFrame', () => {
  it('gives the known bytes', () => {
    expect(Buffer.from(encodeFeedFrame(KNOWN_FRAME)).toString('hex')).toBe(KNOWN_HEX);
  });

  it('refuses a payload, sequence or time that does not fit', () => {
    expect(() => encodeFeedFrame({ ...KNOWN_FRAME, payload: new Uint8Array(63) })).toThrow(RangeError);
    expect(() => encodeFeedFrame({ ...KNOWN_FRAME, payload: new Uint8Array(65) })).toThrow(RangeError);
    expect(() => encodeFeedFrame(frameAt(1n << 64n))).toThrow(RangeError);
    expect(() => encodeFeedFrame(frameAt(-1n))).toThrow(RangeError);
    expect(() => encodeFeedFrame({ ...KNOWN_FRAME, realtimeNs: -1n })).toThrow(RangeError);
  });
});

describe('FeedDecoder', () => {
  it('reads the known bytes', () => {
    expect(decodeAll(new FeedDecoder(), Buffer.from(KNOWN_HEX, 'hex'))).toEqual([KNOWN_FRAME]);
  });

  it('gives back any frames, however their bytes are cut', () => {
    const frames = fc
      .array(
        fc.record({
          basis: fc.record({ simulated: fc.boolean(), degraded: fc.boolean(), physical: fc.boolean() }),
          step: fc.bigInt({ min: 1n, max: 1n << 40n }),
          realtimeNs: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
          payload: fc.uint8Array({ minLength: 64, maxLength: 64 }),
        }),
        { maxLength: 6 },
      )
      .map((records) => {
        let sequence = 0n;
        return records.map(({ step, ...rest }): FeedFrame => ({ ...rest, sequence: (sequence += step) }));
      });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(encodeFeedFrame));
        const chunks: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const length = cuts[turn % cuts.length] ?? 1;
          chunks.push(bytes.subarray(at, at + length));
          at += length;
        }
        expect(decodeAll(new FeedDecoder(), ...chunks)).toEqual(sent);
      }),
    );
  });

  it('keeps no reference to the chunk', () => {
    const bytes = encodeFeedFrame(KNOWN_FRAME);
    const [frame] = decodeAll(new FeedDecoder(), bytes);
    bytes.fill(0xff);
    expect(frame?.payload).toEqual(PAYLOAD);
  });

  it('ignores unknown basis bits and the reserved byte', () => {
    const bytes = encodeFeedFrame({ ...KNOWN_FRAME, basis: NO_BASIS });
    bytes[4] = 0b1111_1000;
    bytes[5] = 0xff;
    expect(decodeAll(new FeedDecoder(), bytes)[0]?.basis).toEqual(NO_BASIS);
  });

  it('names a wrong magic', () => {
    for (let at = 0; at < 4; at += 1) {
      const bytes = encodeFeedFrame(KNOWN_FRAME);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(codeOf(() => decodeAll(new FeedDecoder(), bytes))).toBe('ERR_FEED_MAGIC');
    }
  });

  it.each([0, 1, 63, 65, 128, 65_535])('names a payload of %i bytes from its header alone', (lengthBytes) => {
    const bytes = encodeFeedFrame(KNOWN_FRAME);
    new DataView(bytes.buffer).setUint16(6, lengthBytes);
    const header = bytes.subarray(0, FEED_HEADER_LENGTH_BYTES);
    expect(codeOf(() => decodeAll(new FeedDecoder(), header))).toBe('ERR_FEED_FRAME_LENGTH');
  });

  it.each([
    ['repeats', 7n],
    ['goes backwards', 6n],
  ])('names a sequence that %s', (_, second) => {
    const decoder = new FeedDecoder();
    decodeAll(decoder, encodeFeedFrame(frameAt(7n)));
    expect(codeOf(() => decodeAll(decoder, encodeFeedFrame(frameAt(second))))).toBe('ERR_FEED_SEQUENCE');
  });

  it('takes a first sequence of zero, and gaps', () => {
    const sent = [frameAt(0n), frameAt(9n)];
    expect(decodeAll(new FeedDecoder(), ...sent.map(encodeFeedFrame))).toEqual(sent);
  });

  it('hands over the frames before a fault, and nothing after it', () => {
    const decoder = new FeedDecoder();
    const heard: FeedFrame[] = [];
    const bytes = Buffer.concat([
      encodeFeedFrame(frameAt(1n)),
      encodeFeedFrame(frameAt(2n)),
      Buffer.alloc(FEED_FRAME_LENGTH_BYTES, 0x41),
      encodeFeedFrame(frameAt(3n)),
    ]);
    expect(
      codeOf(() => {
        for (const frame of decoder.push(bytes)) heard.push(frame);
      }),
    ).toBe('ERR_FEED_MAGIC');
    expect(heard).toEqual([frameAt(1n), frameAt(2n)]);
    expect(codeOf(() => decodeAll(decoder, encodeFeedFrame(frameAt(4n))))).toBe('ERR_FEED_MAGIC');
  });

  it('takes nothing after close', () => {
    const decoder = new FeedDecoder();
    decoder.close();
    expect(codeOf(() => decodeAll(decoder, encodeFeedFrame(KNOWN_FRAME)))).toBe('ERR_STOPPED');
  });
});

describe('parseFeedInterval', () => {
  it('takes the range with its ends, and 1,000 ms when nothing is asked', () => {
    expect(parseFeedInterval(null)).toBe(1_000);
    expect(parseFeedInterval('100')).toBe(100);
    expect(parseFeedInterval('60000')).toBe(60_000);
  });

  it.each(['99', '60001', '', ' 500', '1e3', '0x100', '-500', '500.5', 'NaN', '9'.repeat(400)])(
    'refuses %j',
    (text) => {
      expect(codeOf(() => parseFeedInterval(text))).toBe('ERR_INTERVAL');
    },
  );
});

describe('feedStallMs', () => {
  it('is three intervals and five seconds', () => {
    expect(feedStallMs(1_000)).toBe(8_000);
    expect(feedStallMs(100, 0)).toBe(300);
  });
});
