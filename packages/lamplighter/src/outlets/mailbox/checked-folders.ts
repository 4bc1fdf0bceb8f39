import { LamplighterError } from '@lamplighter/core';

const MAX_FOLDERS = 1_024;
/** It is shown in the status. */
const MAX_FOLDER_LENGTH = 512;

/**
 * The folders of a configuration, as they are used: without slashes at their ends.
 * @throws LamplighterError ERR_CONFIG for none, too many, one twice, or what is no plain absolute path
 */
export function checkedFolders(folders: readonly string[]): string[] {
  // A trailing slash would make the kernel follow a link.
  const plain = folders.map((folder) => folder.replace(/(?<=.)\/+$/, ''));
  if (plain.length < 1 || plain.length > MAX_FOLDERS) {
    refuse(`a mailbox outlet has 1 to ${MAX_FOLDERS} folders`, 'one a guest');
  }
  if (!plain.every(isPlainPath)) {
    refuse('a mailbox is no plain absolute path', `begin it with /, at most ${MAX_FOLDER_LENGTH} characters`);
  }
  if (new Set(plain).size < plain.length) refuse('a mailbox is named twice', 'one folder a guest');
  return plain;
}

function isPlainPath(folder: string): boolean {
  // oxlint-disable-next-line no-control-regex
  const hasControls = /[\u0000-\u001f\u007f]/.test(folder);
  return folder.startsWith('/') && folder.length <= MAX_FOLDER_LENGTH && !hasControls;
}

function refuse(message: string, hint: string): never {
  throw new LamplighterError('ERR_CONFIG', message, { hint });
}
