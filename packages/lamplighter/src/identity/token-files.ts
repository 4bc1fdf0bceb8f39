import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { isTokenId } from './token.js';
import { decodeTokenRecord, decodeTokenUse, type TokenRecord, type TokenUse } from './token-record.js';

/** A record with all its names is a few hundred bytes. */
const MAX_FILE_BYTES = 16_384;

/** Where a CA's tokens are: `ID.json` for each, `ID.use-N` for each use that is taken, `ID.revoked`. */
export function tokenFolder(authorityFolder: string): string {
  return join(authorityFolder, 'tokens');
}

/**
 * Reads a token's record.
 * @param folder - see {@link tokenFolder}
 * @param id - checked before it touches a path
 * @returns undefined when there is no such token
 * @throws LamplighterError ERR_TOKEN_FILE when it cannot be read or is not whole
 */
export async function readTokenRecord(folder: string, id: string): Promise<TokenRecord | undefined> {
  if (!isTokenId(id)) return undefined;
  const path = join(folder, `${id}.json`);
  const text = await readShort(path);
  if (text === undefined) return undefined;
  const record = decodeTokenRecord(text, path);
  // A copy under another's name would be spent twice.
  if (record.id !== id) throw unusable(path, undefined);
  return record;
}

/** Reads one use of a token. @returns undefined when it is free @throws as {@link readTokenRecord} */
export async function readTokenUse(
  folder: string,
  id: string,
  number: number,
): Promise<TokenUse | undefined> {
  const path = join(folder, `${id}.use-${number}`);
  const text = await readShort(path);
  return text === undefined ? undefined : decodeTokenUse(text, path);
}

/** Whether a file system says that something is not there. */
export function isAbsence(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
}

/** What went wrong with a file of the token folder, as an error of ours; one that is ours already stays. */
export function unusable(path: string, cause: unknown): LamplighterError {
  if (cause instanceof LamplighterError) return cause;
  const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return new LamplighterError('ERR_TOKEN_FILE', `${path} cannot be used${reason}`, {
    hint: 'check who may read and write the folder of the CA',
    cause,
  });
}

async function readShort(path: string): Promise<string | undefined> {
  try {
    const file = await fs.open(path, 'r');
    try {
      const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      if (bytesRead > MAX_FILE_BYTES) throw new Error('it is too long');
      return bytes.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (isAbsence(cause)) return undefined;
    throw unusable(path, cause);
  }
}
