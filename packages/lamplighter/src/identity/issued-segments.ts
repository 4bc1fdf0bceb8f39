import { randomBytes } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeIssued, encodeIssued, type IssuedEntry } from './issued-entry.js';
import { giveToFolderOwner } from './folder-owner.js';
import { absent, syncDirectory } from './key-files.js';

/** The file that new lines are appended to, in the CA's folder. */
export const CURRENT = 'issued.jsonl';
/** A line is shorter, its end included: what one append writes whole. */
export const MAX_LINE_BYTES = 4_096;
export const NEW_LINE = 0x0a;
const KEPT_AFTER_END_MS = 90 * 86_400_000;
const SEGMENT = /^issued\.[0-9]{15}-[0-9a-f]{12}\.jsonl$/;
const CHUNK_BYTES = 65_536;

/**
 * Makes a segment of the file that is appended to, and drops from all segments what expired more than 90 days ago.
 *
 * Each segment has a name of its own: two processes that do this at once rename two files, and never one over the other.
 * @param folder - the CA's folder
 * @param nowMs - ms since 1970
 */
export async function closeSegment(folder: string, nowMs: number): Promise<void> {
  const time = String(nowMs).padStart(15, '0');
  const segment = `issued.${time}-${randomBytes(6).toString('hex')}.jsonl`;
  await fs.rename(join(folder, CURRENT), join(folder, segment)).catch(absent);
  for (const file of await segments(folder)) await compact(folder, file, nowMs);
  await syncDirectory(folder);
}

/** Drops what expired long ago. Nobody appends to a segment any more but somebody who will do it again elsewhere. */
async function compact(folder: string, segment: string, nowMs: number): Promise<void> {
  const path = join(folder, segment);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  let kept = 0;
  let dropped = 0;
  const segmentFile = await fs.open(path, 'r').catch(absent);
  if (segmentFile === undefined) return;
  const out = await fs.open(temporary, 'wx', 0o600);
  try {
    for await (const entry of entries(segmentFile, () => (dropped += 1))) {
      if (entry.notAfterMs + KEPT_AFTER_END_MS <= nowMs) {
        dropped += 1;
      } else {
        kept += 1;
        await out.write(`${encodeIssued(entry)}\n`);
      }
    }
    await giveToFolderOwner(out, folder);
    await out.sync();
    if (kept > 0 && dropped > 0) await fs.rename(temporary, path);
    if (kept === 0) await fs.rm(path, { force: true });
  } finally {
    await segmentFile.close();
    await out.close();
    await fs.rm(temporary, { force: true });
  }
}

/** The names of a register's segments, the oldest first. */
export async function segments(folder: string): Promise<string[]> {
  const names = (await fs.readdir(folder).catch(absent)) ?? [];
  return names.filter((name) => SEGMENT.test(name)).sort();
}

/**
 * The entries of one file of a register. Memory is bounded by one line.
 * @param onDamaged - called for every line that cannot be read
 */
export async function* entries(file: FileHandle, onDamaged: () => void): AsyncGenerator<IssuedEntry> {
  for await (const line of lines(file)) {
    const entry = line === undefined ? undefined : decodeIssued(line);
    if (entry === undefined) onDamaged();
    else yield entry;
  }
}

/** The lines of a file; undefined for one that is too long, whose bytes are passed over. Empty ones are left out. */
async function* lines(file: FileHandle): AsyncGenerator<string | undefined> {
  let rest = Buffer.alloc(0);
  let isOverlong = false;
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; ;) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let end = rest.indexOf(NEW_LINE); end >= 0; end = rest.indexOf(NEW_LINE)) {
      const line = rest.subarray(0, end);
      rest = rest.subarray(end + 1);
      if (isOverlong || line.length >= MAX_LINE_BYTES) yield undefined;
      else if (line.length > 0) yield line.toString('utf8');
      isOverlong = false;
    }
    if (rest.length >= MAX_LINE_BYTES) {
      isOverlong = true;
      rest = Buffer.alloc(0);
    }
  }
  if (isOverlong) yield undefined;
  else if (rest.length > 0) yield rest.toString('utf8');
}
