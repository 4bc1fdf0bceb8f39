import { LamplighterError } from '@lamplighter/core';
import { isName, isRole, type Role } from './roles.js';

/** What the CA's folder holds of a token: enough to check who comes with it, and not its secret. */
export interface TokenRecord {
  /** 32 hex digits. */
  readonly id: string;
  readonly role: Role;
  /** The one name it gives; otherwise names are made, `<prefix>-<10 hex digits>`. */
  readonly name?: string;
  /** Of the names that are made; the role when absent. */
  readonly prefix?: string;
  /** Host names and addresses of a server's certificate; empty for other roles. */
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** Milliseconds of life of the certificates; the enrolling node's usual life when absent. */
  readonly lifeMs?: number;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** How many machines it serves, 1..{@link MAX_USES}. */
  readonly uses: number;
  /** See `TokenKeys.proof`: 32 bytes. Whoever reads it can enrol while the token lives, and can compute no hedge and no seed. */
  readonly proofKey: Uint8Array;
}

/** One use of a token: who got what. */
export interface TokenUse {
  /** SHA-256 of the CSR (DER), hex: the same CSR is the same machine asking again. */
  readonly csrHash: string;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** Of the certificate; absent while none has been issued. */
  readonly serial?: string;
}

/** Machines one token may serve. */
export const MAX_USES = 1_000;
const MAX_NAMES = 32;
const MAX_LIFE_MS = 36_500 * 86_400_000;

/** A record as the text of its file. It holds the proof key: the file is 0600. */
export function encodeTokenRecord(record: TokenRecord): string {
  const { proofKey, createdAtMs, expiresAtMs, ...rest } = record;
  const fields = {
    version: 1,
    ...rest,
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    proofKey: Buffer.from(proofKey).toString('hex'),
  };
  return `${JSON.stringify(fields)}\n`;
}

/**
 * Reads a record back.
 * @param text - the whole file
 * @param path - named in the error
 * @throws LamplighterError ERR_TOKEN_FILE when anything in it is not as {@link encodeTokenRecord} wrote it
 */
export function decodeTokenRecord(text: string, path: string): TokenRecord {
  const fields = fieldsOf(text, path);
  const { version, id, role, name, prefix, dns, ip, lifeMs, uses, proofKey } = fields;
  const accept: (isAcceptable: boolean) => asserts isAcceptable = (isAcceptable) => {
    if (!isAcceptable) throw damaged(path);
  };
  accept(version === 1 && typeof id === 'string' && /^[0-9a-f]{32}$/.test(id));
  accept(typeof role === 'string' && isRole(role));
  accept(name === undefined || (typeof name === 'string' && isName(name)));
  accept(prefix === undefined || (typeof prefix === 'string' && isName(prefix)));
  accept(lifeMs === undefined || isInteger(lifeMs, 1_000, MAX_LIFE_MS));
  accept(isInteger(uses, 1, MAX_USES) && (name === undefined || uses === 1));
  accept(typeof proofKey === 'string' && /^[0-9a-f]{64}$/.test(proofKey));
  const [createdAtMs, expiresAtMs] = [timeOf(fields['createdAt']), timeOf(fields['expiresAt'])];
  accept(createdAtMs !== undefined && expiresAtMs !== undefined);
  const [dnsNames, addresses] = [namesOf(dns), namesOf(ip)];
  accept(dnsNames !== undefined && addresses !== undefined);
  return {
    id,
    role,
    ...(name !== undefined && { name }),
    ...(prefix !== undefined && { prefix }),
    dns: dnsNames,
    ip: addresses,
    ...(lifeMs !== undefined && { lifeMs }),
    createdAtMs,
    expiresAtMs,
    uses,
    proofKey: Uint8Array.from(Buffer.from(proofKey, 'hex')),
  };
}

/** A use as the text of its file. No secret. */
export function encodeTokenUse({ atMs, ...use }: TokenUse): string {
  return `${JSON.stringify({ version: 1, ...use, at: new Date(atMs).toISOString() })}\n`;
}

/** Reads a use back. @throws as {@link decodeTokenRecord} */
export function decodeTokenUse(text: string, path: string): TokenUse {
  const { version, csrHash, name, serial, at } = fieldsOf(text, path);
  const atMs = timeOf(at);
  if (
    version !== 1 ||
    typeof csrHash !== 'string' ||
    !/^[0-9a-f]{64}$/.test(csrHash) ||
    typeof name !== 'string' ||
    !isName(name) ||
    (serial !== undefined && (typeof serial !== 'string' || !/^[0-9A-Fa-f]{1,64}$/.test(serial))) ||
    atMs === undefined
  ) {
    throw damaged(path);
  }
  return { csrHash, name, atMs, ...(serial !== undefined && { serial }) };
}

function fieldsOf(text: string, path: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not the parser's words: they repeat the text.
    throw damaged(path);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw damaged(path);
  return value as Readonly<Record<string, unknown>>;
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most;
}

function timeOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}

function namesOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_NAMES) return undefined;
  const names: unknown[] = value;
  return names.every((name) => typeof name === 'string' && name.length <= 253)
    ? (names as string[])
    : undefined;
}

function damaged(path: string): LamplighterError {
  return new LamplighterError('ERR_TOKEN_FILE', `${path} is damaged`, {
    hint: 'remove it, and make another token with `lamplighter token create`',
  });
}
