import { describe, expect, it } from 'vitest';
import { BRIGHTEST_LEVELS, noiseIndex, noisePalette, noisePicture, type Rgb } from './noise-map.js';

/** Relative luminance, WCAG 2.2. */
function luminance(colour: Rgb): number {
  const [red = 0, green = 0, blue = 0] = colour.map((part) =>
    part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

describe('noisePalette', () => {
  const palette = noisePalette();
  const ramp = palette.slice(0, 255);

  it('has 256 colours of three whole parts', () => {
    expect(palette).toHaveLength(256);
    for (const colour of palette) {
      expect(colour).toHaveLength(3);
      for (const part of colour) expect(Number.isInteger(part) && part >= 0 && part <= 255).toBe(true);
    }
  });

  it('only gets lighter, in steps that look the same: CIE lightness along it is a straight line', () => {
    const lightness = ramp.map((colour) => 116 * Math.cbrt(luminance(colour)) - 16);
    for (let step = 8; step < ramp.length; step += 8) {
      const risen = (lightness[step] ?? 0) - (lightness[step - 8] ?? 0);
      expect(risen).toBeGreaterThan(1);
      expect(risen).toBeLessThan(7);
    }
    expect(luminance(ramp[0] ?? [255, 255, 255])).toBeLessThan(0.01);
    expect(luminance(ramp.at(-1) ?? [0, 0, 0])).toBeGreaterThan(0.85);
  });

  it('has no colour of the ramp twice, nor the one of what does not count', () => {
    expect(new Set(palette.map(String)).size).toBeGreaterThan(250);
    expect(ramp.map(String)).not.toContain(String(palette[255]));
  });
});

describe('noisePicture', () => {
  it('is darkest where nothing moves and lightest from sixteen levels on', () => {
    expect(noiseIndex(0)).toBe(0);
    expect(noiseIndex(BRIGHTEST_LEVELS)).toBe(254);
    expect(noiseIndex(1e6)).toBe(254);
    expect(noiseIndex(1)).toBeGreaterThan(noiseIndex(0.3));
  });

  it('shows the columns that nobody measures as the ones beside them, and masked pixels as such', () => {
    const noise = Float32Array.of(0, 2, 4, 0, 0, 8, 16, 0);
    const counted = Uint8Array.of(1, 1, 1, 1, 1, 0, 1, 1);
    const at = noiseIndex;
    expect([...noisePicture({ width: 4, height: 2, noise, counted: undefined }).indices]).toEqual(
      [2, 2, 4, 4, 8, 8, 16, 16].map(at),
    );
    expect([...noisePicture({ width: 4, height: 2, noise, counted }).indices]).toEqual([
      ...[2, 2, 4, 4, 8].map(at),
      255,
      ...[16, 16].map(at),
    ]);
  });
});
