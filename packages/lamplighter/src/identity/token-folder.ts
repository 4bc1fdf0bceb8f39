import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { makePrivateDirectory, writeFilesTogether } from './key-files.js';
import { isTokenId } from './token.js';
import { isAbsence, readTokenRecord, readTokenUse, tokenFolder, unusable } from './token-files.js';
import { encodeTokenRecord, encodeTokenUse, type TokenRecord, type TokenUse } from './token-record.js';

// Implementation constants.
const MAX_TOKENS = 10_000;
const NAME_TRIES = 8;

/** A place among a token's uses that is taken. */
export interface SpentUse {
  /** 0..uses-1. */
  readonly number: number;
  readonly name: string;
  /** The same CSR had it before: its machine lost the answer. */
  readonly isRepeated: boolean;
}

/**
 * The tokens of a CA: one small file a token, one a use, one that revokes.
 *
 * Nothing is ever locked: a use is the exclusive creation (link of a finished file) of `ID.use-N`, so that of several processes, on
 * several hosts that share the folder, exactly one has it.
 */
export class TokenFolder {
  readonly #folder: string;

  /** @param authorityFolder - the CA's folder */
  constructor(authorityFolder: string) {
    this.#folder = tokenFolder(authorityFolder);
  }

  /**
   * Keeps a new token, durably.
   * @throws LamplighterError ERR_TOKEN_FILE when there are 10,000 already or it cannot be written; nothing is changed then
   */
  async add(record: TokenRecord): Promise<void> {
    try {
      await makePrivateDirectory(this.#folder);
      const tokens = (await fs.readdir(this.#folder)).filter((file) => file.endsWith('.json'));
      if (tokens.length >= MAX_TOKENS) {
        throw new LamplighterError('ERR_TOKEN_FILE', `there are ${MAX_TOKENS} tokens in ${this.#folder}`, {
          hint: 'remove the files of those that are of no use any more',
        });
      }
      await this.#create(`${record.id}.json`, encodeTokenRecord(record));
    } catch (cause) {
      throw unusable(this.#folder, cause);
    }
  }

  /**
   * The token of an id, if it may be used now.
   * @param nowMs - milliseconds since 1970
   * @throws LamplighterError ERR_TOKEN_UNKNOWN, ERR_TOKEN_REVOKED, ERR_TOKEN_EXPIRED; ERR_TOKEN_FILE when it cannot be read
   */
  async usable(id: string, nowMs: number): Promise<TokenRecord> {
    const record = await readTokenRecord(this.#folder, id);
    if (record === undefined) throw unknown(id);
    if (await this.#isThere(`${id}.revoked`)) {
      throw new LamplighterError('ERR_TOKEN_REVOKED', 'the token was revoked', { hint: ANOTHER });
    }
    if (nowMs >= record.expiresAtMs) {
      const when = new Date(record.expiresAtMs).toISOString();
      throw new LamplighterError('ERR_TOKEN_EXPIRED', `the token expired at ${when}`, { hint: ANOTHER });
    }
    return record;
  }

  /**
   * Takes one use of a token, durably, for one CSR. The CSR that has one already gets the same again.
   * @param csrHash - SHA-256 of the CSR (DER), hex
   * @param options - `mayBe`: whether a name may be given; `nowMs`: since 1970
   * @throws LamplighterError ERR_TOKEN_SPENT; ERR_REVOKED when the token's one name, or the name given before, may not be given;
   *   ERR_TOKEN_FILE. No use is taken then
   */
  async spend(
    record: TokenRecord,
    csrHash: string,
    options: { readonly mayBe: (name: string) => boolean; readonly nowMs: number },
  ): Promise<SpentUse> {
    // In order, and the first that is free: so one CSR that comes twice at once always meets itself.
    for (let number = 0; number < record.uses; number += 1) {
      const taken = await readTokenUse(this.#folder, record.id, number);
      if (taken === undefined) {
        const name = nameFor(record, options.mayBe);
        const text = encodeTokenUse({ csrHash, name, atMs: options.nowMs });
        if (await this.#createIfAbsent(`${record.id}.use-${number}`, text)) {
          return { number, name, isRepeated: false };
        }
        // Somebody else has it since: who?
        number -= 1;
      } else if (taken.csrHash === csrHash) {
        if (!options.mayBe(taken.name)) throw revokedName(taken.name);
        return { number, name: taken.name, isRepeated: true };
      }
    }
    throw new LamplighterError(
      'ERR_TOKEN_SPENT',
      record.uses === 1 ? 'the token was used before' : 'all uses of the token are taken',
      { hint: `${ANOTHER}; if nobody of yours used this one, somebody else did: revoke what it gave` },
    );
  }

  /** Notes which certificate a use led to. @throws LamplighterError ERR_TOKEN_FILE */
  async noteIssued(id: string, number: number, use: TokenUse): Promise<void> {
    const path = join(this.#folder, `${id}.use-${number}`);
    await writeFilesTogether([{ path, content: encodeTokenUse(use), mode: 0o600 }], true).catch(
      (cause: unknown) => {
        throw unusable(path, cause);
      },
    );
  }

  /**
   * From now on the token is refused; what it has given stays.
   * @throws LamplighterError ERR_TOKEN_UNKNOWN; ERR_TOKEN_FILE
   */
  async revoke(id: string): Promise<void> {
    if (!isTokenId(id) || !(await this.#isThere(`${id}.json`))) throw unknown(id);
    await this.#createIfAbsent(`${id}.revoked`, '');
  }

  #isThere(file: string): Promise<boolean> {
    return fs.lstat(join(this.#folder, file)).then(
      () => true,
      (cause: unknown) => {
        if (isAbsence(cause)) return false;
        throw unusable(this.#folder, cause);
      },
    );
  }

  #create(file: string, content: string): Promise<void> {
    return writeFilesTogether([{ path: join(this.#folder, file), content, mode: 0o600 }]);
  }

  /** @returns false when it was there before */
  async #createIfAbsent(file: string, content: string): Promise<boolean> {
    try {
      await this.#create(file, content);
      return true;
    } catch (cause) {
      if (cause instanceof LamplighterError && cause.code === 'ERR_FILE_EXISTS') return false;
      throw unusable(join(this.#folder, file), cause);
    }
  }
}

const ANOTHER = 'make another with `lamplighter token create`';

/** The token's name, or a new one that the CA makes: 40 random bits, so that machines of one prefix do not meet. */
function nameFor({ name, prefix, role }: TokenRecord, mayBe: (name: string) => boolean): string {
  if (name !== undefined) {
    if (!mayBe(name)) throw revokedName(name);
    return name;
  }
  for (let tries = 0; tries < NAME_TRIES; tries += 1) {
    const made = `${prefix ?? role}-${randomBytes(5).toString('hex')}`;
    if (mayBe(made)) return made;
  }
  throw revokedName(`${prefix ?? role}-…`);
}

function revokedName(name: string): LamplighterError {
  return new LamplighterError('ERR_REVOKED', `the name ${name} is revoked`, {
    hint: `\`lamplighter ca unrevoke --name ${name}\` gives the name free; certificates revoked with it stay so`,
  });
}

function unknown(id: string): LamplighterError {
  const shown = isTokenId(id) ? ` ${id}` : '';
  return new LamplighterError('ERR_TOKEN_UNKNOWN', `there is no token${shown} here`, {
    hint: 'see `lamplighter token list`; tokens are known to the CA that made them',
  });
}
