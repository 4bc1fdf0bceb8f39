import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PREVIEW_DELAY_MS, PREVIEW_PERIOD_MS, PREVIEW_STALE_MS, PreviewShelf } from './preview-shelf.js';

const picture = (level: number) => ({ width: 2, height: 1, luma: Uint8Array.of(level, 255 - level) });

describe('PreviewShelf', () => {
  it('shows nothing before a picture has waited, and then that picture', () => {
    const shelf = new PreviewShelf();
    shelf.offer(() => picture(0), 5_000);
    expect(shelf.shown(5_000)).toBeUndefined();
    expect(shelf.shown(5_000 + PREVIEW_DELAY_MS - 1)).toBeUndefined();
    const shown = shelf.shown(5_000 + PREVIEW_DELAY_MS);
    expect(shown).toEqual(picture(0));
    expect(shelf.shown(5_000 + PREVIEW_DELAY_MS + 10)).toBe(shown);
  });

  it('keeps one picture a second, and does not ask for the others', () => {
    const shelf = new PreviewShelf();
    let asked = 0;
    const make = () => {
      asked += 1;
      return picture(8);
    };
    for (let ms = 0; ms < 10 * PREVIEW_PERIOD_MS; ms += 40) shelf.offer(make, ms);
    expect(asked).toBe(10);
  });

  it('shows a picture of two to three seconds ago while pictures come, whatever their rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 33, max: 900 }), (periodMs) => {
        const shelf = new PreviewShelf();
        for (let ms = 0; ms < 20_000; ms += periodMs) {
          shelf.offer(() => ({ width: 1, height: 1, luma: Uint8Array.of((ms / 1_000) << 2) }), ms);
          if (ms < PREVIEW_DELAY_MS) continue;
          const takenSeconds = (shelf.shown(ms)?.luma[0] ?? 255) >> 2;
          const agoMs = ms - takenSeconds * 1_000;
          expect(agoMs).toBeGreaterThanOrEqual(PREVIEW_DELAY_MS);
          expect(agoMs).toBeLessThan(PREVIEW_DELAY_MS + 2 * PREVIEW_PERIOD_MS + periodMs);
        }
      }),
    );
  });

  it('does not pass off an old picture as a view of now', () => {
    const shelf = new PreviewShelf();
    shelf.offer(() => picture(100), 0);
    expect(shelf.shown(PREVIEW_STALE_MS)).toBeDefined();
    expect(shelf.shown(PREVIEW_STALE_MS + 1)).toBeUndefined();
  });

  it('leaves out the two lowest bits of every level, and keeps black and white', () => {
    const shelf = new PreviewShelf();
    const luma = Uint8Array.from({ length: 256 }, (_, level) => level);
    shelf.offer(() => ({ width: 256, height: 1, luma }), 0);
    const shown = shelf.shown(PREVIEW_DELAY_MS)?.luma ?? new Uint8Array();
    expect(new Set(shown).size).toBe(64);
    expect([shown[0], shown[3], shown[255]]).toEqual([0, 0, 255]);
    for (let level = 0; level < 256; level++) {
      expect(shown[level]).toBe(shown[level & 0xfc]);
      expect(Math.abs((shown[level] ?? 0) - level)).toBeLessThan(4);
    }
  });
});
