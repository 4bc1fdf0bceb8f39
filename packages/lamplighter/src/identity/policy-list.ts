import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { MAX_POLICY_ENTRIES } from './policy.js';
import { codeOf, type EntryDetails, type EntryKey, entryOf, fault, readEntry } from './policy-entry.js';
import { policyDirectory } from './policy-folder.js';

/** One decision, with what stands in its file. */
export interface ListedEntry extends EntryKey {
  readonly file: string;
  readonly details: EntryDetails;
  /** What is wrong with the file. A revocation is in force all the same. */
  readonly fault?: LamplighterError;
}

/** After its end a revoked certificate is remembered for a day more: clocks differ. */
const KEPT_AFTER_END_MS = 86_400_000;

/**
 * Everything a CA has decided, for a person to read: names first, then serials, then quotas, each in order.
 * @param caFolder - the CA's folder; where it has no folder `policy` there is nothing
 * @returns the entries, and what lies in the folder that is none
 * @throws LamplighterError ERR_POLICY_FILE when the folder cannot be read or holds more than 100,000 entries
 */
export async function listPolicy(
  caFolder: string,
): Promise<{ entries: ListedEntry[]; strange: LamplighterError[] }> {
  const directory = policyDirectory(caFolder);
  const files = await fs.readdir(directory).catch((cause: unknown) => {
    if (codeOf(cause) === 'ENOENT') return [];
    throw fault(directory, `cannot be read (${codeOf(cause)})`, cause);
  });
  if (files.length > 2 * MAX_POLICY_ENTRIES) throw fault(directory, `has ${files.length} files`);
  const entries: ListedEntry[] = [];
  const strange: LamplighterError[] = [];
  for (const file of files.filter((name) => !name.startsWith('.') && !name.endsWith('.tmp'))) {
    const key = entryOf(file);
    if (key === undefined) strange.push(fault(join(directory, file), 'is no entry of a policy'));
    else entries.push(await listed(directory, file, key));
  }
  return { entries: entries.sort(inOrder), strange };
}

/**
 * Removes the revocations of certificates that came to their end more than a day ago, by this machine's clock.
 * @returns how many
 * @throws LamplighterError ERR_POLICY_FILE when the folder cannot be read or one of them cannot be removed
 */
export async function prunePolicy(caFolder: string): Promise<number> {
  const directory = policyDirectory(caFolder);
  const { entries } = await listPolicy(caFolder);
  const before = Date.now() - KEPT_AFTER_END_MS;
  const ended = entries.filter(
    ({ kind, details: { notAfter } }) =>
      kind === 'serial' && notAfter !== undefined && Date.parse(notAfter) < before,
  );
  for (const { file } of ended) {
    await fs.rm(join(directory, file), { force: true }).catch((cause: unknown) => {
      throw fault(join(directory, file), `cannot be removed (${codeOf(cause)})`, cause);
    });
  }
  return ended.length;
}

async function listed(directory: string, file: string, key: EntryKey): Promise<ListedEntry> {
  try {
    return { ...key, file, details: await readEntry(fs, join(directory, file), key.kind) };
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    return { ...key, file, details: {}, fault: error };
  }
}

const KINDS: readonly EntryKey['kind'][] = ['name', 'serial', 'quota'];

function inOrder(one: ListedEntry, other: ListedEntry): number {
  const byKind = KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind);
  return byKind !== 0 ? byKind : one.of < other.of ? -1 : 1;
}
