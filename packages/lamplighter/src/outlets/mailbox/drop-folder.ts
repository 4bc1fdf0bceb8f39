import { createHash } from 'node:crypto';
import { type BigIntStats, type Stats, constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { mailboxName } from '../../wire/mailbox.js';

/** Of a folder's mode: anybody may write. */
const WRITABLE_BY_ALL = 0o002;
const READABLE_BY_GROUP = 0o040;

/** To whom the files go, by number; the folder's own unless told. */
export interface FileOwner {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** What became of a drop. */
export interface Dropped {
  /** `full`: the guest has not taken what is there, and nothing was written. */
  readonly outcome: 'dropped' | 'replaced' | 'full';
  /** Files that are there now and that the guest has not taken. */
  readonly unread: number;
}

/**
 * The names of the files in a mailbox: as many as may be unread, always the same. So however often a node is restarted, and
 * whatever else stands in the folder, it never holds more files of ours, and is never listed to know it.
 * @param slots - ≥ 1
 */
export function slotNames(slots: number): string[] {
  return Array.from({ length: slots }, (_, slot) => {
    const digest = createHash('sha256').update(`lamplighter/mailbox/slot/${slot}`).digest();
    return mailboxName(digest.subarray(0, 16));
  });
}

/**
 * Drops one file into a folder that somebody hostile may write to as well: under a temporary name, made durable, then renamed.
 *
 * All work begins at the folder's open handle, by /proc/self/fd, because Node has no openat(2): a path that is replaced
 * meanwhile leads nowhere else. Nothing that is there is ever opened or followed; what stands under a name of ours may be
 * unlinked or replaced. What a guest can still do is to itself: take, change or replace its own file, or block its names.
 *
 * @param folder - absolute; itself no link, ours or root's, not open to all
 * @param options - `slots`: see {@link slotNames}; `force`: when all are unread, replace the oldest
 * @throws LamplighterError ERR_MAILBOX_FOLDER, ERR_MAILBOX_GONE, ERR_MAILBOX_WRITE; nothing of ours is left behind half done
 */
export async function dropFile(
  folder: string,
  bytes: Uint8Array,
  options: { readonly slots: readonly string[]; readonly force: boolean; readonly owner: FileOwner },
  fs: Environment['fs'],
): Promise<Dropped> {
  const { slots, force, owner } = options;
  const handle = await openFolder(folder, fs);
  try {
    const stats = await handle.stat();
    refuseUnlessSafe(folder, stats);
    const at = (name: string): string => `/proc/self/fd/${handle.fd}/${name}`;
    const there: { slot: string; stats: BigIntStats | undefined }[] = [];
    // One after the other: on a share that hangs, together they would hold all threads there are.
    for (const slot of slots) there.push({ slot, stats: await look(at(slot), fs) });
    const free = there.find((entry) => entry.stats === undefined)?.slot;
    const unread = there.filter((entry) => entry.stats !== undefined).length;
    if (free === undefined && !force) return { outcome: 'full', unread };
    const targets = free === undefined ? oldestFirst(there) : [free];
    const temporary = at(`.${slots[0] ?? ''}.part`);
    await writeWhole(temporary, bytes, { folder, stats, owner }, fs);
    try {
      await renameToOne(temporary, targets.map(at), folder, fs);
    } catch (error) {
      await fs.unlink(temporary).catch(() => undefined);
      throw error;
    }
    await handle.sync();
    return free === undefined ? { outcome: 'replaced', unread } : { outcome: 'dropped', unread: unread + 1 };
  } finally {
    await handle.close();
  }
}

async function openFolder(folder: string, fs: Environment['fs']): Promise<FileHandle> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    return await fs.open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ENOTDIR' || code === 'ELOOP') {
      throw badFolder(folder, 'is no folder', 'name the folder itself, no link to it', cause);
    }
    if (code === 'EACCES' || code === 'EPERM') {
      throw badFolder(folder, 'may not be entered', 'let the user of this service read and write it', cause);
    }
    const message = `the mailbox ${folder} cannot be opened (${code})`;
    throw new LamplighterError('ERR_MAILBOX_GONE', message, { hint: 'is it there, is it mounted', cause });
  }
}

