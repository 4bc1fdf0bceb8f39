import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { type CameraCalibration, cameraCalibration } from './health/calibration.js';

const MAX_FILE_BYTES = 64 * 1024;
const HINT = 'make it again: lamplighter camera calibrate URL --out FILE';

/**
 * Reads what `lamplighter camera calibrate` wrote.
 * @throws LamplighterError ERR_CONFIG when the file cannot be read or is no calibration
 */
export async function readCalibration(file: string, environment: Environment): Promise<CameraCalibration> {
  return parseCalibration(file, await readSmall(file, environment));
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

async function readSmall(file: string, environment: Environment): Promise<string> {
  let text: string;
  try {
    const { size } = await environment.fs.stat(file);
    if (size > MAX_FILE_BYTES) throw refused(file, `has more than ${MAX_FILE_BYTES} bytes`);
    text = await environment.fs.readFile(file, 'utf8');
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw refused(file, `cannot be read (${code})`, cause);
  }
  return text;
}

function refused(file: string, why: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_CONFIG', `the calibration ${file} ${why}`, { hint: HINT, cause });
}
