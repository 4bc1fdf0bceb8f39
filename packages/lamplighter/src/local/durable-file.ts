import { dirname } from 'node:path';
import type { Environment } from './environment.js';

/**
 * Replaces a file so that whoever reads it finds the old or the new content, whole. Not durable: for what a power cut may take.
 * @throws the file system's own error; the old file is then untouched and the temporary one removed
 */
export async function replaceWhole(
  fs: Environment['fs'],
  path: string,
  bytes: Uint8Array,
  mode: number,
): Promise<void> {
  await replace(fs, path, bytes, mode, false);
}

/**
 * Replaces a file so that after a power cut either the old or the new content is there, whole: temporary file, fsync,
 * rename, fsync of the folder. What a killed writer left behind is removed by the next.
 *
 * @param fs - Environment.fs
 * @param path - the file; its folder must exist
 * @param bytes - the whole new content
 * @param mode - permission bits of the new file
 * @throws the file system's own error; the old file is then untouched and the temporary one removed
 */
export async function replaceDurably(
  fs: Environment['fs'],
  path: string,
  bytes: Uint8Array,
  mode = 0o600,
): Promise<void> {
  await replace(fs, path, bytes, mode, true);
  const folder = await fs.open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function replace(
  fs: Environment['fs'],
  path: string,
  bytes: Uint8Array,
  mode: number,
  isDurable: boolean,
): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await fs.rm(temporary, { force: true });
    // Exclusive: neither through a link nor into a file that keeps an older mode.
    const file = await fs.open(temporary, 'wx', mode);
    try {
      await file.writeFile(bytes);
      if (isDurable) await file.sync();
    } finally {
      await file.close();
    }
    await fs.rename(temporary, path);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
}
