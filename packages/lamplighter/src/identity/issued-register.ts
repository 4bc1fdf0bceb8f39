import { constants } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { giveToFolderOwner } from './folder-owner.js';
import { absent, syncDirectory } from './key-files.js';
import { encodeIssued, type IssuedEntry } from './issued-entry.js';
import { closeSegment, CURRENT, entries, MAX_LINE_BYTES, NEW_LINE, segments } from './issued-segments.js';

/** What a register may grow to before it becomes a segment of its own. */
export interface RegisterLimits {
  readonly segmentBytes: number;
}

const LIMITS: RegisterLimits = { segmentBytes: 16 * 1_048_576 };
/** Each try meets another process that has just made a segment: that happens once in 80,000 certificates. */
const TRIES = 5;
const MAX_HOLDERS = 250_000;

/**
 * Records a certificate, durably, before it leaves the CA. Any number of processes may do so at once: one line is one append.
 *
 * When the file is full it becomes a segment by a rename, and lines that have been of no use for 90 days are dropped from all
 * segments. Nothing is lost when somebody appends at that moment: he sees that the file under the name is another one, and
 * appends once more there. A line can stand twice then, never not at all.
 * @param folder - the CA's folder
 * @throws LamplighterError ERR_CA_FILE when it cannot be written: then the certificate must not leave
 */
export async function recordIssued(
  folder: string,
  entry: IssuedEntry,
  limits: RegisterLimits = LIMITS,
): Promise<void> {
  const path = join(folder, CURRENT);
  const line = Buffer.from(`${encodeIssued(entry)}\n`);
  if (line.length > MAX_LINE_BYTES) throw new RangeError('a line of the register is less than 4 KiB');
  try {
    for (let tries = 0; tries < TRIES; tries++) {
      const lengthBytes = await append(path, line);
      if (lengthBytes === undefined) continue;
      if (lengthBytes > limits.segmentBytes) await closeSegment(folder, entry.atMs);
      return;
    }
    throw new Error('the register was renamed at every try');
  } catch (cause) {
    throw new LamplighterError(
      'ERR_CA_FILE',
      `the register of issued certificates ${path} cannot be written`,
      {
        hint: 'check who may write to the CA’s folder, and the space there; no certificate leaves without its line',
        cause,
      },
    );
  }
}

/**
 * Reads the register, the oldest certificates first. Memory is bounded by one line.
 * @param folder - the CA's folder; a register that is not there is empty
 * @param onDamaged - called for every line that cannot be read, as a power cut may leave one
 * @throws LamplighterError ERR_CA_FILE when it is there and cannot be read
 */
export async function* readRegister(
  folder: string,
  onDamaged: () => void = () => undefined,
): AsyncGenerator<IssuedEntry> {
  let current: FileHandle | undefined;
  try {
    // Opened first: whoever makes a segment of it meanwhile takes only its name away.
    current = await fs.open(join(folder, CURRENT), 'r').catch(absent);
    for (const segment of await segments(folder)) {
      const file = await fs.open(join(folder, segment), 'r').catch(absent);
      try {
        if (file !== undefined) yield* entries(file, onDamaged);
      } finally {
        await file?.close();
      }
    }
    if (current !== undefined) yield* entries(current, onDamaged);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw new LamplighterError(
      'ERR_CA_FILE',
      `the register of issued certificates in ${folder} cannot be read`,
      {
        hint: 'check who may read the CA’s folder',
        cause,
      },
    );
  } finally {
    await current?.close();
  }
}

/**
 * The certificates of one name that have not expired, the oldest first, each once.
 * @param folder - the CA's folder
 * @throws LamplighterError ERR_CA_FILE when the register cannot be read
 */
export async function serialsOf(
  folder: string,
  name: string,
): Promise<{ readonly serial: string; readonly notAfter: Date }[]> {
  const found = new Map<string, Date>();
  for await (const entry of readRegister(folder)) {
    if (entry.name === name && entry.notAfterMs > Date.now()) {
      found.set(entry.serial, new Date(entry.notAfterMs));
    }
  }
  return [...found].map(([serial, notAfter]) => ({ serial, notAfter }));
}

/**
 * The newest certificate of every holder, by `ROLE/NAME`.
 * @param folder - the CA's folder
 * @param onDamaged - see {@link readRegister}
 * @throws LamplighterError ERR_CA_FILE when the register cannot be read, or names more than 250,000 holders
 */
export async function newestByHolder(
  folder: string,
  onDamaged?: () => void,
): Promise<ReadonlyMap<string, IssuedEntry>> {
  const newest = new Map<string, IssuedEntry>();
  for await (const entry of readRegister(folder, onDamaged)) {
    const holder = `${entry.role}/${entry.name}`;
    const known = newest.get(holder);
    if (known !== undefined && known.atMs > entry.atMs) continue;
    newest.set(holder, entry);
    if (newest.size > MAX_HOLDERS) {
      throw new LamplighterError(
        'ERR_CA_FILE',
        `the register in ${folder} names more than ${MAX_HOLDERS} holders`,
        {
          hint: 'list it with `lamplighter ca list --all`',
        },
      );
    }
  }
  return newest;
}

/** Whether anything has ever been recorded. */
export async function isRegisterThere(folder: string): Promise<boolean> {
  if ((await segments(folder)).length > 0) return true;
  return (await fs.stat(join(folder, CURRENT)).catch(absent)) !== undefined;
}

/** Through no link: root may write here in a folder of somebody else. */
const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** @returns the file's length after it; undefined when the file was renamed meanwhile and the line must be written again */
async function append(path: string, line: Uint8Array): Promise<number | undefined> {
  const file = await fs.open(path, APPEND, 0o600);
  try {
    if ((await file.stat()).size === 0) await giveToFolderOwner(file, dirname(path));
    // What a killed writer left of a line would swallow ours.
    const isTorn = await endsInsideLine(file);
    await file.write(isTorn ? Buffer.concat([Buffer.from('\n'), line]) : line);
    await file.sync();
    const [written, named] = await Promise.all([file.stat(), fs.stat(path).catch(absent)]);
    if (named?.ino !== written.ino) return undefined;
    await syncDirectory(dirname(path));
    return written.size;
  } finally {
    await file.close();
  }
}

async function endsInsideLine(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const { bytesRead, buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
  return bytesRead === 1 && buffer[0] !== NEW_LINE;
}
