import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { assertBytes, assertLength, asciiBytes, plainBytes, wipe } from './bytes.js';

describe('wipe', () => {
  it('zeroes every buffer, whole, and skips what is absent', () => {
    const a = Uint8Array.of(1, 2, 3);
    const b = Uint8Array.of(4);
    wipe(a, undefined, b);
    expect([...a, ...b]).toEqual([0, 0, 0, 0]);
  });

  it('touches nothing outside a view', () => {
    const all = Uint8Array.of(1, 2, 3, 4);
    wipe(all.subarray(1, 3));
    expect([...all]).toEqual([1, 0, 0, 4]);
  });
});

describe('asciiBytes', () => {
  it('gives one byte a character', () => {
    expect([...asciiBytes(' a~')]).toEqual([0x20, 0x61, 0x7e]);
    expect(asciiBytes('').length).toBe(0);
  });

  it.each(['\u001f', '\u007f', 'é', '\n', '\u0000', '💡'])('refuses %j', (text) => {
    expect(() => asciiBytes(`a${text}`)).toThrow(RangeError);
  });
});

describe('plainBytes', () => {
  it('is no Buffer and shares the memory', () => {
    const buffer = Buffer.alloc(3);
    const bytes = plainBytes(buffer);
    buffer[1] = 7;
    expect(Buffer.isBuffer(bytes)).toBe(false);
    expect([...bytes]).toEqual([0, 7, 0]);
  });

  it('is safe for digests and cipher output: this Node does not put them into its shared pool', () => {
    const cipher = createCipheriv('aes-256-ecb', new Uint8Array(32), null).setAutoPadding(false);
    for (const output of [
      createHash('sha256').digest(),
      createHash('sha512').digest(),
      createHmac('sha512', new Uint8Array(64)).digest(),
      cipher.update(new Uint8Array(32)),
    ]) {
      expect(output.buffer.byteLength).toBe(output.byteLength);
    }
  });
});

describe('the assertions', () => {
  it.each([-1, 3, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuse the length %s outside 0..2',
    (length) => {
      expect(() => assertLength('n', length, 0, 2)).toThrow(RangeError);
    },
  );

  it('accept both ends of a range', () => {
    expect(() => assertLength('n', 0, 0, 2)).not.toThrow();
    expect(() => assertLength('n', 2, 0, 2)).not.toThrow();
  });

  it.each([
    undefined,
    null,
    'text',
    [1],
    new ArrayBuffer(1),
    new DataView(new ArrayBuffer(1)),
    new Uint16Array(1),
  ])('refuse %s as bytes', (value) => {
    expect(() => assertBytes('x', value)).toThrow(TypeError);
  });

  it('accept a Buffer as bytes', () => {
    expect(() => assertBytes('x', Buffer.alloc(1))).not.toThrow();
  });
});
