import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PREVIEW_BYTES, PREVIEW_WIDTH, PreviewCutter, previewOf, shrinkToLuma } from './preview.js';

describe('shrinkToLuma', () => {
  const plain = (width: number, height: number, rgb: readonly [number, number, number]) => ({
    width,
    height,
    data: Uint8Array.from({ length: width * height * 3 }, (_, at) => rgb[at % 3] ?? 0),
  });

  it.each([
    [[255, 255, 255], 255],
    [[0, 0, 0], 0],
    [[255, 0, 0], 77],
    [[0, 255, 0], 149],
    [[0, 0, 255], 29],
  ] as const)('weighs %j as %d, at any size', (rgb, level) => {
    for (const [width, height] of [[1, 1], [64, 48], [97, 31], [640, 480]] as const) {
      expect(new Set(shrinkToLuma(plain(width, height, rgb)))).toEqual(new Set([level]));
    } // prettier-ignore
  });

  it('averages each cell over its own pixels', () => {
    const image = plain(128, 96, [0, 0, 0]);
    // The four pixels of the second cell of the first row.
    for (const pixel of [2, 3, 130, 131]) image.data.fill(200, pixel * 3, pixel * 3 + 3);
    const luma = shrinkToLuma(image);
    expect(luma[1]).toBe(200);
    expect(luma.filter((level) => level > 0).length).toBe(1);
    expect(luma[PREVIEW_WIDTH]).toBe(0);
  });

  it('refuses data that does not fit', () => {
    expect(() => shrinkToLuma({ width: 2, height: 2, data: new Uint8Array(11) })).toThrow(RangeError);
    expect(() => shrinkToLuma({ width: 0, height: 2, data: new Uint8Array(0) })).toThrow(RangeError);
    expect(() => previewOf(new Uint8Array(3))).toThrow(RangeError);
  });
});

describe('PreviewCutter', () => {
  it('finds the latest whole preview, however the bytes are cut', () => {
    const bytes = Uint8Array.from(
      { length: PREVIEW_BYTES * 3 },
      (_, at) => Math.floor(at / PREVIEW_BYTES) + 1,
    );
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: PREVIEW_BYTES * 2 }), { maxLength: 20 }), (lengths) => {
        const cutter = new PreviewCutter();
        let latest = 0;
        let offset = 0;
        for (const length of [...lengths, bytes.length]) {
          const preview = cutter.push(bytes.subarray(offset, offset + length));
          offset = Math.min(bytes.length, offset + length);
          const complete = Math.floor(offset / PREVIEW_BYTES);
          expect(preview?.luma[0]).toBe(complete > latest ? complete : undefined);
          if (preview !== undefined) expect(new Set(preview.luma).size).toBe(1);
          latest = complete;
        }
      }),
    );
  });
});
