import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError, wipe } from '@lamplighter/core';
import { isAbsence, readTokenRecord, readTokenUse, tokenFolder, unusable } from './token-files.js';
import type { TokenRecord, TokenUse } from './token-record.js';

// Implementation constants.
/** How long an expired token is still shown. */
const KEPT_MS = 30 * 86_400_000;
/** What a killed writer left behind is nobody's after so long. */
const ABANDONED_MS = 3_600_000;

/** A token as it is shown. No secret. */
export interface TokenSummary extends Omit<TokenRecord, 'proofKey'> {
  readonly state: 'active' | 'spent' | 'expired' | 'revoked';
  /** Who has used it. */
  readonly taken: readonly TokenUse[];
}

/**
 * Every token of a CA, the newest first. Removes those that expired more than 30 days ago.
 * @param nowMs - milliseconds since 1970
 * @returns them, and what could not be read
 * @throws LamplighterError ERR_TOKEN_FILE when the folder cannot be read; a CA without one has no tokens
 */
export async function listTokens(
  authorityFolder: string,
  nowMs: number,
): Promise<{ tokens: TokenSummary[]; damaged: LamplighterError[] }> {
  const folder = tokenFolder(authorityFolder);
  const files = await filesIn(folder);
  const usesById = new Map<string, number[]>();
  for (const file of files) {
    const [, id, number] = /^([0-9a-f]{32})\.use-(\d{1,4})$/.exec(file) ?? [];
    if (id !== undefined) usesById.set(id, [...(usesById.get(id) ?? []), Number(number)]);
  }
  const revoked = new Set(files.filter((file) => file.endsWith('.revoked')));
  const tokens: TokenSummary[] = [];
  const damaged: LamplighterError[] = [];
  for (const file of files.filter((name) => name.endsWith('.json'))) {
    const id = file.slice(0, -'.json'.length);
    try {
      const record = await readTokenRecord(folder, id);
      if (record === undefined) continue;
      const { proofKey, ...shown } = record;
      wipe(proofKey);
      if (nowMs - record.expiresAtMs > KEPT_MS) {
        await fs.rm(join(folder, file), { force: true });
        continue;
      }
      const taken = await usesOf(folder, id, usesById.get(id) ?? []);
      tokens.push({ ...shown, taken, state: stateOf(record, taken, revoked.has(`${id}.revoked`), nowMs) });
    } catch (error) {
      if (!(error instanceof LamplighterError)) throw error;
      damaged.push(error);
    }
  }
  await sweep(folder, nowMs);
  return { tokens: tokens.sort((a, b) => b.createdAtMs - a.createdAtMs), damaged };
}

function stateOf(
  { expiresAtMs, uses }: TokenRecord,
  taken: readonly TokenUse[],
  isRevoked: boolean,
  nowMs: number,
): TokenSummary['state'] {
  if (isRevoked) return 'revoked';
  if (nowMs >= expiresAtMs) return 'expired';
  return taken.length >= uses ? 'spent' : 'active';
}

async function usesOf(folder: string, id: string, numbers: readonly number[]): Promise<TokenUse[]> {
  const uses: TokenUse[] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const use = await readTokenUse(folder, id, number);
    if (use !== undefined) uses.push(use);
  }
  return uses;
}

/** A record goes before its uses, so that none is ever free again; here goes what belonged to records that are gone. */
async function sweep(folder: string, nowMs: number): Promise<void> {
  const files = await filesIn(folder);
  const there = new Set(files);
  for (const file of files) {
    const path = join(folder, file);
    const [id = ''] = file.split('.');
    const isOrphan = /\.(use-\d+|revoked)$/.test(file) && !there.has(`${id}.json`);
    if (isOrphan || (file.endsWith('.tmp') && (await isAbandoned(path, nowMs)))) {
      await fs.rm(path, { force: true });
    }
  }
}

async function isAbandoned(path: string, nowMs: number): Promise<boolean> {
  const stat = await fs.stat(path).catch(() => undefined);
  return stat !== undefined && nowMs - stat.mtimeMs > ABANDONED_MS;
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return await fs.readdir(folder);
  } catch (cause) {
    if (isAbsence(cause)) return [];
    throw unusable(folder, cause);
  }
}
