import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseEgdAddress, egdAddressText } from './egd-address.js';
import {
  type EgdReply,
  EgdReplyDecoder,
  type EgdRequest,
  EgdRequestDecoder,
  encodeEgdReply,
  encodeEgdRequest,
} from './egd.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

const lengthBytes = fc.integer({ min: 0, max: 255 });
const request: fc.Arbitrary<EgdRequest> = fc.oneof(
  fc.constant({ kind: 'level' } as const),
  fc.record({ kind: fc.constant('read' as const), lengthBytes, blocking: fc.boolean() }),
  fc.record({
    kind: fc.constant('write' as const),
    claimedBits: fc.integer({ min: 0, max: 0xffff }),
    data: fc.uint8Array({ maxLength: 255 }),
  }),
  fc.constant({ kind: 'pid' } as const),
);

/** The same bytes in pieces: where to cut is part of the counter-example. */
function* pieces(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (const length of lengths) {
    yield Uint8Array.from(bytes.subarray(at, at + length));
    at += length;
  }
  yield Uint8Array.from(bytes.subarray(at));
}

function decodeAll(chunks: Iterable<Uint8Array>): EgdRequest[] {
  const decoder = new EgdRequestDecoder();
  const requests: EgdRequest[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    for (let next = decoder.next(); next !== undefined; next = decoder.next()) requests.push(next);
  }
  return requests;
}

/** Known bytes of DESIGN section 8, each request beside an answer. */
const KNOWN: readonly (readonly [string, EgdRequest, string?, EgdReply?])[] = [
  ['00', { kind: 'level' }, '00001000', { kind: 'level', bits: 4_096 }],
  [
    '0103',
    { kind: 'read', lengthBytes: 3, blocking: false },
    '020a0b',
    { kind: 'read', bytes: unhex('0a0b') },
  ],
  ['0103', { kind: 'read', lengthBytes: 3, blocking: false }, '00', { kind: 'read', bytes: unhex('') }],
  [
    '0240',
    { kind: 'read', lengthBytes: 64, blocking: true },
    'ab'.repeat(64),
    { kind: 'read', bytes: new Uint8Array(64).fill(0xab) },
  ],
  ['03010802ffee', { kind: 'write', claimedBits: 0x108, data: unhex('ffee') }],
  ['03000000', { kind: 'write', claimedBits: 0, data: unhex('') }],
  ['04', { kind: 'pid' }, '03373039', { kind: 'pid', pid: '709' }],
];

describe('EGD requests', () => {
  it.each(KNOWN.map(([bytes, known]) => [bytes, known] as const))('%s', (bytes, known) => {
    expect(hex(encodeEgdRequest(known))).toBe(bytes);
    expect(decodeAll([unhex(bytes)])).toEqual([known]);
  });

  it('are the same however their bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 12 }), fc.array(fc.nat(40)), (requests, lengths) => {
        const bytes = Buffer.concat(requests.map(encodeEgdRequest));
        expect(decodeAll(pieces(bytes, lengths))).toEqual(requests);
        expect(
          decodeAll(
            pieces(
              bytes,
              Array.from(bytes, () => 1),
            ),
          ),
        ).toEqual(requests);
      }),
    );
  });

  it('end at a command that does not exist, after what stood in front of it', () => {
    fc.assert(
      fc.property(
        fc.array(request, { maxLength: 5 }),
        fc.integer({ min: 5, max: 255 }),
        (requests, command) => {
          const decoder = new EgdRequestDecoder();
          decoder.push(Buffer.concat([...requests.map(encodeEgdRequest), Uint8Array.of(command)]));
          for (const expected of requests) expect(decoder.next()).toEqual(expected);
          const fault = expect.objectContaining({ code: 'ERR_EGD_PROTOCOL' }) as Error;
          expect(() => decoder.next()).toThrow(fault);
          decoder.push(Uint8Array.of(0));
          expect(() => decoder.next()).toThrow(fault);
        },
      ),
    );
  });

  it('of any garbage are whole requests or a named fault, and nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.array(fc.nat(60)), (garbage, lengths) => {
        const decoder = new EgdRequestDecoder();
        let taken = 0;
        try {
          for (const piece of pieces(garbage, lengths)) {
            decoder.push(piece);
            for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
              taken += encodeEgdRequest(next).length;
            }
          }
          // Held back: less than the longest request.
          expect(garbage.length - taken).toBeLessThan(4 + 255);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_EGD_PROTOCOL' });
          expect(garbage[taken]).toBeGreaterThan(4);
        }
      }),
    );
  });

  it('keeps of an unfinished request nothing that its caller may reuse', () => {
    const decoder = new EgdRequestDecoder();
    const chunk = unhex('0300080401');
    decoder.push(chunk);
    expect(decoder.next()).toBeUndefined();
    chunk.fill(0xff);
    decoder.push(unhex('020304'));
    expect(decoder.next()).toEqual({ kind: 'write', claimedBits: 8, data: unhex('01020304') });
  });

  it('refuses lengths that have no byte', () => {
    for (const length of [-1, 256, 1.5, NaN]) {
      const read = { kind: 'read', lengthBytes: length, blocking: true } as const;
      expect(() => encodeEgdRequest(read)).toThrow(RangeError);
    }
    const write = { kind: 'write', claimedBits: 0, data: new Uint8Array(256) } as const;
    expect(() => encodeEgdRequest(write)).toThrow(RangeError);
    expect(() => encodeEgdRequest({ ...write, data: new Uint8Array(1), claimedBits: 65_536 })).toThrow(
      RangeError,
    );
  });
});

