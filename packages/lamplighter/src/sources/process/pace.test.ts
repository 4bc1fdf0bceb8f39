import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Pace } from './pace.js';

describe('Pace', () => {
  it('lets a slow source speak without a pause', () => {
    let nowNs = 0n;
    const pace = new Pace(1000, { monotonicNs: () => nowNs });
    for (let second = 0; second < 100; second += 1) {
      nowNs = BigInt(second) * 1_000_000_000n;
      expect(pace.pauseMs(1)).toBeLessThanOrEqual(1);
    }
  });

  it('does not save up what was not used', () => {
    let nowNs = 0n;
    const pace = new Pace(1000, { monotonicNs: () => nowNs });
    nowNs = 3_600_000_000_000n;
    expect(pace.pauseMs(500)).toBe(500);
  });

  it('is kept, however the bytes are cut', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 4096, max: 1 << 24 }), lengths, (bytesPerSecond, chunks) => {
        let nowNs = 0n;
        const pace = new Pace(bytesPerSecond, { monotonicNs: () => nowNs });
        let heard = 0;
        for (const length of chunks) {
          heard += length;
          nowNs += BigInt(Math.ceil(pace.pauseMs(length) * 1e6));
        }
        const seconds = Number(nowNs) / 1e9;
        const owed = bytesPerSecond / 1000 + 1;
        expect(heard).toBeLessThanOrEqual(bytesPerSecond * seconds + owed);
        expect(heard).toBeGreaterThanOrEqual(bytesPerSecond * seconds - owed);
      }),
    );
  });
});
