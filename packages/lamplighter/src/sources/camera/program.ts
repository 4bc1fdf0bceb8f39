import { constants } from 'node:fs';
import path from 'node:path';
import type { Environment } from '../../local/environment.js';

const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/** Where this process looks for programs. */
export function searchPath(): string {
  return process.env['PATH'] ?? DEFAULT_PATH;
}

/** The absolute path of a program on PATH; undefined when there is none that this user may run. */
export async function findProgram(name: string, environment: Environment): Promise<string | undefined> {
  for (const folder of searchPath().split(path.delimiter)) {
    if (!path.isAbsolute(folder)) continue;
    const program = path.join(folder, name);
    if (await mayUse(program, constants.X_OK, environment)) return program;
  }
  return undefined;
}

/** Whether this user may use a file so; `mode` as of access(2). */
export async function mayUse(file: string, mode: number, environment: Environment): Promise<boolean> {
  try {
    await environment.fs.access(file, mode);
    return true;
  } catch {
    return false;
  }
}
