import { constants } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/*
 * A CA's folder often belongs to the user that a node runs as, and the commands that change it are often typed by root. What root
 * makes there is given to whoever owns the folder, who could not read it otherwise.
 */

/**
 * Gives a file that was made just now to the owner of its folder, when we are root and he is not.
 * @param file - open, and made by us: it is given away as it is, not by its name, which somebody else may have changed
 */
export async function giveToFolderOwner(file: FileHandle, folder: string): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = await fs.stat(folder);
  if (uid !== 0) await file.chown(uid, gid);
}

/**
 * Makes a directory and its parents, each for the owner of the one it is in; those that are there stay as they are.
 * @param mode - of all that are made, narrowed by the umask
 * @returns whether any was made
 */
export async function makeOwnedDirectory(path: string, mode: number): Promise<boolean> {
  const first = await fs.mkdir(path, { recursive: true, mode });
  if (first === undefined) return false;
  const made: string[] = [];
  for (let one = path; one.length >= first.length; one = dirname(one)) made.unshift(one);
  for (const one of made) {
    const handle = await fs.open(one, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      await giveToFolderOwner(handle, dirname(one));
    } finally {
      await handle.close();
    }
  }
  return true;
}
