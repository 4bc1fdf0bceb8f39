import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode, encodedLengthBytes, type Part } from './encoding.js';
import { compareLabels, PART_LABELS } from './labels.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const context = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 255,
});
const label = fc
  .tuple(
    fc.constantFrom(...PART_LABELS),
    fc.option(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,4}$/), { nil: undefined }),
  )
  .map(([kind, name]) => (name === undefined ? kind : `${kind}/${name}`));
const parts: fc.Arbitrary<Part[]> = fc
  .uniqueArray(fc.record({ label, bytes: fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined }) }), {
    selector: (part) => part.label,
    maxLength: 8,
  })
  .map((list) => list.sort((a, b) => compareLabels(a.label, b.label)));

describe('encode: known answers, written out by hand from DESIGN section 5', () => {
  it('no parts', () => {
    expect(hex(encode('boot', []))).toBe(['04', '626f6f74', '01', '0000'].join(''));
  });

  it('present, absent and empty parts', () => {
    const encoded = encode('boot', [
      { label: 'beacon/a', bytes: Uint8Array.of(0xaa, 0xaa, 0xaa) },
      { label: 'beacon/b', bytes: undefined },
      { label: 'os', bytes: new Uint8Array(0) },
    ]);
    expect(hex(encoded)).toBe(
      ['04', '626f6f74', '01', '0003'].join('') +
        ['08', '626561636f6e2f61', '01', '0000000000000003', 'aaaaaa'].join('') +
        ['08', '626561636f6e2f62', '00', '0000000000000000'].join('') +
        ['02', '6f73', '01', '0000000000000000'].join(''),
    );
  });

  it('lengths are big-endian', () => {
    const encoded = encode('x', [{ label: 'feed', bytes: new Uint8Array(0x010203) }]);
    expect(hex(encoded.subarray(0, 19))).toBe(
      ['01', '78', '01', '0001', '04', '66656564', '01', '0000000000010203'].join(''),
    );
    expect(encoded.length).toBe(19 + 0x010203);
  });
});

describe('encode is injective', () => {
  it('can be read back in one way only (a decoder is the proof)', () => {
    fc.assert(
      fc.property(context, parts, (context, parts) => {
        expect(decode(encode(context, parts))).toEqual({ context, parts });
      }),
      { numRuns: 500 },
    );
  });

  it('different calls give different bytes', () => {
    fc.assert(
      fc.property(context, parts, context, parts, (contextA, partsA, contextB, partsB) => {
        const same = contextA === contextB && printed(partsA) === printed(partsB);
        expect(hex(encode(contextA, partsA)) === hex(encode(contextB, partsB))).toBe(same);
      }),
    );
  });

  it('where concatenation is not: a byte moved to the neighbour, a part split, left out, emptied or renamed', () => {
    const a = (text: string): Uint8Array => Buffer.from(text);
    const lists: Part[][] = [
      [
        { label: 'cpu', bytes: a('ab') },
        { label: 'os', bytes: a('c') },
      ],
      [
        { label: 'cpu', bytes: a('a') },
        { label: 'os', bytes: a('bc') },
      ],
      [
        { label: 'cpu', bytes: a('abc') },
        { label: 'os', bytes: a('') },
      ],
      [
        { label: 'cpu', bytes: a('abc') },
        { label: 'os', bytes: undefined },
      ],
      [{ label: 'cpu', bytes: a('abc') }],
      [{ label: 'os', bytes: a('abc') }],
      [{ label: 'os/a', bytes: a('bc') }],
      [],
    ];
    expect(new Set(lists.map((list) => hex(encode('x', list)))).size).toBe(lists.length);
    expect(hex(encode('xy', []))).not.toBe(hex(encode('x', [])));
  });
});

describe('encode refuses', () => {
  const os: Part = { label: 'os', bytes: Uint8Array.of(1) };
  const cpu: Part = { label: 'cpu', bytes: Uint8Array.of(1) };

  it.each<[string, string, Part[]]>([
    ['an empty context', '', []],
    ['a context of 256 characters', 'c'.repeat(256), []],
    ['a context outside ASCII', 'boöt', []],
    ['a control character in the context', 'bo\not', []],
    ['parts out of order', 'x', [os, cpu]],
    ['a label twice', 'x', [os, os]],
    ['a label twice, once absent', 'x', [os, { label: 'os', bytes: undefined }]],
    [
      'names out of order',
      'x',
      [
        { ...os, label: 'os/b' },
        { ...os, label: 'os/a' },
      ],
    ],
    ['a bare kind after a name', 'x', [{ ...os, label: 'os/b' }, os]],
    ['an unknown kind', 'x', [{ label: 'sun', bytes: undefined }]],
    ['an empty label', 'x', [{ label: '', bytes: undefined }]],
    ['a label outside ASCII', 'x', [{ label: 'feed/é', bytes: undefined }]],
    ['a name that is too long', 'x', [{ label: `feed/${'a'.repeat(64)}`, bytes: undefined }]],
  ])('%s', (_, context, parts) => {
    expect(() => encode(context, parts)).toThrow(RangeError);
    expect(() => encodedLengthBytes(context, parts)).toThrow(RangeError);
  });

  it('more than 65,535 parts, and takes exactly that many', () => {
    const many = Array.from({ length: 65_536 }, (_, index) => ({
      label: `feed/${index.toString(16).padStart(5, '0')}`,
      bytes: undefined,
    }));
    expect(() => encode('x', many)).toThrow(RangeError);
    expect(hex(encode('x', many.slice(0, 65_535)).subarray(3, 5))).toBe('ffff');
  });

  it('bytes that are no Uint8Array, as plain JavaScript might hand in', () => {
    const parts: Part[] = [{ label: 'os', bytes: undefined }];
    Object.assign(parts[0] ?? {}, { bytes: 'text' });
    expect(() => encode('x', parts)).toThrow(TypeError);
  });
});

it('encodedLengthBytes is the length of the encoding', () => {
  fc.assert(
    fc.property(context, parts, (context, parts) => {
      expect(encodedLengthBytes(context, parts)).toBe(encode(context, parts).length);
    }),
  );
});

it('encode copies: changing an input afterwards changes nothing', () => {
  const bytes = Uint8Array.of(1);
  const encoded = encode('x', [{ label: 'os', bytes }]);
  const before = hex(encoded);
  bytes[0] = 2;
  expect(hex(encoded)).toBe(before);
});

function printed(parts: readonly Part[]): string {
  return JSON.stringify(parts.map(({ label, bytes }) => [label, bytes === undefined ? null : hex(bytes)]));
}

/** Reads E by its grammar alone; throws unless it ends exactly where the grammar does. */
function decode(encoded: Uint8Array): { context: string; parts: Part[] } {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  let offset = 0;
  const take = (length: number): Uint8Array => {
    if (offset + length > encoded.length) throw new Error('ends early');
    offset += length;
    return encoded.slice(offset - length, offset);
  };
  const text = (): string => Buffer.from(take(view.getUint8(offset++))).toString('latin1');

  const context = text();
  if (view.getUint8(offset++) !== 1) throw new Error('another version');
  const count = view.getUint16(offset);
  offset += 2;
  const parts: Part[] = [];
  for (let index = 0; index < count; index++) {
    const label = text();
    const present = view.getUint8(offset++);
    const length = Number(view.getBigUint64(offset));
    offset += 8;
    if (present > 1 || (present === 0 && length !== 0)) throw new Error('a malformed part');
    parts.push({ label, bytes: present === 1 ? take(length) : undefined });
  }
  if (offset !== encoded.length) throw new Error('goes on');
  return { context, parts };
}
