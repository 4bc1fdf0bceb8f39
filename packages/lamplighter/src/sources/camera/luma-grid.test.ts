import { describe, expect, it } from 'vitest';
import { lumaGrid } from './luma-grid.js';

const plain = (width: number, height: number, rgb: readonly [number, number, number]) => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, at) => rgb[at % 3] ?? 0),
});

describe('lumaGrid', () => {
  it.each([
    [[255, 255, 255], 255],
    [[0, 0, 0], 0],
    [[255, 0, 0], 77],
    [[0, 255, 0], 149],
    [[0, 0, 255], 29],
  ] as const)('weighs %j as %d, at any size', (rgb, level) => {
    for (const [width, height] of [[1, 1], [64, 48], [97, 31], [640, 480]] as const) {
      expect(new Set(lumaGrid(plain(width, height, rgb), 16, 12))).toEqual(new Set([level]));
    } // prettier-ignore
  });

  it('takes single pixels, from the middle of each cell, and averages nothing', () => {
    const image = plain(40, 30, [0, 0, 0]);
    // Cells are 4 × 3 pixels: the middle of the second one of the first row is pixel (6, 1).
    image.data.fill(200, (1 * 40 + 6) * 3, (1 * 40 + 6) * 3 + 3);
    const luma = lumaGrid(image, 10, 10);
    expect(luma[1]).toBe(200);
    expect(luma.filter((level) => level > 0).length).toBe(1);
    // Its neighbours in the same cell are never looked at.
    image.data.fill(255, 0, 5 * 3);
    expect(lumaGrid(image, 10, 10)).toEqual(luma);
  });

  it('refuses data that does not fit', () => {
    expect(() => lumaGrid({ width: 2, height: 2, data: new Uint8Array(11) }, 2, 2)).toThrow(RangeError);
    expect(() => lumaGrid({ width: 0, height: 2, data: new Uint8Array(0) }, 2, 2)).toThrow(RangeError);
  });
});
