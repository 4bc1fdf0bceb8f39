import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GLASS_FOOT_RADIUS_CM } from './glass.js';
import { layOut } from './layout.js';

/** The metal foot is a little wider than the glass. */
const FOOT_SHARE = 1.12;

describe('layOut', () => {
  it('finds a place for every lamp: inside the picture, on a board, clear of its neighbour', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 160, max: 1280 }),
        fc.integer({ min: 90, max: 720 }),
        fc.integer({ min: 1, max: 24 }),
        (widthPx, heightPx, lampCount) => {
          const { lamps, boardsPx, boardThicknessPx } = layOut(widthPx, heightPx, lampCount);
          expect(lamps).toHaveLength(lampCount);
          expect(Math.max(...boardsPx) + boardThicknessPx).toBeLessThanOrEqual(heightPx);
          for (const [index, lamp] of lamps.entries()) {
            const halfPx = GLASS_FOOT_RADIUS_CM * lamp.pixelsPerCm * FOOT_SHARE;
            expect(lamp.boardPx - lamp.heightPx).toBeGreaterThanOrEqual(0);
            expect(lamp.axisPx - halfPx).toBeGreaterThanOrEqual(0);
            expect(lamp.axisPx + halfPx).toBeLessThanOrEqual(widthPx);
            expect(boardsPx).toContain(lamp.boardPx);
            const next = lamps[index + 1];
            if (next?.boardPx === lamp.boardPx) expect(next.axisPx - lamp.axisPx).toBeGreaterThan(2 * halfPx);
          }
        },
      ),
    );
  });

  it('gives no lamp the colours of the one above it', () => {
    const { lamps } = layOut(640, 360, 16);
    for (let column = 0; column < 8; column++) {
      expect(lamps[column]?.palette).not.toBe(lamps[column + 8]?.palette);
    }
  });

  it.each([
    [159, 360, 5],
    [640, 721, 5],
    [640, 360, 0],
    [640, 360, 25],
    [640.5, 360, 5],
  ])('refuses %d × %d with %d lamps', (widthPx, heightPx, lampCount) => {
    expect(() => layOut(widthPx, heightPx, lampCount)).toThrow(RangeError);
  });
});
