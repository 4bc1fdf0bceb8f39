import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { normalSerial, type Quota, QUOTA_FIELDS, readQuota } from './policy.js';
import { isName } from './roles.js';

/*
 * The folder DIR/policy holds one small file per decision:
 *
 *   name-<name>.json      that name is revoked               { "at": ISO, "reason"?: text }
 *   serial-<hex>.json     that certificate is revoked        { "at": ISO, "reason"?: text, "notAfter"?: ISO }
 *   quota-<name>.json     that name may take more or less    { "at": ISO, …fields of a quota }
 *
 * Who is revoked is said by the file's name alone, so that a revocation is in force however torn, empty or unreadable its file is.
 */
const FILE = /^(name|serial|quota)-(.+)\.json$/s;

/** A file is a few hundred bytes. */
export const MAX_ENTRY_BYTES = 4_096;
/** Of the text that says why. */
export const MAX_REASON_LENGTH = 200;

export type EntryKind = 'name' | 'serial' | 'quota';

/** Which decision a file stands for. */
export interface EntryKey {
  readonly kind: EntryKind;
  /** A name or a serial number, in the form in which a {@link Policy} holds it. */
  readonly of: string;
}

/** What stands in a file. */
export interface EntryDetails {
  /** When it was decided, ISO 8601. */
  readonly at?: string;
  readonly reason?: string;
  /** The end of a revoked certificate's life, ISO 8601. */
  readonly notAfter?: string;
  readonly quota?: Partial<Quota>;
}

/** The name of an entry's file. @throws RangeError when it is no name or serial: state unchanged, and no path made of it */
export function entryFile({ kind, of }: EntryKey): string {
  const isGood = kind === 'serial' ? normalSerial(of) === of : isName(of);
  if (!isGood) throw new RangeError(`this is no ${kind === 'serial' ? 'serial number' : 'name'}`);
  return `${kind}-${of}.json`;
}

/**
 * Which decision a file's name stands for.
 *
 * Names have no capitals and serials one way of being written; a file that somebody made by hand in another one means the
 * same, because there is nobody else whom it could mean.
 * @returns undefined when it is none
 */
export function entryOf(fileName: string): EntryKey | undefined {
  const [, kind, of] = FILE.exec(fileName) ?? [];
  if (kind === undefined || of === undefined) return undefined;
  if (kind === 'serial') {
    const serial = normalSerial(of);
    return serial === undefined ? undefined : { kind, of: serial };
  }
  const name = of.toLowerCase();
  if (!isName(name) || (kind !== 'name' && kind !== 'quota')) return undefined;
  return { kind, of: name };
}

/**
 * Reads what stands in an entry's file.
 * @throws LamplighterError ERR_POLICY_FILE when it cannot be read, is longer than {@link MAX_ENTRY_BYTES} or says nothing that
 *   such a file may say
 */
export async function readEntry(fs: Environment['fs'], path: string, kind: EntryKind): Promise<EntryDetails> {
  let file: FileHandle | undefined;
  let text: string;
  try {
    // Without O_NONBLOCK the opening of a FIFO would wait for somebody to write.
    file = await fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) throw fault(path, 'is no file');
    if (stat.size > MAX_ENTRY_BYTES) throw fault(path, `has more than ${MAX_ENTRY_BYTES} bytes`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_ENTRY_BYTES), 0, MAX_ENTRY_BYTES, 0);
    text = buffer.toString('utf8', 0, bytesRead);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw fault(path, `cannot be read (${codeOf(cause)})`, cause);
  } finally {
    await file?.close();
  }
  return parseEntry(path, kind, text);
}

function parseEntry(path: string, kind: EntryKind, text: string): EntryDetails {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fault(path, 'is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fault(path, 'holds no JSON object');
  }
  const { at, reason, notAfter, ...rest } = value as Readonly<Record<string, unknown>>;
  const details = {
    ...(at !== undefined && { at: momentOf(path, 'at', at) }),
    ...(reason !== undefined && { reason: reasonText(path, reason) }),
    ...(notAfter !== undefined && { notAfter: momentOf(path, 'notAfter', notAfter) }),
  };
  if (kind !== 'quota') return details;
  const strange = Object.keys(rest).find((key) => !(QUOTA_FIELDS as readonly string[]).includes(key));
  if (strange !== undefined) throw fault(path, `has a key that is no quota: ${printable(strange)}`);
  const quota = readQuota(rest);
  if (quota === undefined) throw fault(path, 'holds a number that no quota may be');
  return { ...details, quota };
}

function momentOf(path: string, key: string, value: unknown): string {
  if (typeof value !== 'string' || value.length > 40 || Number.isNaN(Date.parse(value))) {
    throw fault(path, `has no moment as ${key}`);
  }
  return new Date(value).toISOString();
}

function reasonText(path: string, value: unknown): string {
  if (typeof value !== 'string' || !isReason(value)) throw fault(path, 'has no text as reason');
  return value;
}

/** Whether a text can stand as a reason: one line, nothing that a terminal would act upon, 1..{@link MAX_REASON_LENGTH}. */
export function isReason(text: string): boolean {
  return text.length > 0 && text.length <= MAX_REASON_LENGTH && !/\p{C}|\p{Zl}|\p{Zp}/u.test(text);
}

/** An error that a policy's folder or one of its files is the reason of. */
export function fault(path: string, what: string, cause?: unknown): LamplighterError {
  return new LamplighterError('ERR_POLICY_FILE', `${printable(path)} ${what}`, {
    hint: 'correct or remove it; `lamplighter ca policy` shows what is in force',
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The file system's own word for what is wrong. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}

/** File names may hold anything. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(-300);
