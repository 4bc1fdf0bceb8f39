import { isName, isRole, type Role } from './roles.js';

/** Why a certificate was issued: by a person, for a token, over an older certificate. */
export type IssuedHow = 'issue' | 'enroll' | 'renew';

/** One certificate that a CA issued, a line of its register. */
export interface IssuedEntry {
  /** When, ms since 1970. */
  readonly atMs: number;
  readonly role: Role;
  readonly name: string;
  /** Upper-case hex. */
  readonly serial: string;
  /** Its end, ms since 1970. */
  readonly notAfterMs: number;
  /** SHA-256 of the SubjectPublicKeyInfo of the root that signed it, hex. */
  readonly root: string;
  /** The number of the trust list that its holder was given with it. */
  readonly trust: number;
  readonly how: IssuedHow;
}

/** The line of an entry, without its end. */
export function encodeIssued({
  atMs,
  role,
  name,
  serial,
  notAfterMs,
  root,
  trust,
  how,
}: IssuedEntry): string {
  const [at, notAfter] = [new Date(atMs).toISOString(), new Date(notAfterMs).toISOString()];
  return JSON.stringify({ at, role, name, serial, notAfter, root, trust, how });
}

/** The entry of a line; undefined when it is damaged. */
export function decodeIssued(line: string): IssuedEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { at, role, name, serial, notAfter, root, trust, how } = value;
  const [atMs, notAfterMs] = [time(at), time(notAfter)];
  if (atMs === undefined || notAfterMs === undefined) return undefined;
  if (typeof role !== 'string' || !isRole(role)) return undefined;
  if (typeof name !== 'string' || !isName(name)) return undefined;
  if (typeof serial !== 'string' || !/^[0-9A-F]{2,40}$/.test(serial)) return undefined;
  if (typeof root !== 'string' || !/^[0-9a-f]{64}$/.test(root)) return undefined;
  if (typeof trust !== 'number' || !Number.isSafeInteger(trust)) return undefined;
  if (how !== 'issue' && how !== 'enroll' && how !== 'renew') return undefined;
  return { atMs, role, name, serial, notAfterMs, root, trust, how };
}

function time(text: unknown): number | undefined {
  const timeMs = typeof text === 'string' && text.length <= 30 ? Date.parse(text) : Number.NaN;
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
