import { describe, expect, it } from 'vitest';
import {
  FROZEN_AFTER_MS,
  type PictureHistory,
  UNDECODABLE_AFTER_MS,
  beginHistory,
  difference,
  judge,
  seePreview,
} from './moving.js';
import { PREVIEW_BYTES, previewOf } from './preview.js';

const flat = (level: number) => previewOf(new Uint8Array(PREVIEW_BYTES).fill(level));

/** A flat picture in which `cells` cells are `levels` brighter. */
function spotted(cells: number, levels: number) {
  const picture = flat(100);
  picture.luma.fill(100 + levels, 0, cells);
  return picture;
}

function see(history: PictureHistory, pictures: readonly ReturnType<typeof flat>[], fromMs: number) {
  return pictures.reduce((seen, picture, n) => seePreview(seen, picture, fromMs + n * 500), history);
}

describe('judge', () => {
  it('knows nothing before two pictures', () => {
    const begun = beginHistory(1000);
    expect(judge(begun, 1000)).toBe('unknown');
    expect(judge(see(begun, [flat(9)], 1000), 1500)).toBe('unknown');
  });

  it('calls changing pictures moving, and still ones frozen after the limit', () => {
    const moving = see(beginHistory(0), [flat(10), flat(50), flat(10)], 0);
    expect(judge(moving, 1000)).toBe('moving');
    const still = see(moving, Array.from({ length: 12 }, () => flat(10)), 1500); // prettier-ignore
    expect(judge(still, 1000 + FROZEN_AFTER_MS)).toBe('moving');
    expect(judge(still, 1001 + FROZEN_AFTER_MS)).toBe('frozen');
    const again = seePreview(still, flat(60), 8000);
    expect(judge(again, 8000)).toBe('moving');
  });

  it('calls a camera that never moved frozen', () => {
    const still = see(beginHistory(0), Array.from({ length: 11 }, () => flat(10)), 0); // prettier-ignore
    expect(judge(still, FROZEN_AFTER_MS)).toBe('unknown');
    expect(judge(still, FROZEN_AFTER_MS + 1)).toBe('frozen');
  });

  it('takes rounding for no change, and sensor noise or a small lamp for one', () => {
    const after = (picture: ReturnType<typeof flat>) =>
      judge(see(beginHistory(0), [flat(100), picture], 0), 600);
    expect(after(spotted(700, 1))).toBe('unknown');
    expect(after(spotted(15, 9))).toBe('unknown');
    expect(after(spotted(16, 2))).toBe('moving');
    expect(after(spotted(800, 1))).toBe('moving');
  });

  it('adds slow movement up', () => {
    const rising = Array.from({ length: 40 }, (_, n) =>
      spotted(16, n < 20 ? 0 : 1 + Math.floor((n - 20) / 4)),
    );
    const history = see(beginHistory(0), rising, 0);
    expect(judge(history, 20_000)).toBe('moving');
  });

  it('calls video without pictures not decodable, from the start and later', () => {
    const begun = beginHistory(0);
    expect(judge(begun, UNDECODABLE_AFTER_MS)).toBe('unknown');
    expect(judge(begun, UNDECODABLE_AFTER_MS + 1)).toBe('not-decodable');
    const once = see(begun, [flat(1), flat(90)], 0);
    expect(judge(once, 501 + UNDECODABLE_AFTER_MS)).toBe('not-decodable');
  });

  it('does not take a frozen camera that reconnects for a live one', () => {
    let history = see(beginHistory(0), [flat(1), flat(90), flat(90)], 0);
    for (let nowMs = 2000; nowMs < 30_000; nowMs += 1000) {
      history = seePreview(beginHistory(nowMs, history), flat(90), nowMs);
      expect(judge(history, nowMs + 900)).toBe('unknown');
    }
  });
});

describe('difference', () => {
  it('counts cells and averages levels', () => {
    expect(difference(flat(100), spotted(768, 4))).toEqual({ changedCells: 768, meanLevels: 1 });
  });
});
