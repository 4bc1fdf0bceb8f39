import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCalibration, readCalibration } from './calibration-file.js';

const GOOD = {
  version: 1,
  sourceWidth: 640,
  sourceHeight: 480,
  picturesPerSecond: 30,
  minEntropyBits: 0.5,
  noiseRatio: 1,
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
  it('reads what was written', () => {
    const file = path.join(folder, 'good.json');
    writeFileSync(file, JSON.stringify(GOOD));
    expect(readCalibration(file)).toEqual(GOOD);
  });

  it('names a file that is not there, is a folder, or is far too long', () => {
    const long = path.join(folder, 'long.json');
    writeFileSync(long, `${JSON.stringify(GOOD)}${' '.repeat(100_000)}`);
    expect(() => readCalibration(path.join(folder, 'none'))).toThrow(
      refusal(/none cannot be read \(ENOENT\)/),
    );
    expect(() => readCalibration(folder)).toThrow(refusal(/EISDIR/));
    expect(() => readCalibration(long)).toThrow(refusal(/more than/));
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
