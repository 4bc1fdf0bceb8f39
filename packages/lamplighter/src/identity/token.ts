import { createHash, randomFillSync, timingSafeEqual } from 'node:crypto';
import { hkdfExpand, hkdfExtract, LamplighterError, wipe } from '@lamplighter/core';
import type { Role } from './roles.js';

// Specification constants. The prefix is what a scanner for leaked secrets looks for.
const PREFIX = 'lamplighter-token-1.';
/** Length of a token's id, bytes. */
export const TOKEN_ID_BYTES = 16;
/** Length of a token's secret, bytes. */
export const TOKEN_SECRET_BYTES = 32;
const KEY_HASH_BYTES = 32;
const CHECKSUM_BYTES = 4;
const SECRET_AT = TOKEN_ID_BYTES;
const KEY_HASH_AT = SECRET_AT + TOKEN_SECRET_BYTES;
const ROLE_AT = KEY_HASH_AT + KEY_HASH_BYTES;
const EXPIRY_AT = ROLE_AT + 1;
const CHECKSUM_AT = EXPIRY_AT + 8;
const LENGTH_BYTES = CHECKSUM_AT + CHECKSUM_BYTES;
/** 8.64e15 ms, the last moment a Date can show. */
const MAX_EXPIRY_S = 8_640_000_000_000n;

/** Role numbers on the wire: part of the format, never reordered. */
const ROLE_NUMBERS = { office: 1, relay: 2, service: 3, machine: 4, admin: 5 } as const satisfies Record<
  Role,
  number
>;
const ROLES_BY_NUMBER: ReadonlyMap<number, Role> = new Map(
  (Object.keys(ROLE_NUMBERS) as Role[]).map((role) => [ROLE_NUMBERS[role], role]),
);

/** What lets one machine, or a few, ask a CA for a certificate. */
export interface Token {
  /** 16 bytes, no secret: it is what the machine calls its token by. */
  readonly id: Uint8Array;
  /** 32 secret bytes. They never travel; see {@link tokenKeys}. */
  readonly secret: Uint8Array;
  /** SHA-256 of the CA key's SPKI (DER), 32 bytes: by it the machine knows the CA before it holds a certificate. */
  readonly keyHash: Uint8Array;
  /** The only role this token gives. */
  readonly role: Role;
  /** Milliseconds since 1970, in whole seconds. Told for people: the CA decides. */
  readonly expiresAtMs: number;
}

/** Everything that is made of a token's secret, one output for one purpose. Secret; wiped by {@link wipeTokenKeys}. */
export interface TokenKeys {
  /** 64 bytes: keys the hedge of this process's OpenSSL before its first key or TLS byte. */
  readonly hedge: Uint8Array;
  /** 32 bytes: keys the proof that whoever asks knows the secret. The only one the CA keeps. */
  readonly proof: Uint8Array;
  /** 64 bytes: keys the mix that makes the machine's first seed. */
  readonly seed: Uint8Array;
}

/**
 * A new token: id and secret are drawn from this process's OpenSSL.
 * @param fields - everything about it that is not drawn
 */
export function newToken(fields: Omit<Token, 'id' | 'secret'>): Token {
  return {
    ...fields,
    id: randomFillSync(new Uint8Array(TOKEN_ID_BYTES)),
    secret: randomFillSync(new Uint8Array(TOKEN_SECRET_BYTES)),
  };
}

/**
 * Derives all keys of a token.
 *
 * Source: issue "The fleet", enrolment. PRK = HKDF-Extract("lamplighter/token/v1", secret), each key = Expand(PRK, label, length).
 * @param secret - 32 bytes; the caller wipes it
 * @throws RangeError on another length
 */
export function tokenKeys(secret: Uint8Array): TokenKeys {
  if (secret.length !== TOKEN_SECRET_BYTES) {
    throw new RangeError(`a token's secret has ${TOKEN_SECRET_BYTES} bytes`);
  }
  const prk = hkdfExtract('lamplighter/token/v1', secret);
  const keys = {
    hedge: hkdfExpand(prk, 'hedge', 64),
    proof: hkdfExpand(prk, 'proof', 32),
    seed: hkdfExpand(prk, 'seed', 64),
  };
  wipe(prk);
  return keys;
}

