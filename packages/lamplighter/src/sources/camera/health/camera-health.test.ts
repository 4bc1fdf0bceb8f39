import { beforeEach, describe, expect, it } from 'vitest';
import { type CameraFault, CameraHealth } from './camera-health.js';
import { HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { SyntheticCamera } from './synthetic-camera.fixture.js';
import { THRESHOLDS } from './thresholds.js';

const PERIOD_MS = 200;

let camera: SyntheticCamera;
let health: CameraHealth;
let nowMs: number;

beforeEach(() => {
  camera = new SyntheticCamera();
  health = new CameraHealth();
  nowMs = 0;
});

/** Lets the camera film for a while; `change` may put other pixels into each picture. */
function film(
  seconds: number,
  change?: (luma: Uint8Array, timeMs: number) => void,
  periodMs = PERIOD_MS,
): void {
  for (const endMs = nowMs + seconds * 1_000; nowMs < endMs; nowMs += periodMs) {
    const picture = camera.picture(nowMs);
    change?.(picture.luma, nowMs);
    health.see(picture);
    health.heard(nowMs);
  }
}

function faults(): readonly CameraFault[] {
  return health.verdict(nowMs).faults;
}

function mapPixels(luma: Uint8Array, level: (level: number, column: number, row: number) => number): void {
  const width = HEALTH_WIDTH;
  for (let pixel = 0; pixel < luma.length; pixel++) {
    const column = pixel % width;
    const row = Math.floor(pixel / width);
    luma[pixel] = Math.min(255, Math.max(0, level(luma[pixel] ?? 0, column, row)));
  }
}

/** Each fault, as something that happens to the pictures of a good camera. */
function ways(): Record<Exclude<CameraFault, 'gone'>, (luma: Uint8Array, timeMs: number) => void> {
  let still: Uint8Array | undefined;
  const recorded: Uint8Array[] = [];
  let position = 0;
  const freeze = (luma: Uint8Array) => {
    still ??= Uint8Array.from(luma);
    luma.set(still);
  };
  return {
    dark: (luma) => luma.fill(16),
    blind: (luma) => mapPixels(luma, (level) => level * 4 + 120),
    flat: (luma) => mapPixels(luma, (_, column) => 60 + column * 0.9),
    frozen: freeze,
    'overlay-only': (luma, timeMs) => {
      freeze(luma);
      mapPixels(luma, (level, column, row) =>
        column < 30 && row < 8 ? (Math.floor(timeMs / 1_000 + column / 4) % 2) * 200 + 20 : level,
      );
    },
    replayed: (luma) => {
      if (recorded.length < 15) recorded.push(Uint8Array.from(luma));
      else luma.set(recorded[position++ % recorded.length] ?? luma);
    },
    'low-noise': (luma, timeMs) =>
      mapPixels(luma, (_, column, row) =>
        Math.round(120 + 60 * Math.sin(column / 17 + timeMs / 900) + 40 * Math.cos(row / 13 - timeMs / 700)),
      ),
    changed: (luma) => mapPixels(luma, (level) => level + 40),
    stalled: () => undefined,
  };
}

describe('camera health', () => {
  it('is unknown for three seconds, then healthy; the same pictures make the same verdict', () => {
    film(2);
    expect(health.verdict(nowMs)).toMatchObject({ verdict: 'unknown', faults: [] });
    film(28);
    const verdict = health.verdict(nowMs);
    expect(verdict).toMatchObject({ verdict: 'healthy', faults: [] });
    expect(health.history()).toEqual([]);
    [camera, health, nowMs] = [new SyntheticCamera(), new CameraHealth(), 0];
    film(30);
    expect(health.verdict(nowMs)).toEqual(verdict);
  });

  it.each(['dark', 'blind', 'flat', 'frozen', 'overlay-only', 'replayed', 'low-noise', 'changed'] as const)(
    '%s: fails within 10 s, says so for as long as it lasts, recovers, and the history shows it',
    (fault) => {
      film(15);
      expect(faults()).toEqual([]);
      const beganMs = nowMs;
      film(10, ways()[fault]);
      expect(faults()).toContain(fault);
      expect(health.verdict(nowMs).verdict).toBe('degraded');
      const raised = health.history().find((span) => span.fault === fault);
      expect(raised?.fromMs).toBeGreaterThanOrEqual(beganMs);
      expect(raised?.toMs).toBeUndefined();
      film(THRESHOLDS.recoverMs / 1_000 - 1);
      expect(faults()).toContain(fault);
      film(25);
      expect(health.verdict(nowMs)).toMatchObject({ verdict: 'healthy', faults: [] });
      expect(health.history().find((span) => span.fault === fault)?.toMs).toBeGreaterThan(beganMs + 10_000);
    },
  );

  it('half the picture black, or half of it one colour, is a fault', () => {
    film(15);
    film(10, (luma) => mapPixels(luma, (level, column) => (column < HEALTH_WIDTH / 2 ? 16 : level)));
    expect(faults()).toEqual(expect.arrayContaining(['dark', 'changed']));
    film(30);
    expect(faults()).toEqual([]);
    film(10, (luma) => mapPixels(luma, (level, column) => (column < HEALTH_WIDTH / 2 ? 128 : level)));
    expect(faults()).toContain('flat');
  });

  it('a dark room with the noise of a sensor is healthy, and so is flicker', () => {
    camera.scene.background = 4;
    film(30);
    expect(faults()).toEqual([]);
    [camera, health, nowMs] = [new SyntheticCamera(), new CameraHealth(), 0];
    film(30, (luma, timeMs) => mapPixels(luma, (level) => level * (1 + 0.1 * Math.sin(timeMs / 61))));
    expect(health.verdict(nowMs)).toMatchObject({ verdict: 'healthy', faults: [] });
    expect(health.history()).toEqual([]);
  });

  it('daylight that comes and goes, a flash, and a hand before the lens are no faults', () => {
    film(60, (luma, timeMs) => mapPixels(luma, (level) => level + (60 * timeMs) / 60_000));
    film(60, (luma, timeMs) => mapPixels(luma, (level) => level + 120 - (60 * timeMs) / 60_000));
    film(0.3, (luma) => luma.fill(255));
    film(5);
    film(1.5, (luma) => mapPixels(luma, (level) => level / 3));
    film(30);
    expect(health.history()).toEqual([]);
  });

  it('changed: a turned camera is told until the new view has been stable for a minute', () => {
    film(20);
    camera.scene.isTurned = true;
    film(10);
    expect(faults()).toContain('changed');
    film(40);
    expect(faults()).toContain('changed');
    film(THRESHOLDS.rebaselineMs / 1_000);
    expect(faults()).toEqual([]);
  });

  it('changed: another size, until it has been so for a minute', () => {
    film(10);
    camera.scene.sourceWidth = 320;
    camera.scene.sourceHeight = 240;
    film(3);
    expect(faults()).toEqual(['changed']);
    film(THRESHOLDS.rebaselineMs / 1_000 + 20);
    expect(faults()).toEqual([]);
  });

  it('stalled: pictures stop, or come at a third of their rate; gone: says so at once', () => {
    film(20);
    nowMs += 5_000;
    expect(faults()).toEqual(['stalled']);
    film(30);
    expect(faults()).toEqual([]);
    film(10, undefined, 3 * PERIOD_MS);
    expect(faults()).toEqual(['stalled']);
    film(30);
    expect(faults()).toEqual([]);
    health.gone(nowMs);
    expect(faults()).toEqual(['gone']);
    health.back(nowMs);
    film(20);
    expect(health.verdict(nowMs)).toMatchObject({ verdict: 'healthy', faults: [] });
    expect(health.history().map((span) => span.fault)).toEqual(['stalled', 'stalled', 'gone']);
  });

  it('stalled: bytes come in, but never a picture', () => {
    for (; nowMs < 11_000; nowMs += 500) health.heard(nowMs);
    expect(faults()).toEqual(['stalled']);
  });

  it('a frozen camera, or a recording, that reconnects with a new clock does not look alive', () => {
    film(10);
    const { frozen } = ways();
    film(10, frozen);
    health.gone(nowMs);
    nowMs = 0;
    health.back(nowMs);
    film(0.5, frozen);
    expect(faults()).toContain('frozen');
    film(30, frozen);
    expect(faults()).toContain('frozen');

    [camera, health, nowMs] = [new SyntheticCamera(), new CameraHealth(), 0];
    const { replayed } = ways();
    film(3, replayed);
    health.gone(nowMs);
    nowMs = 0;
    health.back(nowMs);
    film(3, replayed);
    expect(faults()).toContain('replayed');
  });

  it('key frames only, one every two seconds: verdicts within five of them', () => {
    film(60, undefined, 2_000);
    expect(health.verdict(nowMs)).toMatchObject({ verdict: 'healthy', faults: [] });
    film(10, ways().frozen, 2_000);
    expect(faults()).toContain('frozen');
    film(60, undefined, 2_000);
    expect(faults()).toEqual([]);
    film(10, ways().dark, 2_000);
    expect(faults()).toContain('dark');
  });

  it('gives at most 24 finite numbers, also before anything was seen', () => {
    for (const seconds of [0, 1, 20]) {
      film(seconds);
      const { numbers } = health.verdict(nowMs);
      expect(Object.keys(numbers).length).toBeLessThanOrEqual(24);
      expect(Object.values(numbers).every(Number.isFinite)).toBe(true);
    }
    const { numbers } = health.verdict(nowMs);
    expect(numbers['residualRms']).toBeCloseTo(3, 0);
    expect(numbers['picturesPerSecond']).toBeCloseTo(5, 0);
    expect(numbers['noiseBits']).toBeGreaterThan(0.9);
  });

  it('the repetition count and adaptive proportion tests fail on a still picture, and on no good one', () => {
    film(20);
    expect(health.verdict(nowMs).numbers).toMatchObject({ rctFailures: 0, aptFailures: 0 });
    film(10, ways().frozen);
    const { numbers } = health.verdict(nowMs);
    expect(numbers['rctFailures']).toBeGreaterThan(10_000);
    expect(numbers['aptFailures']).toBeGreaterThan(100);
  });

  it('describes what the tests look at', () => {
    film(20);
    const { noiseMap, histogram } = health.describe();
    expect(noiseMap).toHaveLength(HEALTH_PIXELS);
    expect(histogram.reduce((sum, pixels) => sum + pixels, 0)).toBe(HEALTH_PIXELS);
    const inside = noiseMap.filter((_, pixel) => pixel % HEALTH_WIDTH > 0 && pixel % HEALTH_WIDTH < 159);
    const mean = inside.reduce((sum, levels) => sum + levels, 0) / inside.length;
    // The mean of |x| of a Gaussian is 0.8 deviations.
    expect(mean).toBeGreaterThan(2);
    expect(mean).toBeLessThan(3);
  });

  it('refuses a picture of another size or without a time, and nothing has changed', () => {
    film(10);
    const before = health.verdict(nowMs);
    const picture = camera.picture(nowMs);
    const wrong: HealthPicture[] = [
      { ...picture, width: 159 },
      { ...picture, luma: picture.luma.subarray(1) },
      { ...picture, timeMs: Number.NaN },
    ];
    for (const one of wrong) expect(() => health.see(one)).toThrow(RangeError);
    expect(health.verdict(nowMs)).toEqual(before);
  });

  it('keeps the last 64 faults', () => {
    for (let time = 0; time < 70; time++) {
      health.gone(nowMs);
      health.back(nowMs);
      film(16, undefined, 4_000);
      expect(faults()).not.toContain('gone');
    }
    expect(health.history().length).toBeLessThanOrEqual(64);
  });
});
