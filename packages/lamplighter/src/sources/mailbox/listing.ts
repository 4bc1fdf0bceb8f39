import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { startLeashed } from '../process/leashed-child.js';
import { linkedAbort } from '../../local/linked-abort.js';

/** What the kernel calls descriptor 3 of the child, and so how the names begin that it prints. */
const FOLDER_OF_CHILD = '/proc/self/fd/3/';
/** A Linux name has 255 bytes; what is longer than this is not from `find`. */
const MAX_RECORD_BYTES = 1024;

/** What a folder holds, as far as it was read. */
export interface Listing {
  /** Names as bytes, which need not be UTF-8, in the order the file system gives them. */
  readonly names: readonly Uint8Array[];
  /** Whether there are more than were read. */
  readonly more: boolean;
}

/**
 * Lists an open folder, no more than `limit` names of it, in memory bounded by them.
 *
 * By `find` in a process of its own. Node's readdir holds all names of a folder at once, and its opendir asks for the type of
 * each entry with a system call *on the main thread* where a share does not give types (NFS often does not): when the server
 * dies in that moment, the whole node stands still.
 *
 * @param descriptor - an open folder; the child gets it as its own descriptor 3 and never sees a path
 * @param limit - names, ≥ 1
 * @param signal - ends the child; this settles when it is gone
 * @throws LamplighterError ERR_CHILD_FAILED, ERR_MAILBOX_GONE; the signal's reason when that fired
 */
export async function listFolder(
  descriptor: number,
  limit: number,
  signal: AbortSignal,
  environment: Environment,
): Promise<Listing> {
  const listing = linkedAbort(signal);
  const records = new Records(limit);
  let how: string;
  try {
    const child = await startLeashed(
      'find',
      [FOLDER_OF_CHILD, '-mindepth', '1', '-maxdepth', '1', '-print0'],
      { signal: listing.signal, descriptors: [descriptor] },
      environment,
    );
    child.stdout.on('data', (chunk: Buffer) => {
      if (!records.add(chunk)) listing.abort('enough');
    });
    child.stderr.resume();
    how = await child.over;
  } finally {
    listing.release();
  }
  signal.throwIfAborted();
  const more = listing.signal.aborted;
  if (how !== 'code 0' && !more) {
    throw new LamplighterError('ERR_MAILBOX_GONE', `the folder could not be listed (find ended: ${how})`);
  }
  return { names: records.names, more };
}

/** Cuts NUL-terminated paths out of a stream, up to a number of them. */
class Records {
  readonly names: Uint8Array[] = [];
  readonly #limit: number;
  #rest = Buffer.alloc(0);

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns false when there are more than the limit, or what comes is no list of names */
  add(chunk: Uint8Array): boolean {
    let rest = Buffer.concat([this.#rest, chunk]);
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      if (this.names.length === this.#limit) return false;
      const start = rest.subarray(0, end).lastIndexOf('/') + 1;
      this.names.push(Uint8Array.from(rest.subarray(start, end)));
      rest = rest.subarray(end + 1);
    }
    this.#rest = Buffer.from(rest);
    return rest.length <= MAX_RECORD_BYTES;
  }
}
