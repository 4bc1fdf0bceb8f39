import { type BigIntStats, constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Environment } from '../../local/environment.js';

/** open(2), Linux: a place in the file system, nothing opened. Node has the call but not the name. */
const O_PATH = 0o10000000;

/** What became of reading a file: its bytes, or why there are none. */
export type FileReading =
  | { readonly kind: 'read'; readonly file: FileIdentity; readonly bytes: Uint8Array }
  /** Not regular, too long, or not ours to read. */
  | { readonly kind: 'refused' }
  /** Nothing in it yet. */
  | { readonly kind: 'empty' }
  /** As one that was heard before; its bytes were not read again. */
  | { readonly kind: 'known'; readonly file: FileIdentity }
  | { readonly kind: 'gone' };

/** As far as two files can be told apart: device, inode, time of change, length. */
export type FileIdentity = string;

/**
 * A folder held open. All work in it begins at this handle, by /proc/self/fd, because Node has no openat(2).
 *
 * So a path to it that is renamed, or replaced by a link, cannot send us elsewhere during a look; its last component is never a
 * link when we open it. Not protected: the components before that, which only those may change who own them; and, since Linux
 * removes by name only, a file that somebody puts in place of the one we read in the microseconds before we remove it.
 */
export class OpenFolder {
  readonly #handle: FileHandle;
  readonly #fs: Environment['fs'];

  private constructor(handle: FileHandle, fs: Environment['fs']) {
    this.#handle = handle;
    this.#fs = fs;
  }

  /** @throws the system's own error: ENOENT, ENOTDIR (also for a link), EACCES … */
  static async open(path: string, fs: Environment['fs']): Promise<OpenFolder> {
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
    return new OpenFolder(await fs.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK), fs);
  }

  get descriptor(): number {
    return this.#handle.fd;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** What stands there, links not followed, nothing opened; undefined when it has gone or cannot be looked at. */
  async look(name: Uint8Array): Promise<BigIntStats | undefined> {
    try {
      return await this.#fs.lstat(this.#at(name), { bigint: true });
    } catch {
      return undefined;
    }
  }

  /**
   * Reads one whole file, if it is a regular one, not longer than allowed and not known.
   *
   * It is first taken hold of without being opened, then looked at, and only then opened: opening a device may already do
   * something, and a guest may put any in its share.
   */
  async read(
    name: Uint8Array,
    maxBytes: number,
    isKnown: (file: FileIdentity) => boolean,
  ): Promise<FileReading> {
    let place: FileHandle | undefined;
    let file: FileHandle | undefined;
    try {
      place = await this.#fs.open(this.#at(name), O_PATH | constants.O_NOFOLLOW);
      const stats = await place.stat({ bigint: true });
      const identity = identityOf(stats);
      if (!stats.isFile() || stats.size > BigInt(maxBytes)) return { kind: 'refused' };
      if (isKnown(identity)) return { kind: 'known', file: identity };
      file = await this.#fs.open(`/proc/self/fd/${place.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
      const bytes = await readUpTo(file, maxBytes + 1);
      if (bytes.length > maxBytes) return { kind: 'refused' };
      return bytes.length === 0 ? { kind: 'empty' } : { kind: 'read', file: identity, bytes };
    } catch (error) {
      return { kind: codeOf(error) === 'ENOENT' ? 'gone' : 'refused' };
    } finally {
      await file?.close();
      await place?.close();
    }
  }

  /**
   * Removes a name if it still is the file that was read.
   * @returns false when it may not be removed
   */
  async remove(name: Uint8Array, file: FileIdentity): Promise<boolean> {
    const stats = await this.look(name);
    if (stats === undefined || identityOf(stats) !== file) return true;
    try {
      await this.#fs.unlink(this.#at(name));
      return true;
    } catch (error) {
      return codeOf(error) === 'ENOENT';
    }
  }

  #at(name: Uint8Array): Buffer {
    return Buffer.concat([Buffer.from(`/proc/self/fd/${this.#handle.fd}/`), name]);
  }
}

/** The name of a failed system call's error. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}

function identityOf({ dev, ino, mtimeNs, size }: BigIntStats): FileIdentity {
  return `${dev}:${ino}:${mtimeNs}:${size}`;
}

/** Length and end of a file on a share are what its server says: only what fits is read. */
async function readUpTo(file: FileHandle, maxBytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(maxBytes);
  let length = 0;
  while (length < maxBytes) {
    const { bytesRead } = await file.read(buffer, length, maxBytes - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}
