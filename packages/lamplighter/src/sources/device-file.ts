import type { Stats } from 'node:fs';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';

/**
 * Looks whether a device file is there, without opening it: opening some devices blocks.
 * @throws LamplighterError ERR_SOURCE_ABSENT when it is not there, ERR_DEVICE when that cannot be known
 */
export async function lookAtDevice(path: string, environment: Pick<Environment, 'fs'>): Promise<Stats> {
  try {
    return await environment.fs.stat(path);
  } catch (cause) {
    if (isMissing(cause)) throw new LamplighterError('ERR_SOURCE_ABSENT', `there is no ${path}`);
    throw new LamplighterError('ERR_DEVICE', `${path} cannot be looked at`, { cause });
  }
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
