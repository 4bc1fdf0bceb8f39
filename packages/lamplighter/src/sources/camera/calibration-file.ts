import { readFileSync, statSync } from 'node:fs';
import { LamplighterError } from '@lamplighter/core';
import { type CameraCalibration, cameraCalibration } from './health/calibration.js';

const MAX_FILE_BYTES = 64 * 1024;
const HINT = 'make it again: lamplighter camera calibrate URL --out FILE';

/**
 * Reads what `lamplighter camera calibrate` wrote: once, when a camera is made, so that a node with a bad one does not start.
 * @throws LamplighterError ERR_CONFIG when the file cannot be read or is no calibration
 */
export function readCalibration(file: string): CameraCalibration {
  return parseCalibration(file, readSmall(file));
}

/**
 * The same from text.
 * @param file - how it is named in an error
 * @throws LamplighterError ERR_CONFIG
 */
export function parseCalibration(file: string, text: string): CameraCalibration {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw refused(file, 'is no JSON', cause);
  }
  const { data: calibration, error } = cameraCalibration.safeParse(data);
  if (calibration !== undefined) return calibration;
  const [issue] = error.issues;
  const where = issue === undefined || issue.path.length === 0 ? '' : ` at ${issue.path.join('.')}`;
  throw refused(file, `is no camera calibration${where}: ${issue?.message ?? 'unknown'}`, error);
}

function readSmall(file: string): string {
  try {
    if (statSync(file).size <= MAX_FILE_BYTES) return readFileSync(file, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw refused(file, `cannot be read (${code})`, cause);
  }
  throw refused(file, `has more than ${MAX_FILE_BYTES} bytes`);
}

function refused(file: string, why: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CONFIG', `the calibration ${file} ${why}`, { hint: HINT, cause });
}
