import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { makeOwnedDirectory } from './folder-owner.js';
import { readRegister, serialsOf } from './issued-register.js';
import { writeFilesTogether } from './key-files.js';
import { MAX_POLICY_ENTRIES, normalSerial, type Quota, readQuota } from './policy.js';
import {
  codeOf,
  type EntryDetails,
  entryFile,
  type EntryKey,
  entryOf,
  isReason,
  MAX_REASON_LENGTH,
} from './policy-entry.js';
import { policyDirectory } from './policy-folder.js';
import { isName } from './roles.js';

/*
 * Each decision is one file, written whole under another name and renamed, so that any number of processes may decide at once, and
 * after a power cut a decision that was reported is there.
 */

/** Nothing in a policy is secret; a node may run as another user than whoever decides. The CA's own folder lets nobody in. */
const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;

/**
 * Revokes a name, and every certificate of it that has not expired, so that {@link unrevokeName} gives back the name alone.
 * @param caFolder - the CA's folder
 * @param reason - one line, 1..200 characters
 * @returns the serials of the certificates; none when the register knows none
 * @throws LamplighterError ERR_USAGE when it is no name or reason, ERR_CA_FILE when there is no CA or its register cannot be
 *   read (the name is revoked then), ERR_POLICY_FILE when nothing can be written
 */
export async function revokeName(caFolder: string, name: string, reason?: string): Promise<string[]> {
  checkName(name);
  // First: from here on nobody gives that name another certificate.
  await write(caFolder, { kind: 'name', of: name }, decided(reason));
  return revokeSerials(caFolder, await serialsOf(caFolder, name), reason);
}

/**
 * Gives a revoked name free, to be enrolled again. Its certificates stay revoked, also those issued since it was revoked by
 * whoever had not heard of it.
 * @returns false when it was not revoked
 * @throws as {@link revokeName}; the name stays revoked then
 */
export async function unrevokeName(caFolder: string, name: string): Promise<boolean> {
  checkName(name);
  await checkAuthority(caFolder);
  const directory = policyDirectory(caFolder);
  const names = await fs.readdir(directory).catch((cause: unknown) => absent(cause, directory));
  const files = names.filter((file) => {
    const key = entryOf(file);
    return key?.kind === 'name' && key.of === name;
  });
  if (files.length === 0) return false;
  await revokeSerials(caFolder, await serialsOf(caFolder, name), undefined);
  for (const file of files) await remove(directory, file);
  return true;
}

/**
 * Revokes the certificates of a name but for the one issued last. Renewing goes on.
 * @returns what is kept, and what was revoked
 * @throws LamplighterError ERR_USAGE also when the register knows no certificate of that name; else as {@link revokeName}
 */
export async function revokeAllButNewest(
  caFolder: string,
  name: string,
  reason?: string,
): Promise<{ kept: string; revoked: string[] }> {
  checkName(name);
  await checkAuthority(caFolder);
  const serials = await serialsOf(caFolder, name);
  const newest = serials.pop();
  if (newest === undefined) {
    throw new LamplighterError('ERR_USAGE', `the register knows no unexpired certificate of ${name}`, {
      hint: '`lamplighter ca list` shows what was issued; `ca revoke --name` revokes the name itself',
    });
  }
  return { kept: newest.serial, revoked: await revokeSerials(caFolder, serials, reason) };
}

/**
 * Revokes one certificate.
 * @param text - its serial number in hex, see {@link normalSerial}
 * @returns the serial as the policy holds it, and whose it is; undefined when the register does not know it
 * @throws as {@link revokeName}
 */
export async function revokeSerial(
  caFolder: string,
  text: string,
  reason?: string,
): Promise<{ serial: string; name: string | undefined }> {
  const serial = normalSerial(text);
  if (serial === undefined) {
    throw new LamplighterError('ERR_USAGE', 'a serial number is 1 to 64 hexadecimal digits');
  }
  await checkAuthority(caFolder);
  let name: string | undefined;
  let notAfter: Date | undefined;
  for await (const issued of readRegister(caFolder)) {
    if (normalSerial(issued.serial) !== serial) continue;
    name = issued.name;
    notAfter = new Date(issued.notAfterMs);
  }
  await write(caFolder, { kind: 'serial', of: serial }, { ...decided(reason), ...ends(notAfter) });
  return { serial, name };
}

