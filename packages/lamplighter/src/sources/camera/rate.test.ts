import { describe, expect, it } from 'vitest';
import { Rate } from './rate.js';

describe('Rate', () => {
  it('is what was counted over the last five seconds', () => {
    const rate = new Rate();
    expect(rate.perSecond(0)).toBe(0);
    for (let ms = 500; ms < 20_000; ms += 40) rate.add(1, ms);
    expect(rate.perSecond(20_000)).toBeCloseTo(25, 0);
    for (let ms = 20_000; ms < 25_500; ms += 100) rate.add(1, ms);
    expect(rate.perSecond(25_500)).toBeCloseTo(10, 0);
  });

  it('falls to nothing when nothing comes, also after a long time', () => {
    const rate = new Rate();
    rate.add(100, 1000);
    expect(rate.perSecond(2000)).toBe(100);
    expect(rate.perSecond(8000)).toBe(0);
    rate.add(10, 9_000_000);
    expect(rate.perSecond(9_000_000)).toBe(2);
  });
});
