import { createHash, createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode, type Part } from './encoding.js';
import { mix, noSecretKey } from './mix.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const counting = Uint8Array.from({ length: 64 }, (_, index) => index);

const BOOT: Part[] = [
  { label: 'beacon/a', bytes: Uint8Array.of(0xaa, 0xaa, 0xaa) },
  { label: 'beacon/b', bytes: undefined },
  { label: 'os', bytes: new Uint8Array(0) },
];

// Made with Python's hashlib and hmac over an encoder written for the purpose, not with this code.
const KNOWN_ANSWERS = [
  {
    context: 'boot',
    parts: [],
    noSecret:
      '752c9437a1cb9061669b51a20642e07092b474de979d63a3d6aa3ed413592d29' +
      '26f2d9c13e62782b332e61fa5960d1c5474b2885f9ee2ca60ce5068f19e6c8bb',
    counting:
      '4e809786e7f978042d72d9093f8248fc32d4b614bde94d164106ce13f882e1ad' +
      'f5b7dd419028bd0e20db1f511d9f74cd0270e353b147a5efa3d8bcdb66daef51',
  },
  {
    context: 'boot',
    parts: BOOT,
    noSecret:
      'd2d8d150e151297f46b6fd40b870d446539e6404eaf5f3fc1883e593d9b8870e' +
      '7359914e5be8c62ec4930feef6ef4cc83156dd89e94a3d1b25c4f4ff600c13a7',
    counting:
      '77b55e52a86504739f984e11df79dff951772817ef445e6b46834b4f566c5d72' +
      '325e6209ea9da23e983459bd1793664da3e1b5f1d68e153261ece3130a0612dd',
  },
  {
    context: 'beacon',
    parts: [
      { label: 'certificate', bytes: Uint8Array.of(0, 1, 2, 3) },
      { label: 'nonce', bytes: undefined },
    ],
    noSecret:
      '0325b420744d2d249eafadfa22427bc300945deec1dd04810bafa0bb90ce175e' +
      '4b8f1b5d811c7d3327f158be6ce3c06d65f0a9ba331787d7704e8f6b0af3e58e',
    counting:
      '134d2ea1c1a9231900c1fd8df477be8f870fed8221fca76567c2fb90a3be9080' +
      '97cddb563647c7f20406eb084350047aa48ac056d687910b7be29afba55a179b',
  },
];

describe('mix', () => {
  it.each(KNOWN_ANSWERS)(
    'known answer: $context, $parts.length parts',
    ({ context, parts, noSecret, counting: keyed }) => {
      expect(hex(mix(noSecretKey(), context, parts))).toBe(noSecret);
      expect(hex(mix(counting, context, parts))).toBe(keyed);
    },
  );

  it('is HMAC-SHA-512 over the encoding', () => {
    const expected = createHmac('sha512', counting).update(encode('boot', BOOT)).digest('hex');
    expect(hex(mix(counting, 'boot', BOOT))).toBe(expected);
  });

  it('changes with every byte of every part, with the key and with the context', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(bytes, bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (cpu, os, at, flip) => {
        const parts = (a: Uint8Array, b: Uint8Array): Part[] => [
          { label: 'cpu', bytes: a },
          { label: 'os', bytes: b },
        ];
        const whole = hex(mix(counting, 'x', parts(cpu, os)));
        expect(hex(mix(counting, 'x', parts(flipped(cpu, at, flip), os)))).not.toBe(whole);
        expect(hex(mix(counting, 'x', parts(cpu, flipped(os, at, flip))))).not.toBe(whole);
        expect(hex(mix(flipped(counting, at, flip), 'x', parts(cpu, os)))).not.toBe(whole);
        expect(hex(mix(counting, 'y', parts(cpu, os)))).not.toBe(whole);
      }),
    );
  });

  it.each([0, 32, 63, 65, 128])(
    'refuses a key of %d bytes: HMAC would pad or hash it into another key',
    (length) => {
      expect(() => mix(new Uint8Array(length), 'boot', [])).toThrow(RangeError);
    },
  );

  it('refuses what the encoding refuses', () => {
    expect(() => mix(counting, '', [])).toThrow(RangeError);
  });

  it('leaves key and parts as they were: wiping its encoding must not reach the caller', () => {
    const key = Uint8Array.from(counting);
    const bytes = Uint8Array.of(1, 2, 3);
    mix(key, 'x', [{ label: 'os', bytes }]);
    expect(hex(key)).toBe(hex(counting));
    expect([...bytes]).toEqual([1, 2, 3]);
  });
});

describe('noSecretKey', () => {
  it('is SHA-512 of its published text', () => {
    expect(hex(noSecretKey())).toBe(createHash('sha512').update('lamplighter/no-secret/v1').digest('hex'));
    expect(hex(noSecretKey()).slice(0, 32)).toBe('4c6b8178dcda330f53d29920f136266f');
  });

  it('cannot be changed for others by one caller', () => {
    const before = hex(noSecretKey());
    noSecretKey().fill(0);
    expect(hex(noSecretKey())).toBe(before);
  });
});

function flipped(bytes: Uint8Array, at: number, flip: number): Uint8Array {
  return bytes.map((byte, index) => (index === at % bytes.length ? byte ^ flip : byte));
}
