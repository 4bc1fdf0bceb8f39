/** The longest file a mailbox takes, bytes. Longer ones are refused: nobody needs more, and a share must not fill a machine. */
export const MAX_MAILBOX_FILE_BYTES = 4096;

/** Random bytes in a name, so that no two files ever share one; as many as a SHA-512 digest at most. */
const MIN_NAME_BYTES = 16;
const MAX_NAME_BYTES = 64;

/**
 * The names that belong to a mailbox: 32 to 128 lowercase hexadecimal digits and `.entropy`. Whoever empties a mailbox
 * reads and removes these and no others.
 *
 * A writer drops a file whole: it writes under any other name in the same folder (one that begins with a dot, say) and
 * renames it, so that nobody ever reads half of it.
 */
const MAILBOX_NAME = /^(?:[0-9a-f]{2}){16,64}\.entropy$/;

/** Whether a file name is one of a mailbox's own. The whole name is looked at, line ends included. */
export function isMailboxName(name: string): boolean {
  return MAILBOX_NAME.test(name);
}

/**
 * The name of a file to drop.
 * @param bytes - random, 16..64; they are public from then on and must serve for nothing else
 * @throws RangeError for another length
 */
export function mailboxName(bytes: Uint8Array): string {
  if (!(bytes.length >= MIN_NAME_BYTES && bytes.length <= MAX_NAME_BYTES)) {
    throw new RangeError(`a mailbox name is made of ${MIN_NAME_BYTES} to ${MAX_NAME_BYTES} bytes`);
  }
  return `${Buffer.from(bytes).toString('hex')}.entropy`;
}
