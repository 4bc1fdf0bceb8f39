import { describe, expect, it } from 'vitest';
import { WHITE, createSensor } from './sensor.js';

const expose = createSensor();
const everyNoise = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** What one pixel can show at one light, over all noise bytes. */
function outcomes(value: number): number[] {
  const pixels = new Uint8Array(256);
  expose(new Uint16Array(256).fill(value), everyNoise, pixels);
  return [...pixels];
}

/** Mean and variance of what was counted, in linear light, 1 for white. */
function statistics(value: number): { mean: number; variance: number } {
  const light = outcomes(value).map((level) => (level / 255) ** 2.2);
  const mean = light.reduce((sum, one) => sum + one, 0) / light.length;
  const variance = light.reduce((sum, one) => sum + (one - mean) ** 2, 0) / light.length;
  return { mean, variance };
}

describe('the sensor', () => {
  it('shows on average what is there', () => {
    for (const value of [200, 400, 600, 800]) {
      expect(statistics(value).mean / (value / WHITE) ** 2.2).toBeCloseTo(1, 1);
    }
  });

  it('has shot noise: the variance grows in proportion to the signal', () => {
    const [dim, bright] = [statistics(400), statistics(800)];
    const signal = 2 ** 2.2;
    expect(bright.variance / dim.variance / signal).toBeGreaterThan(0.85);
    expect(bright.variance / dim.variance / signal).toBeLessThan(1.15);
  });

  it('is noisy in the dark too, and clips without wrapping around', () => {
    expect(new Set(outcomes(60)).size).toBeGreaterThan(4);
    expect(Math.max(...outcomes(0))).toBeLessThan(25);
    expect(Math.min(...outcomes(WHITE))).toBeGreaterThan(240);
  });

  it('shows more where more noise came in, at every light', () => {
    for (let value = 0; value <= WHITE; value += 11) {
      const levels = outcomes(value);
      expect(levels).toEqual([...levels].sort((a, b) => a - b));
    }
  });

  it('refuses arrays of different lengths and writes nothing', () => {
    const pixels = new Uint8Array(2).fill(7);
    expect(() => expose(new Uint16Array(3), new Uint8Array(3), pixels)).toThrow(RangeError);
    expect(() => expose(new Uint16Array(2), new Uint8Array(3), pixels)).toThrow(RangeError);
    expect([...pixels]).toEqual([7, 7]);
  });
});
