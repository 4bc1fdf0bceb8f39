import { randomBytes } from 'node:crypto';
import type nodeFs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import { systemNative } from '../local/native-doors.js';

/*
 * Files that are replaced one after the other, each durable before the next is touched.
 */

/** What of node:fs/promises is used; a test stands behind it. */
export type FileSystem = Pick<
  typeof nodeFs,
  'open' | 'rename' | 'rm' | 'lstat' | 'stat' | 'readFile' | 'readdir' | 'realpath'
>;

const LOCK_WITHIN_MS = 2_000;
const LOCK_LOOK_EVERY_MS = 10;
const UNFINISHED = /\.[0-9a-f]{12}\.part$/;

/** A file that is written and durable under another name. */
export interface Staged {
  readonly temporary: string;
  readonly path: string;
}

/**
 * Writes a file under another name, durably.
 * @param options - `like`: whose owner and mode it gets if that is there, else `mode`; with mode 0600 never more than that
 * @throws the file system's own error, also when the owner cannot be kept; nothing is left
 */
export async function stage(
  path: string,
  content: Uint8Array,
  { like, mode }: { readonly like: string; readonly mode: 0o600 | 0o644 },
  fs: FileSystem,
): Promise<Staged> {
  const before = await fs.stat(like).catch(absent);
  const kept = before === undefined ? mode : before.mode & (mode === 0o600 ? 0o600 : 0o777);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.part`;
  // Nobody else may read it while its owner is not yet right.
  const file = await fs.open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    const { uid, gid } = await file.stat();
    if (before !== undefined && (before.uid !== uid || before.gid !== gid)) {
      await file.chown(before.uid, before.gid).catch((error: unknown) => {
        // A group that may do nothing is no loss: only root can give a file to a group it is not in.
        if (before.uid !== uid || (kept & 0o070) !== 0) throw error;
      });
    }
    await file.chmod(kept);
    await file.sync();
    return { temporary, path };
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Durable before anything after it: only then may the next file be changed. */
export async function settle({ temporary, path }: Staged, fs: FileSystem): Promise<void> {
  await fs.rename(temporary, path);
  await syncFolder(path, fs);
}

/** Removes what was staged and not settled. */
export async function discard(staged: readonly Staged[], fs: FileSystem): Promise<void> {
  for (const { temporary } of staged) await fs.rm(temporary, { force: true });
}

/** Makes durable which names a file's folder has. */
export async function syncFolder(path: string, fs: FileSystem): Promise<void> {
  const folder = await fs.open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Runs what two processes must not do at once, under a lock of the folder itself, so that no file is left for it. Without the
 * addon there is no lock: then two that renew one identity in the same moment may leave a key without its certificate.
 * @throws LamplighterError ERR_OUTPUT_FILE when somebody else has held it for two seconds
 */
export async function locked(folder: string, fs: FileSystem, body: () => Promise<void>): Promise<void> {
  const file = await fs.open(folder, 'r');
  try {
    for (let waitedMs = 0; ; waitedMs += LOCK_LOOK_EVERY_MS) {
      const tried = systemNative.lockFile(file.fd, { exclusive: true });
      if (!tried.supported) break;
      if (tried.value.locked) {
        await sweep(folder, fs);
        break;
      }
      if (waitedMs >= LOCK_WITHIN_MS) {
        throw new LamplighterError(
          'ERR_OUTPUT_FILE',
          `somebody else is replacing a certificate in ${folder}`,
        );
      }
      await sleep(LOCK_LOOK_EVERY_MS);
    }
    await body();
  } finally {
    // Also unlocks.
    await file.close();
  }
}

/** What killed writers left half written: nobody else is at work under the lock. */
async function sweep(folder: string, fs: FileSystem): Promise<void> {
  for (const name of await fs.readdir(folder)) {
    if (UNFINISHED.test(name)) await fs.rm(join(folder, name), { force: true });
  }
}

/** For a path that may be missing. */
export function absent(cause: unknown): undefined {
  if (isFileSystemError(cause) && cause.code === 'ENOENT') return undefined;
  throw cause;
}

/** Whether an error is the file system's own. */
export const isFileSystemError = (error: unknown): error is Error & { code: string } =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('E');
