import { constants } from 'node:fs';
import { type ErrorCode, LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';

type Files = Pick<Environment, 'fs'>;

/** The first of many CPUs in /proc/cpuinfo fits many times over. */
const MAX_TEXT_BYTES = 65_536;
const MAX_NAMES = 4_096;

/**
 * The text of a small file, as /proc and /sys have them, without the space around it.
 * @returns its first 64 KiB; undefined when there is no such file, or it may not be read, or is no regular file
 */
export async function textOf({ fs }: Files, path: string): Promise<string | undefined> {
  try {
    // O_NONBLOCK: a pipe or device in its place must not hold a thread.
    const file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) return undefined;
      const bytes = Buffer.alloc(MAX_TEXT_BYTES);
      let length = 0;
      while (length < bytes.length) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      return bytes.toString('utf8', 0, length).trim();
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** A whole number in a file; undefined when there is none. */
export async function numberIn(files: Files, path: string): Promise<number | undefined> {
  const text = await textOf(files, path);
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The names in a folder, at most 4,096; none when it cannot be read. */
export async function namesIn({ fs }: Files, path: string): Promise<readonly string[]> {
  try {
    return (await fs.readdir(path)).slice(0, MAX_NAMES);
  } catch {
    return [];
  }
}

/**
 * Refuses what is there and is no regular file, before somebody opens it and waits for its other end.
 * @param code - of the refusal
 * @throws LamplighterError; not for what is missing, whose reader says so
 */
export async function refuseOther({ fs }: Files, path: string, code: ErrorCode): Promise<void> {
  const found = await fs.stat(path).catch(() => undefined);
  if (found === undefined || found.isFile()) return;
  throw new LamplighterError(code, `${path} is not a regular file`, { hint: 'name a regular file' });
}
