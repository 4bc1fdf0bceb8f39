import { decode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { drawProbe } from './probe-picture.js';

const view = {
  title: ['HTTP CAMERA', 'VERDICT: HEALTHY'],
  preview: { width: 80, height: 60, luma: new Uint8Array(4800).fill(200) },
  width: 160,
  height: 120,
  noise: new Float64Array(19_200).fill(8),
  counted: undefined,
  histogram: Uint32Array.from({ length: 256 }, (_, level) => (level === 128 ? 5000 : 0)),
};

/** How many pixels of a drawing have this colour. */
function count(png: Uint8Array, [red, green, blue]: readonly [number, number, number]): number {
  const { data } = decode(png);
  let pixels = 0;
  for (let at = 0; at < data.length; at += 3) {
    if (data[at] === red && data[at + 1] === green && data[at + 2] === blue) pixels += 1;
  }
  return pixels;
}

const WHITE_HOT = [255, 255, 255] as const;
const UNCOUNTED = [150, 30, 40] as const;
const BAR = [240, 170, 60] as const;

describe('drawProbe', () => {
  it('is a PNG with picture, noise map and histogram', () => {
    const png = drawProbe(view);
    expect(decode(png)).toMatchObject({ width: 676, channels: 3, depth: 8 });
    expect(count(png, [200, 200, 200])).toBe(320 * 240);
    // All of the map, and one box of the legend.
    expect(count(png, WHITE_HOT)).toBe(320 * 240 + 10 * 8);
    expect(count(png, BAR)).toBe(2 * 120);
  });

  it('shows pixels that stand still, those that do not count, and the absence of a picture', () => {
    const noise = new Float64Array(19_200).fill(8).fill(0, 0, 9_600);
    const counted = new Uint8Array(19_200).fill(1).fill(0, 9_600 + 4_800);
    const png = drawProbe({ ...view, preview: undefined, noise, counted });
    expect(count(png, WHITE_HOT)).toBe((320 * 240) / 4 + 10 * 8);
    expect(count(png, UNCOUNTED)).toBe((320 * 240) / 4 + 10 * 8);
    expect(count(png, [200, 200, 200])).toBe(0);
  });

  it('draws something for anything', () => {
    const nothing = { ...view, title: ['Ω…ß'.repeat(200)], noise: [], histogram: [], preview: undefined };
    expect(decode(drawProbe(nothing)).width).toBe(676);
  });
});
