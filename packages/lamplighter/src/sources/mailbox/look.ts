import { type Hash, createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { Environment } from '../../local/environment.js';
import { isMailboxName } from '../../wire/mailbox.js';
import type { FileDoor } from '../process/file-door.js';
import type { KnownFiles } from './known-files.js';
import { listFolder } from './listing.js';
import type { FileIdentity, OpenFolder } from './open-folder.js';

/** Bounds of one look. */
export interface LookLimits {
  /** Names read, ≥ 1. */
  readonly maxEntries: number;
  /** Files opened and heard, ≥ 1; the others wait for the next look. */
  readonly maxFiles: number;
  /** Length of a file, bytes. */
  readonly maxFileBytes: number;
}

/** What a look needs. */
export interface LookContext {
  readonly limits: LookLimits;
  readonly known: KnownFiles;
  readonly door: FileDoor;
  /** Ends it, with the reason. */
  readonly signal: AbortSignal;
  readonly environment: Environment;
  /** Takes the bytes of one file; valid during the call only. */
  readonly hear: (bytes: Uint8Array) => void;
}

/** What a look found. Numbers are entries. */
export interface LookReport {
  readonly entries: number;
  /** Whether the folder holds more than were read. */
  readonly crowded: boolean;
  /** Of another name than a mailbox's own: never opened, never removed. */
  readonly foreign: number;
  readonly heard: number;
  /** Of the right name, but not regular, too long, or not ours to read. Left where they are. */
  readonly refused: number;
  /** Heard, now or before, and still there, because we may not remove them. */
  readonly left: number;
  /** For the next look. */
  readonly waiting: number;
  /** SHA-512 over names, order, lengths and times of all entries. */
  readonly digest: Uint8Array;
}

/**
 * Looks through an open folder once: hears what fits, removes what was heard.
 * @throws LamplighterError when it cannot be listed; the signal's reason when that fired
 */
export async function lookThrough(folder: OpenFolder, context: LookContext): Promise<LookReport> {
  const { limits, door, signal, environment } = context;
  const list = () => listFolder(folder.descriptor, limits.maxEntries, signal, environment);
  const { names, more } = await door.run(list, signal);
  const counts = { foreign: 0, heard: 0, refused: 0, left: 0, waiting: 0 };
  const listing = createHash('sha512');
  let opened = 0;
  for (const name of names) {
    const stats = await door.run(() => folder.look(name), signal);
    describeEntry(listing, name, stats);
    if (!isMailboxName(Buffer.from(name).toString('latin1'))) {
      counts.foreign += 1;
    } else if (stats?.isFile() && opened >= limits.maxFiles && stats.size <= limits.maxFileBytes) {
      counts.waiting += 1;
    } else {
      const fate = await takeFile(folder, name, context);
      if (fate === 'heard' || fate === 'heard and left') {
        opened += 1;
        counts.heard += 1;
      }
      if (fate === 'refused') counts.refused += 1;
      if (fate === 'left' || fate === 'heard and left') counts.left += 1;
    }
  }
  return { entries: names.length, crowded: more, ...counts, digest: listing.digest() };
}

type Fate = 'heard' | 'heard and left' | 'left' | 'refused' | 'nothing';

async function takeFile(folder: OpenFolder, name: Uint8Array, context: LookContext): Promise<Fate> {
  const { limits, known, door, signal, hear } = context;
  const reading = await door.run(
    () => folder.read(name, limits.maxFileBytes, (file) => known.has(file)),
    signal,
    async (late) => {
      if (late.kind === 'read') late.bytes.fill(0);
    },
  );
  if (reading.kind === 'refused') return 'refused';
  if (reading.kind === 'known')
    return (await wasRemoved(folder, name, reading.file, context)) ? 'nothing' : 'left';
  if (reading.kind !== 'read') return 'nothing';
  hear(reading.bytes);
  reading.bytes.fill(0);
  known.add(reading.file);
  return (await wasRemoved(folder, name, reading.file, context)) ? 'heard' : 'heard and left';
}

async function wasRemoved(
  folder: OpenFolder,
  name: Uint8Array,
  file: FileIdentity,
  { door, signal, known }: LookContext,
): Promise<boolean> {
  const removed = await door.run(() => folder.remove(name, file), signal);
  if (removed) known.delete(file);
  return removed;
}

/** One entry, so that no two listings are hashed alike: lengths first, absence marked. */
function describeEntry(listing: Hash, name: Uint8Array, stats: BigIntStats | undefined): void {
  const fields = Buffer.alloc(2 + 1 + 4 * 8);
  fields.writeUInt16BE(name.length, 0);
  fields.writeUInt8(stats === undefined ? 0 : 1, 2);
  const numbers = stats === undefined ? [] : [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs];
  numbers.forEach((number, at) => fields.writeBigUInt64BE(BigInt.asUintN(64, number), 3 + 8 * at));
  listing.update(fields).update(name);
}