/**
 * Gives a name a quota of its own, in place of the one it had.
 * @param quota - what is left out is as the role has it
 * @throws LamplighterError ERR_USAGE when a number is out of its bounds; else as {@link revokeName}
 */
export async function setQuota(caFolder: string, name: string, quota: Partial<Quota>): Promise<void> {
  checkName(name);
  const checked = readQuota(quota);
  if (checked === undefined) throw new LamplighterError('ERR_USAGE', 'no quota may be like this');
  await write(caFolder, { kind: 'quota', of: name }, { ...decided(undefined), ...checked });
}

/**
 * Takes a name's own quota away.
 * @returns false when it had none
 * @throws as {@link revokeName}
 */
export async function removeQuota(caFolder: string, name: string): Promise<boolean> {
  checkName(name);
  await checkAuthority(caFolder);
  return remove(policyDirectory(caFolder), entryFile({ kind: 'quota', of: name }));
}

async function revokeSerials(
  caFolder: string,
  certificates: readonly { readonly serial: string; readonly notAfter: Date }[],
  reason: string | undefined,
): Promise<string[]> {
  const revoked: string[] = [];
  for (const { serial: text, notAfter } of certificates) {
    const serial = normalSerial(text);
    if (serial === undefined) continue;
    await write(caFolder, { kind: 'serial', of: serial }, { ...decided(reason), ...ends(notAfter) });
    revoked.push(serial);
  }
  return revoked;
}

async function write(caFolder: string, key: EntryKey, content: EntryDetails | Partial<Quota>): Promise<void> {
  await checkAuthority(caFolder);
  const directory = policyDirectory(caFolder);
  const file = entryFile(key);
  try {
    await makeDirectory(caFolder, directory);
    const there = await fs.readdir(directory);
    if (there.length >= MAX_POLICY_ENTRIES && !there.includes(file)) {
      throw new LamplighterError('ERR_POLICY_FILE', `${directory} has ${there.length} entries already`, {
        hint: 'remove serials that have expired with `lamplighter ca policy --prune`',
      });
    }
    const text = `${JSON.stringify(content)}\n`;
    await writeFilesTogether([{ path: join(directory, file), content: text, mode: FILE_MODE }], true);
  } catch (cause) {
    throw cannotWrite(directory, cause);
  }
}

async function makeDirectory(caFolder: string, directory: string): Promise<void> {
  if (await makeOwnedDirectory(directory, FOLDER_MODE)) await syncDirectory(caFolder);
}

/** @returns false when there is no such file */
async function remove(directory: string, file: string): Promise<boolean> {
  try {
    await fs.unlink(join(directory, file));
    await syncDirectory(directory);
    return true;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false;
    throw cannotWrite(directory, cause);
  }
}

/** A decision written beside the CA instead of into it would be in force nowhere. */
async function checkAuthority(caFolder: string): Promise<void> {
  try {
    await fs.access(join(caFolder, 'ca.pem'));
  } catch (cause) {
    throw new LamplighterError('ERR_CA_FILE', `there is no CA in ${caFolder} (${codeOf(cause)})`, {
      hint: 'name the folder that `lamplighter ca init` made',
      cause,
    });
  }
}

function checkName(name: string): void {
  if (isName(name)) return;
  throw new LamplighterError('ERR_USAGE', 'a name is 1 to 63 of a-z, 0-9, dot and hyphen', {
    hint: 'names have no capitals: write it as its certificate does',
  });
}

function decided(reason: string | undefined): EntryDetails {
  if (reason !== undefined && !isReason(reason)) {
    throw new LamplighterError('ERR_USAGE', `a reason is one line of 1 to ${MAX_REASON_LENGTH} characters`);
  }
  return { at: new Date().toISOString(), ...(reason !== undefined && { reason }) };
}

const ends = (notAfter: Date | undefined): EntryDetails =>
  notAfter === undefined ? {} : { notAfter: notAfter.toISOString() };

async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function absent(cause: unknown, directory: string): string[] {
  if (codeOf(cause) === 'ENOENT') return [];
  throw cannotWrite(directory, cause);
}

function cannotWrite(directory: string, cause: unknown): unknown {
  if (cause instanceof LamplighterError) return cause;
  return new LamplighterError('ERR_POLICY_FILE', `${directory} cannot be changed (${codeOf(cause)})`, {
    hint: 'check who may write to it, and the space there',
    cause,
  });
}
