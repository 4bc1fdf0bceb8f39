import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { parseCalibration, readCalibration } from './calibration-file.js';

const GOOD = {
  version: 1,
  sourceWidth: 640,
  sourceHeight: 480,
  picturesPerSecond: 30,
  minEntropyBits: 0.5,
  staticNoise: 1,
  movingNoise: 2,
  noisyShare: 0.8,
  meanLuma: 100,
  cellMeans: Buffer.alloc(192, 100).toString('base64'),
  mask: Buffer.alloc(2400, 255).toString('base64'),
};
const refusal = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'ERR_CONFIG', message: expect.stringMatching(message) as string });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-calibration-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('readCalibration', () => {
  it('reads what was written', async () => {
    const file = path.join(folder, 'good.json');
    writeFileSync(file, JSON.stringify(GOOD));
    expect(await readCalibration(file, systemEnvironment())).toEqual(GOOD);
  });

  it('names a file that is not there, is a folder, or is far too long', async () => {
    const environment = systemEnvironment();
    const long = path.join(folder, 'long.json');
    writeFileSync(long, `${JSON.stringify(GOOD)}${' '.repeat(100_000)}`);
    await expect(readCalibration(path.join(folder, 'none'), environment)).rejects.toEqual(
      refusal(/none cannot be read \(ENOENT\)/),
    );
    await expect(readCalibration(folder, environment)).rejects.toEqual(refusal(/EISDIR/));
    await expect(readCalibration(long, environment)).rejects.toEqual(refusal(/more than/));
  });
});

describe('parseCalibration', () => {
  it.each([
    ['', /no JSON/],
    ['[]', /no camera calibration/],
    [JSON.stringify({ ...GOOD, version: 2 }), /at version/],
    [JSON.stringify({ ...GOOD, mask: 'AAAA' }), /at mask/],
    [JSON.stringify({ ...GOOD, minEntropyBits: 2 }), /at minEntropyBits/],
    [JSON.stringify({ ...GOOD, extra: 1 }), /extra/],
  ])('refuses %.30j', (text, why) => {
    expect(() => parseCalibration('cal.json', text)).toThrow(refusal(why));
  });
});