/** Wipes all of them. */
export function wipeTokenKeys(keys: TokenKeys): void {
  wipe(keys.hedge, keys.proof, keys.seed);
}

/**
 * A token as one line of text: `lamplighter-token-1.` ‖ base64url(id ‖ secret ‖ SHA-256 of the CA key ‖ role u8 ‖
 * expiry u64, seconds ‖ the first 4 bytes of the SHA-256 of all before). Integers are big-endian.
 *
 * The checksum finds what copying breaks, and is no protection against anybody.
 * @returns 144 characters that hold the secret; a string cannot be wiped
 * @throws RangeError when a field is out of range
 */
export function encodeToken({ id, secret, keyHash, role, expiresAtMs }: Token): string {
  if (
    id.length !== TOKEN_ID_BYTES ||
    secret.length !== TOKEN_SECRET_BYTES ||
    keyHash.length !== KEY_HASH_BYTES
  ) {
    throw new RangeError('a token has an id of 16 bytes, a secret of 32 and a key hash of 32');
  }
  if (!Number.isInteger(expiresAtMs / 1_000) || expiresAtMs < 0) {
    throw new RangeError('a token expires at a whole second');
  }
  const bytes = Buffer.alloc(LENGTH_BYTES);
  bytes.set(id);
  bytes.set(secret, SECRET_AT);
  bytes.set(keyHash, KEY_HASH_AT);
  bytes.writeUInt8(ROLE_NUMBERS[role], ROLE_AT);
  bytes.writeBigUInt64BE(BigInt(expiresAtMs / 1_000), EXPIRY_AT);
  bytes.set(checksum(bytes), CHECKSUM_AT);
  const text = PREFIX + bytes.toString('base64url');
  wipe(bytes);
  return text;
}

/**
 * Reads a token back.
 * @param text - as a person copied it: white space around it is fine
 * @returns its fields in arrays of their own; the caller wipes `secret`
 * @throws LamplighterError ERR_TOKEN_FORMAT; nothing of the text is repeated in it
 */
export function decodeToken(text: string): Token {
  const trimmed = text.trim();
  if (!trimmed.startsWith(PREFIX)) throw malformed(`it does not begin with ${PREFIX}`);
  const encoded = trimmed.slice(PREFIX.length);
  const bytes = Buffer.from(encoded, 'base64url');
  try {
    // Node skips what is no base64url: only the one text that encodes these bytes is a token.
    if (bytes.length !== LENGTH_BYTES || bytes.toString('base64url') !== encoded) {
      throw malformed('it is not whole');
    }
    if (!timingSafeEqual(checksum(bytes), bytes.subarray(CHECKSUM_AT))) {
      throw malformed('a character of it was changed');
    }
    const role = ROLES_BY_NUMBER.get(bytes.readUInt8(ROLE_AT));
    const expiryS = bytes.readBigUInt64BE(EXPIRY_AT);
    if (role === undefined || expiryS > MAX_EXPIRY_S) throw malformed('this version does not know its kind');
    return {
      // Not slice: of a Buffer it shares the memory.
      id: Uint8Array.from(bytes.subarray(0, SECRET_AT)),
      secret: Uint8Array.from(bytes.subarray(SECRET_AT, KEY_HASH_AT)),
      keyHash: Uint8Array.from(bytes.subarray(KEY_HASH_AT, ROLE_AT)),
      role,
      expiresAtMs: Number(expiryS) * 1_000,
    };
  } finally {
    wipe(bytes);
  }
}

/** Whether a word can be a token's id in text: 32 lower-case hex digits. To be asked before it becomes part of a path. */
export function isTokenId(word: string): boolean {
  return /^[0-9a-f]{32}$/.test(word);
}

function checksum(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes.subarray(0, CHECKSUM_AT)).digest().subarray(0, CHECKSUM_BYTES);
}

function malformed(why: string): LamplighterError {
  return new LamplighterError('ERR_TOKEN_FORMAT', `this is no enrolment token: ${why}`, {
    hint: 'copy the whole line that `lamplighter token create` printed',
  });
}
