import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VideoClock } from './video-clock.js';

const HOLE_MS = 120_000;

describe('VideoClock', () => {
  it('begins at nought and goes as the frames say', () => {
    const clock = new VideoClock();
    expect([1400, 1440, 1480.5, 3000].map((mediaMs) => clock.timeOf(mediaMs))).toEqual([0, 40, 80.5, 1600]);
  });

  it('goes on where a recording goes back, jumps far, or has no times', () => {
    const clock = new VideoClock();
    expect([0, 5000, 100, 140].map((mediaMs) => clock.timeOf(mediaMs))).toEqual([0, 5000, 5040, 5080]);
    expect(clock.timeOf(1e12)).toBe(5080 + HOLE_MS);
    expect(clock.timeOf(undefined)).toBe(5120 + HOLE_MS);
    expect(new VideoClock().timeOf(undefined)).toBe(0);
  });

  it('makes up for every half second that nobody looked at', () => {
    const clock = new VideoClock();
    expect(clock.isDue(clock.timeOf(0))).toBe(true);
    const second = clock.timeOf(400);
    expect(clock.momentsBefore(second)).toEqual([]);
    expect(clock.isDue(second)).toBe(false);
    expect(clock.momentsBefore(clock.timeOf(1700))).toEqual([500, 1000, 1500]);
  });

  it('never goes back, and never takes long over a hole, whatever the times are', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }), { nil: undefined })), (times) => {
        const clock = new VideoClock();
        let last = 0;
        for (const mediaMs of times) {
          const now = clock.timeOf(mediaMs);
          expect(now).toBeGreaterThanOrEqual(last);
          expect(now - last).toBeLessThanOrEqual(HOLE_MS * 1.000001 + 1);
          expect(clock.momentsBefore(now).length).toBeLessThanOrEqual(241);
          last = now;
        }
      }),
    ); // prettier-ignore
  });
});
