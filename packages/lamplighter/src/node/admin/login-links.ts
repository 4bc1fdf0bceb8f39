import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { absent, makePrivateDirectory, writeFilesTogether } from '../../identity/key-files.js';

// Implementation constants.
export const LINK_LIMITS = { ttlMs: 3_600_000, most: 16 } as const;
const TOKEN_BYTES = 32;
const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const LINK_FILE = /^[0-9a-f]{64}$/;
const ADDRESS_FILE = 'address';
const MAX_FILE_BYTES = 4_096;

/**
 * Where the command line and a running node meet: a folder in the node's state folder. For each login link it holds one file of mode
 * 0600 that is named after the SHA-256 of the link's secret and says when it ends; and one that says where the dashboard is.
 *
 * Nothing is ever locked: a link is used by whoever removes its file, so exactly once, also by two requests at once.
 */
export class LoginLinks {
  readonly #folder: string;

  /** @param state - the node's state folder */
  constructor(state: string) {
    this.#folder = join(state, 'login');
  }

  /**
   * Says where the dashboard is, for whoever makes links. Nothing here must survive a power cut.
   * @param url - of the admin listener
   * @throws LamplighterError ERR_STATE_FILE
   */
  async announce(url: string): Promise<void> {
    try {
      await makePrivateDirectory(this.#folder);
      await this.#prune(Date.now());
      const path = join(this.#folder, ADDRESS_FILE);
      await writeFilesTogether([{ path, content: `${url}\n`, mode: 0o600, replace: true }]);
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  /** The dashboard is gone. A folder that went before it is no fault. */
  async withdraw(): Promise<void> {
    await fs.rm(join(this.#folder, ADDRESS_FILE), { force: true }).catch(() => undefined);
  }

  /**
   * Makes a link that works once.
   * @param ttlMs - for how long, up to an hour
   * @param nowMs - since 1970
   * @returns the whole address; its secret is kept nowhere
   * @throws LamplighterError ERR_STATE_FILE when the node is not running or the folder cannot be used; ERR_QUOTA when 16 wait already
   * @throws RangeError on another time to live
   */
  async create(ttlMs: number, nowMs: number): Promise<{ url: URL; expiresAtMs: number }> {
    if (!(ttlMs > 0 && ttlMs <= LINK_LIMITS.ttlMs)) throw new RangeError('a link lives up to an hour');
    try {
      const url = await this.#address();
      if ((await this.#prune(nowMs)) >= LINK_LIMITS.most) {
        throw new LamplighterError('ERR_QUOTA', `there are ${LINK_LIMITS.most} links that nobody has used`, {
          hint: 'use one of them, or wait until they have expired',
        });
      }
      const token = randomBytes(TOKEN_BYTES).toString('base64url');
      const expiresAtMs = nowMs + ttlMs;
      const path = join(this.#folder, fileOf(token));
      await writeFilesTogether([{ path, content: `${expiresAtMs}\n`, mode: 0o600 }]);
      return { url: new URL(`/login#${token}`, url), expiresAtMs };
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  /**
   * Uses a link up.
   * @param token - from outside
   * @param nowMs - since 1970
   * @returns whether it was good; if so it never will be again
   * @throws LamplighterError ERR_STATE_FILE when the folder cannot be used
   */
  async take(token: string, nowMs: number): Promise<boolean> {
    if (!TOKEN.test(token)) return false;
    const path = join(this.#folder, fileOf(token));
    try {
      const expiresAtMs = await readExpiry(path);
      // Whoever removes it has it. Longer than links live is a clock set back, or not of our making.
      const isMine = expiresAtMs !== undefined && (await remove(path));
      return isMine && nowMs < expiresAtMs && expiresAtMs - nowMs <= LINK_LIMITS.ttlMs;
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  async #address(): Promise<URL> {
    const text = await readShort(join(this.#folder, ADDRESS_FILE));
    const url = text !== undefined && URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
    if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
    throw new LamplighterError(
      'ERR_STATE_FILE',
      `no node is running with the state folder of ${this.#folder}`,
      {
        hint: 'start it with `lamplighter node --config FILE`, with this same configuration',
      },
    );
  }

  /** Removes what has expired, and what a killed writer left. @returns how many links are left */
  async #prune(nowMs: number): Promise<number> {
    let left = 0;
    for (const name of await fs.readdir(this.#folder)) {
      const path = join(this.#folder, name);
      if (LINK_FILE.test(name)) {
        const expiresAtMs = (await readExpiry(path)) ?? 0;
        if (nowMs < expiresAtMs && expiresAtMs - nowMs <= LINK_LIMITS.ttlMs) left += 1;
        else await remove(path);
      } else if (name.endsWith('.tmp')) {
        const stat = await fs.lstat(path).catch(absent);
        if (stat !== undefined && nowMs - stat.mtimeMs > LINK_LIMITS.ttlMs) await remove(path);
      }
    }
    return left;
  }

  #unusable(cause: unknown): unknown {
    if (cause instanceof LamplighterError || cause instanceof RangeError) return cause;
    const why = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    return new LamplighterError('ERR_STATE_FILE', `${this.#folder} cannot be used${why}`, {
      hint: 'the state folder must be writable: use the node’s user, or root',
      cause,
    });
  }
}

/** Named by its hash: looking for a file takes a time that tells nothing of a secret. */
function fileOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** @returns whether it was this call that removed it */
async function remove(path: string): Promise<boolean> {
  return fs.unlink(path).then(
    () => true,
    (cause: unknown) => {
      absent(cause);
      return false;
    },
  );
}

/** @returns ms since 1970; undefined when there is no such file, or it is none of ours */
async function readExpiry(path: string): Promise<number | undefined> {
  const text = await readShort(path);
  return text !== undefined && /^[0-9]{1,15}\n$/.test(text) ? Number(text) : undefined;
}

async function readShort(path: string): Promise<string | undefined> {
  const file = await fs
    .open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
    .catch(absent);
  if (file === undefined) return undefined;
  try {
    const stat = await file.stat();
    // Nobody but its owner may have written it.
    if (!stat.isFile() || (stat.mode & 0o022) !== 0 || stat.size > MAX_FILE_BYTES) return undefined;
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
