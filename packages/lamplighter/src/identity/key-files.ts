import { randomBytes } from 'node:crypto';
import nodeFs from 'node:fs/promises';
import { dirname } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { giveToFolderOwner, makeOwnedDirectory } from './folder-owner.js';

/** One file of a set that is written together. */
export interface FileToWrite {
  readonly path: string;
  readonly content: string | Uint8Array;
  /** Permission bits, narrowed by the umask. */
  readonly mode: number;
  /** A file that is there already with this very content is no conflict. */
  readonly sameIsFine?: boolean;
  /** Replaces what is there. */
  readonly replace?: boolean;
}

/** The file system, so that a test can take it away at any moment. */
export type FileSystem = typeof nodeFs;

/** Makes a directory with mode 0700, and its parents; one that is there keeps its mode. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await makeOwnedDirectory(path, 0o700);
}

/**
 * Writes files of one directory so that each is either whole and durable or not there: temporary file, fsync, then link
 * (which, unlike rename, never replaces a file that someone else made meanwhile) or rename, then fsync of the directory.
 * @param files - at least one, all in one directory
 * @param overwrite - replace whatever is there
 * @param fs - the file system
 * @throws LamplighterError ERR_FILE_EXISTS when a file is there and may not be replaced; nothing was changed
 * @throws the error of the file system otherwise; temporary files and files newly made by this call are removed
 */
export async function writeFilesTogether(
  files: readonly FileToWrite[],
  overwrite = false,
  fs: FileSystem = nodeFs,
): Promise<void> {
  const wanted = overwrite ? files : await withoutThoseThere(files, fs);
  const [first] = wanted;
  if (first === undefined) return;
  const suffix = `.${randomBytes(6).toString('hex')}.tmp`;
  const made: string[] = [];
  try {
    for (const file of wanted) await writeDurably(file.path + suffix, file, fs);
    for (const file of wanted) {
      if (overwrite || file.replace === true) {
        await fs.rename(file.path + suffix, file.path);
      } else {
        await fs.link(file.path + suffix, file.path).catch(conflict(file.path));
        made.push(file.path);
      }
    }
  } catch (cause) {
    await Promise.all(made.map((path) => fs.rm(path, { force: true })));
    throw cause;
  } finally {
    await Promise.all(wanted.map((file) => fs.rm(file.path + suffix, { force: true })));
  }
  await syncDirectory(dirname(first.path), fs);
}

/** Makes what happened to the names in a directory durable. */
export async function syncDirectory(path: string, fs: FileSystem = nodeFs): Promise<void> {
  const directory = await fs.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Looks for files that are in the way.
 * @throws LamplighterError ERR_FILE_EXISTS for the first that is there
 */
export async function refuseExisting(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    if ((await nodeFs.lstat(path).catch(absent)) !== undefined) throw exists(path);
  }
}

async function withoutThoseThere(files: readonly FileToWrite[], fs: FileSystem): Promise<FileToWrite[]> {
  const missing: FileToWrite[] = [];
  for (const file of files) {
    const there = await fs.lstat(file.path).catch(absent);
    if (there === undefined || file.replace === true) {
      missing.push(file);
    } else if (file.sameIsFine !== true || !(await hasContent(file, fs))) {
      throw exists(file.path);
    }
  }
  return missing;
}

async function hasContent(file: FileToWrite, fs: FileSystem): Promise<boolean> {
  return (await fs.readFile(file.path)).equals(Buffer.from(file.content));
}

async function writeDurably(path: string, file: FileToWrite, fs: FileSystem): Promise<void> {
  const handle = await fs.open(path, 'wx', file.mode);
  try {
    await handle.writeFile(file.content);
    await giveToFolderOwner(handle, dirname(path));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** For a call on a file that may be missing: undefined when it is; any other error is thrown on. */
export function absent(cause: unknown): undefined {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
  throw cause;
}

function conflict(path: string): (cause: unknown) => never {
  return (cause) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') throw exists(path);
    throw cause;
  };
}

function exists(path: string): LamplighterError {
  return new LamplighterError('ERR_FILE_EXISTS', `${path} is there already`, {
    hint: 'use another directory or name, or renew it with --replace',
  });
}