describe('EGD replies', () => {
  const answered = KNOWN.flatMap(([, asked, bytes, reply]) =>
    asked.kind === 'write' || bytes === undefined || reply === undefined ? [] : [{ asked, bytes, reply }],
  );

  it.each(answered)('$reply.kind: $bytes', ({ asked, bytes, reply }) => {
    expect(hex(encodeEgdReply(asked, reply))).toBe(bytes);
    expect(new EgdReplyDecoder(asked).push(unhex(bytes))).toEqual(reply);
  });

  it.each(answered)('$reply.kind: $bytes, byte by byte', ({ asked, bytes, reply }) => {
    const decoder = new EgdReplyDecoder(asked);
    const all = unhex(bytes);
    for (const byte of all.subarray(0, -1)) expect(decoder.push(Uint8Array.of(byte))).toBeUndefined();
    expect(decoder.push(all.subarray(-1))).toEqual(reply);
  });

  it('are the same however their bytes are cut', () => {
    const read = fc.record({
      asked: lengthBytes,
      blocking: fc.boolean(),
      seed: fc.uint8Array({ minLength: 255, maxLength: 255 }),
      given: lengthBytes,
    });
    fc.assert(
      fc.property(read, fc.array(fc.nat(40)), ({ asked, blocking, seed, given }, lengths) => {
        const question = { kind: 'read', lengthBytes: Math.max(asked, 1), blocking } as const;
        const length = blocking ? question.lengthBytes : Math.min(given, question.lengthBytes);
        const reply = { kind: 'read', bytes: seed.subarray(0, length) } as const;
        const decoder = new EgdReplyDecoder(question);
        const got = [...pieces(encodeEgdReply(question, reply), lengths)]
          .filter((piece) => piece.length > 0)
          .map((piece) => decoder.push(piece));
        expect(got.pop()).toEqual({ kind: 'read', bytes: Uint8Array.from(reply.bytes) });
        expect(got.every((early) => early === undefined)).toBe(true);
      }),
    );
  });

  it.each([
    ['02', { kind: 'read', lengthBytes: 4, blocking: true }, '0102030405'],
    ['01, announced', { kind: 'read', lengthBytes: 4, blocking: false }, '05'],
    ['01, after the end', { kind: 'read', lengthBytes: 4, blocking: false }, '010203'],
    ['00', { kind: 'level' }, '0000000000'],
    ['04', { kind: 'pid' }, '013132'],
    ['without end', { kind: 'read', lengthBytes: 255, blocking: true }, '00'.repeat(70_000)],
  ] as const)('more than was asked for is a fault (%s)', (_name, asked, bytes) => {
    expect(() => new EgdReplyDecoder(asked).push(unhex(bytes))).toThrow(
      expect.objectContaining({ code: 'ERR_EGD_PROTOCOL' }) as Error,
    );
  });

  it('of any garbage are an answer or a named fault, and nothing else', () => {
    fc.assert(
      fc.property(request, fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (asked, chunks) => {
        if (asked.kind === 'write') return;
        const decoder = new EgdReplyDecoder(asked);
        try {
          for (const chunk of chunks) decoder.push(chunk);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_EGD_PROTOCOL' });
        }
      }),
    );
  });

  it('are refused when they do not answer what was asked', () => {
    const bytes = new Uint8Array(3);
    const read = { kind: 'read', bytes } as const;
    expect(() => encodeEgdReply({ kind: 'read', lengthBytes: 4, blocking: true }, read)).toThrow(RangeError);
    expect(() => encodeEgdReply({ kind: 'read', lengthBytes: 2, blocking: false }, read)).toThrow(RangeError);
    expect(() => encodeEgdReply({ kind: 'level' }, read)).toThrow(RangeError);
    expect(() => encodeEgdReply({ kind: 'pid' }, read)).toThrow(RangeError);
    expect(() =>
      encodeEgdReply({ kind: 'read', lengthBytes: 2, blocking: false }, { kind: 'pid', pid: '1' }),
    ).toThrow(RangeError);
  });

  it('leave nothing behind once wiped', () => {
    const decoder = new EgdReplyDecoder({ kind: 'read', lengthBytes: 2, blocking: true });
    decoder.push(Uint8Array.of(7));
    decoder.wipe();
    expect(decoder.push(Uint8Array.of(8))).toEqual({ kind: 'read', bytes: Uint8Array.of(0, 8) });
  });
});

describe('EGD addresses', () => {
  it.each([
    ['unix:/run/egd/socket', { path: '/run/egd/socket' }],
    ['tcp:127.0.0.1:708', { host: '127.0.0.1', port: 708 }],
    ['tcp:[::1]:0', { host: '::1', port: 0 }],
    ['tcp:entropy.example:8888', { host: 'entropy.example', port: 8_888 }],
  ])('%s', (text, endpoint) => {
    expect(parseEgdAddress(text)).toEqual(endpoint);
    expect(egdAddressText(endpoint)).toBe(text);
  });

  it.each([
    '',
    'unix:',
    'unix:relative',
    'unix:/folder/',
    'unix:/zero\0byte',
    `unix:/${'x'.repeat(107)}`,
    '/run/egd/socket',
    'tcp:',
    'tcp:host',
    'tcp:host:',
    'tcp:host:65536',
    'tcp:host:-1',
    'tcp:::1:708',
    'tcp:[host]:708',
    'tcp:two words:1',
    'udp:host:1',
  ])('refuses %j', (text) => {
    expect(() => parseEgdAddress(text)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });
});
