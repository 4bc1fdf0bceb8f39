import { closeSync, openSync, readSync } from 'node:fs';

/** Which C library a program was linked with: an addon made for the other one cannot be loaded into it. */
export type Libc = 'glibc' | 'musl';

/** Reads part of a file, fewer bytes where it ends. */
export type ReadAt = (at: number, lengthBytes: number) => Buffer;

/**
 * The C library of this process, by the loader that its executable names: nothing is started and no report made to find out.
 * @param files - where the executable may be read. First the link: it still leads to the program when an upgrade has replaced
 *   its file. Then its path, for a chroot without /proc
 * @returns undefined where no loader is named, as in a program linked statically, and where nothing can be read
 */
export function ownLibc(files: readonly string[] = ['/proc/self/exe', process.execPath]): Libc | undefined {
  for (const file of files) {
    try {
      return libcOfFile(file);
    } catch {
      // Not readable here.
    }
  }
  return undefined;
}

function libcOfFile(file: string): Libc | undefined {
  const fd = openSync(file, 'r');
  try {
    return libcOf((at, lengthBytes) => {
      const bytes = Buffer.alloc(lengthBytes);
      return bytes.subarray(0, readSync(fd, bytes, 0, lengthBytes, at));
    });
  } finally {
    closeSync(fd);
  }
}

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const HEADER_LENGTH_BYTES = 64;
const ENTRY_LENGTH_BYTES = 56;
const PT_INTERP = 3;
/** Linux refuses longer ones: PATH_MAX. */
const LONGEST_NAME_BYTES = 4096;

/**
 * The C library that an executable asks for.
 *
 * Source: System V ABI, ch. 5, "Program Header"; 64-bit little-endian files only.
 * @param read - the file; what it holds may be anything
 * @returns undefined if it is no such file, names no loader, or names one that belongs to neither library
 */
export function libcOf(read: ReadAt): Libc | undefined {
  const header = read(0, HEADER_LENGTH_BYTES);
  if (header.length < HEADER_LENGTH_BYTES || header.readUInt32BE(0) !== MAGIC) return undefined;
  if (header[4] !== CLASS_64 || header[5] !== LITTLE_ENDIAN) return undefined;
  const tableAt = offset(header, 32);
  const entries = read(tableAt, header.readUInt16LE(56) * ENTRY_LENGTH_BYTES);
  for (let at = 0; at + ENTRY_LENGTH_BYTES <= entries.length; at += ENTRY_LENGTH_BYTES) {
    if (entries.readUInt32LE(at) !== PT_INTERP) continue;
    const lengthBytes = Math.min(offset(entries, at + 32), LONGEST_NAME_BYTES);
    const loader = read(offset(entries, at + 8), lengthBytes).toString('latin1');
    return libcByLoader(loader.slice(loader.lastIndexOf('/') + 1));
  }
  return undefined;
}

function libcByLoader(name: string): Libc | undefined {
  if (name.startsWith('ld-musl-')) return 'musl';
  return name.startsWith('ld-linux-') ? 'glibc' : undefined;
}

/** No file is longer than what a number counts exactly: anything beyond reads as nothing. */
function offset(bytes: Buffer, at: number): number {
  return Math.min(Number(bytes.readBigUInt64LE(at)), Number.MAX_SAFE_INTEGER);
}
