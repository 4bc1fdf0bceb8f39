import * as fc from 'fast-check';
import { decode } from 'jpeg-js';
import { describe, expect, it } from 'vitest';
import { createJpegEncoder } from './jpeg.js';
import { seededRandom } from './seeded-random.fixture.js';

interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

function paint(width: number, height: number, at: (x: number, y: number) => readonly number[]): Picture {
  const pixels = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) pixels.set(at(x, y), (y * width + x) * 3);
  }
  return { width, height, pixels };
}

function encode({ width, height, pixels }: Picture, quality: number, comment = ''): Uint8Array {
  return createJpegEncoder({ widthPx: width, heightPx: height, quality, comment })(pixels);
}

/** Root mean square of the difference between a picture and its file, as jpeg-js reads it. */
function loss(picture: Picture, file: Uint8Array): number {
  const decoded = decode(file, { useTArray: true, formatAsRGBA: false });
  expect([decoded.width, decoded.height]).toEqual([picture.width, picture.height]);
  expect(decoded.data).toHaveLength(picture.pixels.length);
  const squares = picture.pixels.reduce(
    (sum, byte, index) => sum + (byte - (decoded.data[index] ?? 0)) ** 2,
    0,
  );
  return Math.sqrt(squares / picture.pixels.length);
}

const sunset = paint(160, 96, (x, y) => [90 + x, 60 + y, 120 + 60 * Math.sin(x / 25 + y / 40)]);

describe('the encoder', () => {
  it('writes files that another decoder reads back', () => {
    expect(loss(sunset, encode(sunset, 95))).toBeLessThan(1.5);
    expect(loss(sunset, encode(sunset, 75))).toBeLessThan(3);
  });

  it('reads back a flat colour to within rounding', () => {
    for (const colour of [
      [0, 0, 0],
      [255, 255, 255],
      [200, 30, 60],
      [10, 90, 220],
    ]) {
      const flat = paint(48, 32, () => colour);
      expect(loss(flat, encode(flat, 100))).toBeLessThan(1.2);
    }
  });

  it('trades size for quality', () => {
    const lengths = [10, 50, 90].map((quality) => encode(sunset, quality).length);
    expect(lengths).toEqual([...lengths].sort((a, b) => a - b));
    expect(loss(sunset, encode(sunset, 10))).toBeGreaterThan(loss(sunset, encode(sunset, 90)));
  });

  it('handles every size: what lies beyond the edge does not show', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (width, height) => {
        const ramp = paint(width, height, (x, y) => [100 + x, 100 + y, 100 + x]);
        expect(loss(ramp, encode(ramp, 95))).toBeLessThan(3);
      }),
      { numRuns: 60 },
    );
  });

  it('survives pure noise at full quality, where every code and every stuffed byte occurs', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = seededRandom(seed);
        const grey = paint(64, 64, () => Array.from<number>({ length: 3 }).fill(Math.floor(random() * 256)));
        const file = encode(grey, 100);
        expect(Buffer.from(file).includes(Buffer.of(0xff, 0x00))).toBe(true);
        expect(loss(grey, file)).toBeLessThan(2);
      }),
      { numRuns: 20 },
    );
  });

  it('survives the harshest picture there is: a checkerboard of single pixels', () => {
    const board = paint(64, 48, (x, y) => ((x + y) % 2 === 0 ? [255, 255, 255] : [0, 0, 0]));
    expect(loss(board, encode(board, 100))).toBeLessThan(2);
  });

  it('starts afresh with each picture: the same one gives the same file', () => {
    const encoder = createJpegEncoder({ widthPx: 160, heightPx: 96, quality: 80, comment: '' });
    const first = encoder(sunset.pixels);
    const copy = first.slice();
    encoder(sunset.pixels.map((byte) => 255 - byte));
    expect(first).toEqual(copy);
    expect(encoder(sunset.pixels)).toEqual(copy);
  });

  it('carries the comment', () => {
    const decoded = decode(encode(sunset, 80, 'simulated'), { useTArray: true });
    expect(decoded.comments).toEqual(['simulated']);
  });

  it('refuses what it cannot write', () => {
    const options = { widthPx: 16, heightPx: 16, quality: 80, comment: '' };
    expect(() => createJpegEncoder({ ...options, widthPx: 0 })).toThrow(RangeError);
    expect(() => createJpegEncoder({ ...options, heightPx: 65_536 })).toThrow(RangeError);
    expect(() => createJpegEncoder({ ...options, quality: 101 })).toThrow(RangeError);
    expect(() => createJpegEncoder({ ...options, comment: 'x'.repeat(1001) })).toThrow(RangeError);
    expect(() => createJpegEncoder(options)(new Uint8Array(767))).toThrow(RangeError);
  });
});
