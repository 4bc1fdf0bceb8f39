import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { NativeDoors } from '../../local/native-doors.js';

/** How many, how long, and how each begins. */
export interface AuditFileOptions {
  readonly path: string;
  /** A file is no longer, unless one block alone is. */
  readonly maxBytes: number;
  /** The one written now included. */
  readonly files: number;
  /** The line each file begins with, and each process writes when it opens one. */
  readonly firstLine: () => Uint8Array;
}

/** Owner and group: who reads it is a person, or a program that ships logs. */
const FILE_MODE = 0o640;
const FOLDER_MODE = 0o750;
const NEW_LINE = 0x0a;

/**
 * The files of one audit record: `path` is written, `path.1` is the one before it, and so on. Only whole blocks are appended; one
 * process at a time has them, by flock(2) on `path.lock`.
 */
export class AuditFile {
  readonly path: string;
  readonly #options: AuditFileOptions;
  readonly #environment: Environment;
  readonly #native: Pick<NativeDoors, 'lockFile'>;
  #lock: FileHandle | undefined;
  #file: { readonly handle: FileHandle; readonly inode: number; sizeBytes: number } | undefined;

  constructor(
    options: AuditFileOptions,
    doors: { readonly environment: Environment; readonly native: Pick<NativeDoors, 'lockFile'> },
  ) {
    this.path = options.path;
    this.#options = options;
    this.#environment = doors.environment;
    this.#native = doors.native;
  }

  /**
   * Opens the file, if it is not open, and ends a line that a killed process left unfinished.
   * @throws LamplighterError ERR_AUDIT_FILE when another process has it, or nothing can be locked; the file system's own error
   */
  async open(): Promise<void> {
    if (this.#file !== undefined) return;
    const { fs } = this.#environment;
    await fs.mkdir(dirname(this.path), { recursive: true, mode: FOLDER_MODE });
    await this.#takeLock();
    const { O_CREAT, O_APPEND, O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
    const flags = O_CREAT | O_APPEND | O_RDWR | O_NOFOLLOW | O_NONBLOCK;
    const handle = await fs.open(this.path, flags, FILE_MODE);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new LamplighterError('ERR_AUDIT_FILE', `${this.path} is not a file`);
      this.#file = { handle, inode: stat.ino, sizeBytes: stat.size };
      const last = Buffer.alloc(1);
      if (stat.size > 0) await handle.read(last, 0, 1, stat.size - 1);
      const ending = stat.size > 0 && last[0] !== NEW_LINE ? [Uint8Array.of(NEW_LINE)] : [];
      await this.#put(Buffer.concat([...ending, this.#options.firstLine()]));
    } catch (error) {
      this.#file = undefined;
      await handle.close();
      throw error;
    }
  }

  /**
   * Appends a block, all of it or nothing, to the file that has this name now: when somebody has renamed or removed it, a new one
   * is begun.
   * @param block - whole lines
   * @throws what {@link AuditFile.open} does, and the file system's own error; the block is not in the file then
   */
  async append(block: Uint8Array): Promise<void> {
    if (!(await this.#isInPlace())) await this.#closeFile();
    await this.open();
    if ((this.#file?.sizeBytes ?? 0) + block.length > this.#options.maxBytes) await this.#rotate();
    await this.#put(block);
    // What went into a removed file is in none.
    if (await this.#isRemoved()) {
      await this.#closeFile();
      await this.open();
      await this.#put(block);
    }
  }

  /** Lets the file and its lock go. */
  async close(): Promise<void> {
    await this.#closeFile();
    await this.#lock?.close();
    this.#lock = undefined;
  }

  /** All or nothing: what a full disk took of it is taken back. */
  async #put(bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new TypeError('the file is open while something is written');
    let written = 0;
    try {
      while (written < bytes.length) {
        const { bytesWritten } = await file.handle.write(bytes, written);
        written += bytesWritten;
      }
    } catch (error) {
      // Where even that fails, whoever opens the file again ends the line.
      if (written > 0) await file.handle.truncate(file.sizeBytes).catch(() => this.#closeFile());
      throw error;
    }
    file.sizeBytes += bytes.length;
  }

  /** path → path.1 → path.2 …; what has the last number is replaced. */
  async #rotate(): Promise<void> {
    const { fs } = this.#environment;
    await this.#closeFile();
    const at = (age: number): string => (age === 0 ? this.path : `${this.path}.${age}`);
    if (this.#options.files === 1) await fs.rm(this.path, { force: true });
    for (let age = this.#options.files - 1; age > 0; age -= 1) {
      await fs.rename(at(age - 1), at(age)).catch(absent);
    }
    await this.#removeOlder();
    await this.open();
  }

  /** Those of a time when more were to be kept. */
  async #removeOlder(): Promise<void> {
    const { fs } = this.#environment;
    const [folder, prefix] = [dirname(this.path), `${basename(this.path)}.`];
    for (const name of await fs.readdir(folder)) {
      const age = name.startsWith(prefix) ? name.slice(prefix.length) : '';
      if (/^[1-9][0-9]{0,5}$/.test(age) && Number(age) >= this.#options.files) {
        await fs.rm(join(folder, name), { force: true });
      }
    }
  }

  async #takeLock(): Promise<void> {
    if (this.#lock !== undefined && (await this.#lock.stat()).nlink > 0) return;
    await this.#lock?.close();
    this.#lock = undefined;
    const handle = await this.#environment.fs.open(`${this.path}.lock`, 'a', 0o600);
    const answer = this.#native.lockFile(handle.fd, { exclusive: true });
    if (answer.supported && answer.value.locked) {
      this.#lock = handle;
      return;
    }
    await handle.close();
    throw answer.supported
      ? new LamplighterError('ERR_AUDIT_FILE', `another process writes the audit record ${this.path}`, {
          hint: 'give each node a file of its own',
        })
      : new LamplighterError(
          'ERR_AUDIT_FILE',
          `the audit record ${this.path} cannot be locked: ${answer.reason}`,
          { hint: 'install the native addon, and keep the record on a local file system' },
        );
  }

  async #isInPlace(): Promise<boolean> {
    const there = await this.#environment.fs.stat(this.path).catch(absent);
    return there !== undefined && there.ino === this.#file?.inode;
  }

  async #isRemoved(): Promise<boolean> {
    return (await this.#file?.handle.stat())?.nlink === 0;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }
}

function absent(cause: unknown): undefined {
  if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
  throw cause;
}
