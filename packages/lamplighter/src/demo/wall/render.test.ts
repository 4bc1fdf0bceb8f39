import { describe, expect, it } from 'vitest';
import { CAPTION } from './caption.js';
import { type Lamp, createLamp, stepLamp } from './lamp.js';
import { GLASS_FOOT_HEIGHT, layOut } from './layout.js';
import { createRenderer } from './render.js';
import { seededRandom } from './seeded-random.fixture.js';
import { WHITE } from './sensor.js';

const WIDTH = 320;
const HEIGHT = 180;
const layout = layOut(WIDTH, HEIGHT, 3);
const lampsOf = (seed: number): Lamp[] =>
  layout.lamps.map((_, index) => createLamp(seededRandom(seed + index)));
const onePixelCm = 1 / (layout.lamps[0]?.pixelsPerCm ?? 1);

/** A lamp with one blob that stands in the middle. */
function lampWithBlob(heightCm: number): Lamp {
  const blob = { radiusCm: 1.5, xCm: 0, heightCm, xSpeedCmPerS: 0, riseSpeedCmPerS: 0, temperatureC: 50 };
  return { blobs: [blob], burningSeconds: 0 };
}

/** The rows of the first lamp's axis whose colour one blob changes, as heights above the foot of the glass in cm. */
function changedHeights(heightCm: number): number[] {
  const place = layout.lamps[0];
  if (place === undefined) throw new Error('there is a first lamp');
  const render = createRenderer(layout);
  const others = lampsOf(1).slice(1);
  const empty = render([{ blobs: [], burningSeconds: 0 }, ...others]).slice();
  const full = render([lampWithBlob(heightCm), ...others]);
  const footPx = place.boardPx - GLASS_FOOT_HEIGHT * place.heightPx;
  return Array.from({ length: HEIGHT }, (_, y) => y)
    .filter((y) => {
      const at = (y * WIDTH + Math.floor(place.axisPx)) * 3;
      return [0, 1, 2].some(
        (channel) => Math.abs((full[at + channel] ?? 0) - (empty[at + channel] ?? 0)) > 60,
      );
    })
    .map((y) => (footPx - y - 0.5) / place.pixelsPerCm);
}

describe('the renderer', () => {
  it('draws a lone blob where it is, at its true size', () => {
    const heights = changedHeights(12);
    expect(Math.min(...heights)).toBeGreaterThan(12 - 1.5 - 1.5 * onePixelCm);
    expect(Math.min(...heights)).toBeLessThan(12 - 1.5 + 2.5 * onePixelCm);
    expect(Math.max(...heights)).toBeLessThan(12 + 1.5 + 1.5 * onePixelCm);
    expect(Math.max(...heights)).toBeGreaterThan(12 + 1.5 - 2.5 * onePixelCm);
  });

  it('lets two blobs that nearly touch flow into one', () => {
    const render = createRenderer(layout);
    const others = lampsOf(1).slice(1);
    const place = layout.lamps[0];
    if (place === undefined) throw new Error('there is a first lamp');
    const footPx = place.boardPx - GLASS_FOOT_HEIGHT * place.heightPx;
    const between = (Math.round(footPx - 12 * place.pixelsPerCm) * WIDTH + Math.floor(place.axisPx)) * 3;
    const alone = render([lampWithBlob(13.6), ...others])[between] ?? 0;
    const blobs = [...lampWithBlob(13.6).blobs, ...lampWithBlob(10.4).blobs];
    const together = render([{ blobs, burningSeconds: 0 }, ...others])[between] ?? 0;
    expect(together).toBeGreaterThan(alone + 60);
  });

  it('draws the same lamps the same, moved lamps differently, and each lamp only into its own glass', () => {
    const render = createRenderer(layout);
    const lamps = lampsOf(5);
    const before = render(lamps).slice();
    expect(render(lampsOf(5))).toEqual(before);
    const [first] = lamps;
    const random = seededRandom(9);
    if (first === undefined) throw new Error('there is a first lamp');
    for (let step = 0; step < 100; step++) stepLamp(first, random);
    const after = render(lamps);
    const changedColumns = new Set<number>();
    after.forEach((value, index) => {
      if (value !== before[index]) changedColumns.add(Math.floor(index / 3) % WIDTH);
    });
    expect(changedColumns.size).toBeGreaterThan(5);
    expect(Math.max(...changedColumns)).toBeLessThan(WIDTH / 3);
  });

  it('stays within the scale and takes no memory per frame', () => {
    const render = createRenderer(layout);
    const scene = render(lampsOf(7));
    expect(scene.reduce((most, value) => Math.max(most, value), 0)).toBeLessThanOrEqual(WHITE);
    expect(render(lampsOf(8))).toBe(scene);
  });

  it('refuses another number of lamps', () => {
    expect(() => createRenderer(layout)(lampsOf(1).slice(1))).toThrow(RangeError);
  });

  it('burns the caption into the corner, where no lamp can hide it', () => {
    const scene = createRenderer(layout)(lampsOf(3));
    const row = (y: number) => {
      const dots = Array.from({ length: 5 }, (_, x) => scene[(y * WIDTH + WIDTH - 6 - 5 + x) * 3] ?? 0);
      return dots.map((value) => (value === Math.round(0.8 * WHITE) ? '#' : '.')).join('');
    };
    expect(CAPTION).toMatch(/simulated.*s$/i);
    expect(Array.from({ length: 7 }, (_, y) => row(HEIGHT - 13 + y))).toEqual([
      '.####',
      '#....',
      '#....',
      '.###.',
      '....#',
      '....#',
      '####.',
    ]);
  });
});
