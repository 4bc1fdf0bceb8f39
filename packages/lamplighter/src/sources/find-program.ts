import { constants } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../local/environment.js';

const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/** Where programs are looked for. The only variable our children get. */
export function searchPath(): string {
  return process.env['PATH'] ?? DEFAULT_PATH;
}

/**
 * Finds a program as execvp(3) would, but only in absolute folders: what stands in the folder we happen to be in is not meant.
 * @param name - a bare name, or an absolute path
 * @returns its absolute path; undefined when there is none that we may run
 */
export async function findProgram(
  name: string,
  environment: Pick<Environment, 'fs'>,
): Promise<string | undefined> {
  const candidates = name.includes('/')
    ? [name]
    : searchPath()
        .split(path.delimiter)
        .map((folder) => path.join(folder, name));
  for (const candidate of candidates) {
    if (path.isAbsolute(candidate) && (await isProgram(candidate, environment))) return candidate;
  }
  return undefined;
}

async function isProgram(file: string, environment: Pick<Environment, 'fs'>): Promise<boolean> {
  try {
    await environment.fs.access(file, constants.X_OK);
    return (await environment.fs.stat(file)).isFile();
  } catch {
    return false;
  }
}
