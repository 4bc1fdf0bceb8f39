import { LamplighterError, wipe } from '@lamplighter/core';
import { alternativeNames, usage } from './certificate-request.js';
import { isName, type Role } from './roles.js';
import { encodeToken, newToken, tokenKeys, wipeTokenKeys } from './token.js';
import { TokenFolder } from './token-folder.js';
import { MAX_USES, type TokenRecord } from './token-record.js';

/** A token to be made. */
export interface NewToken {
  readonly role: Role;
  /** The one name it gives; only with one use. */
  readonly name?: string;
  /** Of the names it makes: 1..52 characters, see `isName`. The role unless told. */
  readonly prefix?: string;
  /** For office and relay, which need at least one of either, and only for them. */
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** How long it can be used, 1 s .. 30 days. */
  readonly ttlMs: number;
  /** 1..1,000. */
  readonly uses: number;
  /** How long its certificates live; the enrolling node's usual life unless told. */
  readonly lifeMs?: number;
  readonly isRevoked: (name: string) => boolean;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** A secret that lies about: nobody needs one for longer. */
const MAX_TTL_MS = 30 * 86_400_000;
/** What the CA puts behind a prefix: a hyphen and ten digits. */
const MADE_SUFFIX = '-0123456789';

/**
 * Makes a token, and keeps of it in the CA's folder what is needed to check it.
 * @param keyHash - `Authority.keyHash`
 * @returns the token, which is kept nowhere, and its record without the proof key's bytes
 * @throws LamplighterError ERR_USAGE for what does not go together; ERR_REVOKED for a name that is revoked; ERR_TOKEN_FILE when it
 *   cannot be kept. Nothing is changed then
 */
export async function createToken(
  authorityFolder: string,
  keyHash: Uint8Array,
  asked: NewToken,
): Promise<{ text: string; record: Omit<TokenRecord, 'proofKey'> }> {
  check(asked);
  const { role, name, prefix, dns, ip, uses, lifeMs, nowMs, ttlMs } = asked;
  const expiresAtMs = Math.ceil((nowMs + ttlMs) / 1_000) * 1_000;
  const token = newToken({ keyHash, role, expiresAtMs });
  const keys = tokenKeys(token.secret);
  const record = {
    id: Buffer.from(token.id).toString('hex'),
    role,
    ...(name !== undefined && { name }),
    ...(prefix !== undefined && { prefix }),
    dns,
    ip,
    ...(lifeMs !== undefined && { lifeMs }),
    createdAtMs: nowMs,
    expiresAtMs,
    uses,
  };
  try {
    await new TokenFolder(authorityFolder).add({ ...record, proofKey: keys.proof });
    return { text: encodeToken(token), record };
  } finally {
    wipeTokenKeys(keys);
    wipe(token.secret);
  }
}

function check({ role, name, prefix, dns, ip, uses, ttlMs, isRevoked }: NewToken): void {
  if (name !== undefined && prefix !== undefined) throw usage('--name and --prefix exclude each other');
  if (!Number.isInteger(uses) || uses < 1 || uses > MAX_USES) {
    throw usage(`--uses is a whole number, 1 to ${MAX_USES}`);
  }
  if (name !== undefined && uses > 1) {
    throw usage(
      '--name is one machine’s, and --uses is more',
      'use --prefix, or make a token for each machine',
    );
  }
  if (prefix !== undefined && !isName(prefix + MADE_SUFFIX)) {
    throw usage('a prefix is 1 to 52 of a-z, 0-9, dot and hyphen, and begins with a letter or digit');
  }
  if (ttlMs > MAX_TTL_MS)
    throw usage('--ttl is at most 30d', 'a token is a secret: make it when it is needed');
  // Refuses what no certificate could carry, before somebody stands at a machine with it.
  alternativeNames({ role, name: name ?? (prefix ?? role) + MADE_SUFFIX, dns, ip });
  if (name !== undefined && isRevoked(name)) {
    throw new LamplighterError('ERR_REVOKED', `the name ${name} is revoked`, {
      hint: `\`lamplighter ca unrevoke --name ${name}\` gives the name free; certificates revoked with it stay so`,
    });
  }
}
