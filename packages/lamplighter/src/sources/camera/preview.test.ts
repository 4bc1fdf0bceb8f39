import { describe, expect, it } from 'vitest';
import { previewOf } from './preview.js';

describe('previewOf', () => {
  it('averages 2 × 2 cells, so that no cell of it is one that was looked at', () => {
    const luma = Uint8Array.from([10, 20, 0, 0, 30, 40, 255, 255]);
    expect(previewOf({ width: 4, height: 2, luma })).toEqual({
      width: 2,
      height: 1,
      luma: Uint8Array.of(25, 128),
    });
  });

  it('refuses what is odd or does not fit', () => {
    expect(() => previewOf({ width: 3, height: 2, luma: new Uint8Array(6) })).toThrow(RangeError);
    expect(() => previewOf({ width: 4, height: 2, luma: new Uint8Array(7) })).toThrow(RangeError);
  });
});
