import { LamplighterError } from '@lamplighter/core';
import { MAX_MAILBOX_FILE_BYTES } from '../../wire/mailbox.js';
import type { Reason } from '../../wire/status.js';
import type { LookReport } from './look.js';
import { codeOf } from './open-folder.js';

/** Why a folder could not be opened. */
export function folderFault(folder: string, cause: unknown): LamplighterError {
  const code = codeOf(cause);
  if (code === 'ENOTDIR' || code === 'ELOOP') {
    const hint = 'name the folder itself, no link to it';
    return new LamplighterError('ERR_MAILBOX_FOLDER', `${folder} is no folder`, { hint, cause });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const hint = 'let the user of this service read and write it';
    return new LamplighterError('ERR_MAILBOX_FOLDER', `we may not read ${folder}`, { hint, cause });
  }
  const hint = 'is the share mounted';
  return new LamplighterError('ERR_MAILBOX_GONE', `${folder} cannot be opened (${code})`, { hint, cause });
}

/** What people should know of a look that worked: the worst of it, or nothing. */
export function lookFault({ crowded, entries, refused, left }: LookReport): Reason | undefined {
  if (crowded) {
    return {
      code: 'ERR_MAILBOX_CROWDED',
      message: `the folder holds more than the ${entries} entries that were looked at`,
      hint: 'remove what does not belong there; find out who writes so much',
    };
  }
  if (refused > 0) {
    return {
      code: 'ERR_MAILBOX_REFUSED',
      message: `${refused} entries with a mailbox name are no readable files of at most ${MAX_MAILBOX_FILE_BYTES} bytes`,
      hint: 'remove them; find out who writes them',
    };
  }
  if (left > 0) {
    return {
      code: 'ERR_MAILBOX_NOT_REMOVED',
      message: `${left} files were heard but cannot be removed`,
      hint: 'let the user of this service write in the folder',
    };
  }
  return undefined;
}