/** @throws LamplighterError ERR_MAILBOX_FOLDER */
function refuseUnlessSafe(folder: string, { uid, mode }: Stats): void {
  const user = process.geteuid?.() ?? 0;
  if (uid !== user && uid !== 0) {
    const hint = 'a folder of our own, which the guest’s share only shows, cannot be taken from us';
    throw badFolder(folder, `belongs to user ${uid}`, hint);
  }
  if ((mode & WRITABLE_BY_ALL) !== 0) {
    throw badFolder(folder, 'can be written by everybody', `\`chmod o-w ${folder}\``);
  }
}

/** A file of its own from the first moment on, with its final owner and mode before its name is. */
async function writeWhole(
  temporary: string,
  bytes: Uint8Array,
  { folder, stats, owner }: { folder: string; stats: Stats; owner: FileOwner },
  fs: Environment['fs'],
): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const make = (): Promise<FileHandle> => fs.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  let file: FileHandle;
  try {
    file = await make().catch(async (error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
      // Of an earlier run that was killed, or somebody's trap: it goes, and is not looked at.
      await fs.unlink(temporary);
      return make();
    });
  } catch (cause) {
    throw notWritten(folder, cause);
  }
  try {
    await file.writeFile(bytes);
    await giveTo(file, folder, stats, owner);
    await file.sync();
  } catch (error) {
    await fs.unlink(temporary).catch(() => undefined);
    throw error instanceof LamplighterError ? error : notWritten(folder, error);
  } finally {
    await file.close();
  }
}

/** Read by the group only where the group may read the folder, and then by the folder's group. Never by all. */
async function giveTo(file: FileHandle, folder: string, stats: Stats, owner: FileOwner): Promise<void> {
  const forGroup = (stats.mode & READABLE_BY_GROUP) !== 0;
  const made = await file.stat();
  const uid = owner.uid ?? made.uid;
  const gid = owner.gid ?? (forGroup ? stats.gid : made.gid);
  if (uid !== made.uid || gid !== made.gid) {
    try {
      await file.chown(uid, gid);
    } catch (cause) {
      const hint = 'make the user of this service a member of that group, or run it as root';
      throw badFolder(folder, `wants files of user ${uid} and group ${gid}`, hint, cause);
    }
  }
  await file.chmod(forGroup ? 0o640 : 0o600);
}

/** To the first name that is not blocked: a folder cannot be replaced by a file. */
async function renameToOne(
  temporary: string,
  targets: readonly string[],
  folder: string,
  fs: Environment['fs'],
): Promise<void> {
  let fault: unknown;
  for (const target of targets) {
    try {
      await fs.rename(temporary, target);
      return;
    } catch (error) {
      fault = error;
    }
  }
  throw notWritten(folder, fault);
}

function oldestFirst(there: readonly { slot: string; stats: BigIntStats | undefined }[]): string[] {
  const time = ({ stats }: { stats: BigIntStats | undefined }): bigint => stats?.mtimeNs ?? 0n;
  return [...there].sort((a, b) => (time(a) < time(b) ? -1 : 1)).map(({ slot }) => slot);
}

async function look(file: string, fs: Environment['fs']): Promise<BigIntStats | undefined> {
  return fs.lstat(file, { bigint: true }).catch(() => undefined);
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';

function badFolder(folder: string, why: string, hint: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_MAILBOX_FOLDER', `the mailbox ${folder} ${why}`, { hint, cause });
}

function notWritten(folder: string, cause: unknown): LamplighterError {
  const message = `no file can be dropped into the mailbox ${folder} (${codeOf(cause)})`;
  const hint = 'is the disk full, is the share read-only, has the guest put folders under our names';
  return new LamplighterError('ERR_MAILBOX_WRITE', message, { hint, cause });
}
