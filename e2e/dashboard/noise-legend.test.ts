import { expect, it } from 'vitest';
import { noiseIndex, noisePalette } from '../../packages/lamplighter/dist/sources/camera/noise-map.js';

// The page may import types only, so the colours stand in both: here they are compared.
const LEGEND = new URL('../../packages/dashboard/src/noise-legend.ts', import.meta.url).href;

const levelsOf = (text: string): number => (text === '–' ? NaN : Number.parseFloat(text));

it('the legend of the page has the colours in which the node draws the noise map', async () => {
  const { NOISE_LEGEND: legend } = (await import(LEGEND)) as {
    NOISE_LEGEND: readonly { colour: string; levels: string; words: string }[];
  };
  expect(legend.length).toBeGreaterThan(4);
  const palette = noisePalette();
  const hex = (index: number): string =>
    `#${(palette[index] ?? []).map((part) => part.toString(16).padStart(2, '0')).join('')}`;
  for (const { colour, levels, words } of legend) {
    const at = levelsOf(levels);
    expect({ levels, colour }).toEqual({ levels, colour: hex(Number.isNaN(at) ? 255 : noiseIndex(at)) });
    expect(words).not.toBe('');
  }
});
