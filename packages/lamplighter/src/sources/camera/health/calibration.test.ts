import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { cameraCalibration, cellMeansOf, maskOf } from './calibration.js';
import { type Calibrated, Calibrator } from './calibrator.js';
import { CameraHealth } from './camera-health.js';
import { CELLS } from './cells.js';
import { HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';
import { SyntheticCamera } from './synthetic-camera.fixture.js';

const PERIOD_MS = 200;

function calibrate(camera: SyntheticCamera, seconds: number): Calibrated {
  const calibrator = new Calibrator();
  for (let timeMs = 0; timeMs <= seconds * 1_000; timeMs += PERIOD_MS) calibrator.see(camera.picture(timeMs));
  return calibrator.finish();
}

const clean = new SyntheticCamera();
clean.scene.noise = 0;
const noisy = new SyntheticCamera(3);
Object.assign(noisy.scene, { noise: 10, background: 100 });

/** A noise-free picture in which one pixel in a hundred is a level off, another one each time. */
function nearlyClean(timeMs: number): HealthPicture {
  const picture = clean.picture(timeMs);
  const { luma } = noisy.picture(0);
  for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
    if ((luma[pixel] ?? 0) < 77) {
      picture.luma[pixel] = (picture.luma[pixel] ?? 0) + 1;
    }
  }
  return picture;
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof LamplighterError) return error.code;
    throw error;
  }
  return 'none';
}

describe('calibration', () => {
  it('says what it chose and why, as JSON that reads back the same', () => {
    const { calibration, reasons } = calibrate(new SyntheticCamera(), 20);
    expect(cameraCalibration.parse(JSON.parse(JSON.stringify(calibration)))).toEqual(calibration);
    expect(calibration).toMatchObject({ sourceWidth: 640, sourceHeight: 480 });
    expect(calibration.picturesPerSecond).toBeCloseTo(5, 5);
    // A bit of noise of three levels is nearly fair; half of it is demanded.
    expect(calibration.minEntropyBits).toBeGreaterThan(0.4);
    expect(calibration.minEntropyBits).toBeLessThanOrEqual(0.5);
    expect(calibration.noiseRatio).toBeGreaterThan(1);
    expect(reasons.join('\n')).toMatch(
      /640 x 480[^]*5\.0 pictures a second[^]*noise ratio[^]*mask[^]*H 0\.4/,
    );
    expect(maskOf(calibration).reduce((sum, bit) => sum + bit, 0)).toBeGreaterThan(0.95 * HEALTH_PIXELS);
    expect(cellMeansOf(calibration)).toHaveLength(CELLS);
  });

  it('leaves clipped pixels and those without noise out of the mask', () => {
    const camera = new SyntheticCamera();
    const calibrator = new Calibrator();
    for (let timeMs = 0; timeMs <= 20_000; timeMs += PERIOD_MS) {
      const picture = camera.picture(timeMs);
      for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
        const column = pixel % HEALTH_WIDTH;
        if (column < 16) picture.luma[pixel] = 255;
        else if (column < 32) picture.luma[pixel] = 40;
      }
      calibrator.see(picture);
    }
    const mask = maskOf(calibrator.finish().calibration);
    expect(mask.filter((_, pixel) => pixel % HEALTH_WIDTH < 32).every((bit) => bit === 0)).toBe(true);
    expect(mask.filter((_, pixel) => pixel % HEALTH_WIDTH >= 32).every((bit) => bit === 1)).toBe(true);
  });

  it('notices what is not as it was: less noise, another size, a turned camera', () => {
    const { calibration } = calibrate(new SyntheticCamera(), 20);
    const faultsAfter = (change: (camera: SyntheticCamera) => void) => {
      const camera = new SyntheticCamera(7);
      change(camera);
      const health = new CameraHealth({ calibration });
      let timeMs = 0;
      for (; timeMs < 15_000; timeMs += PERIOD_MS) health.see(camera.picture(timeMs));
      return health.verdict(timeMs).faults;
    };
    expect(faultsAfter(() => undefined)).toEqual([]);
    expect(faultsAfter(({ scene }) => (scene.noise = 0.5))).toContain('low-noise');
    expect(faultsAfter(({ scene }) => (scene.sourceWidth = 320))).toEqual(['changed']);
    expect(faultsAfter(({ scene }) => (scene.isTurned = true))).toEqual(['changed']);
  });

  it('a camera whose codec eats its noise can be learned, and is then noticed when it freezes', () => {
    const uncalibrated = new CameraHealth();
    for (let timeMs = 0; timeMs < 15_000; timeMs += PERIOD_MS) uncalibrated.see(nearlyClean(timeMs));
    expect(uncalibrated.verdict(15_000).faults).toContain('low-noise');

    const calibrator = new Calibrator();
    for (let timeMs = 0; timeMs < 20_000; timeMs += PERIOD_MS) calibrator.see(nearlyClean(timeMs));
    const { calibration } = calibrator.finish();
    expect(calibration.noiseRatio).toBeLessThan(1);
    const health = new CameraHealth({ calibration });
    let timeMs = 0;
    for (; timeMs < 15_000; timeMs += PERIOD_MS) health.see(nearlyClean(timeMs));
    expect(health.verdict(timeMs)).toMatchObject({ verdict: 'healthy', faults: [] });
    const still = nearlyClean(timeMs);
    for (; timeMs < 25_000; timeMs += PERIOD_MS) health.see({ ...still, timeMs });
    expect(health.verdict(timeMs).faults).toEqual(expect.arrayContaining(['frozen', 'low-noise']));
  });

  it('refuses too little video, a faulty camera, and one without noise', () => {
    expect(codeOf(() => new Calibrator().finish())).toBe('ERR_CAMERA_TOO_SHORT');
    expect(codeOf(() => calibrate(new SyntheticCamera(), 9))).toBe('ERR_CAMERA_TOO_SHORT');
    const capped = new SyntheticCamera();
    Object.assign(capped.scene, { noise: 0, background: 0 });
    expect(codeOf(() => calibrate(capped, 20))).toBe('ERR_CAMERA_FAULTY');
    expect(codeOf(() => calibrate(clean, 20))).not.toBe('none');
  });

  it('refuses what is no calibration', () => {
    const { calibration } = calibrate(new SyntheticCamera(), 12);
    const wrong = [
      { ...calibration, version: 2 },
      { ...calibration, mask: 'AAAA' },
      { ...calibration, mask: '!'.repeat(calibration.mask.length) },
      { ...calibration, minEntropyBits: 0 },
      { ...calibration, noiseRatio: Number.NaN },
      { ...calibration, extra: 1 },
      { ...calibration, cellMeans: undefined },
    ];
    for (const one of wrong) expect(cameraCalibration.safeParse(one).success).toBe(false);
  });
});
