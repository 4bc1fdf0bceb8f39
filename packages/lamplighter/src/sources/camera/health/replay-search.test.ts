import { beforeEach, describe, expect, it } from 'vitest';
import { popcount } from './fingerprint.js';
import { ReplaySearch } from './replay-search.js';
import { SyntheticCamera } from './synthetic-camera.fixture.js';
import { THRESHOLDS } from './thresholds.js';

const PERIOD_MS = 100;

let camera: SyntheticCamera;
let search: ReplaySearch;
let nowMs: number;

beforeEach(() => {
  camera = new SyntheticCamera();
  search = new ReplaySearch();
  nowMs = 0;
});

function record(seconds: number): Uint8Array[] {
  return Array.from(
    { length: (seconds * 1_000) / PERIOD_MS },
    (_, at) => camera.picture(at * PERIOD_MS).luma,
  );
}

function play(pictures: readonly Uint8Array[]): void {
  for (const luma of pictures) {
    search.see(luma, nowMs);
    nowMs += PERIOD_MS;
  }
}

describe('replay search', () => {
  it('finds a recording that is played again, and how long ago that was', () => {
    const recorded = record(7);
    play(recorded);
    play(record(20));
    expect(search.bestZ).toBeLessThan(THRESHOLDS.replayMeanZ);
    play(recorded);
    expect(search.bestZ).toBeGreaterThan(3);
    expect(search.bestLagMs).toBe(27_000);
  });

  it('finds it with other noise on top, brighter, and flickering', () => {
    const recorded = record(7);
    const second = new SyntheticCamera(5);
    Object.assign(second.scene, { noise: 2, background: 128 });
    play(recorded);
    const again = recorded.map((luma, at) => {
      const noise = second.picture(1_000_000 + at * PERIOD_MS).luma;
      const gain = 1.1 + 0.1 * Math.sin(at);
      return luma.map((level, pixel) =>
        Math.min(255, level * gain + (pixel % 3 === 0 ? (noise[pixel] ?? 0) % 5 : 0)),
      );
    });
    play(again);
    expect(search.bestZ).toBeGreaterThan(THRESHOLDS.replayMeanZ);
    expect(search.bestLagMs).toBe(7_000);
  });

  it('finds nothing in a picture that flickers over a strong texture', () => {
    for (let at = 0; at < 600; at++) {
      const { luma } = camera.picture(nowMs);
      const gain = 1 + 0.1 * Math.sin((2 * Math.PI * at) / 8);
      play([luma.map((level, pixel) => Math.min(255, (level + (pixel % 7) * 12) * gain))]);
    }
    expect(search.bestZ).toBeLessThan(0.8);
  });

  it('a still picture is no replay: nothing changes, so nothing agrees', () => {
    const [still] = record(1);
    if (still === undefined) throw new Error('a picture');
    play(Array.from({ length: 200 }, () => still));
    expect(search.bestZ).toBe(0);
  });

  it('counts bits', () => {
    for (const word of [0, 1, 0x8000_0000, 0xffff_ffff, 0x1234_5678, 0xf0f0_f0f0]) {
      const bits = word.toString(2).replaceAll('0', '').length;
      expect(popcount(word)).toBe(bits);
      expect(popcount(word | 0)).toBe(bits);
    }
  });
});
