import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Policy } from '../../identity/policy.js';
import { replaceDurably } from '../../local/durable-file.js';
import type { Environment } from '../../local/environment.js';
import { encodePolicy } from '../../wire/policy.js';
import { decodePolicy } from '../../wire/policy-reader.js';

/** A hundred thousand names with their quotas are under 20 MiB. */
const MAX_BYTES = 32 * 1024 * 1024;

/** The policy that a node was told last, in its state folder: it is in force from the next start on. */
export class StoredPolicy {
  readonly path: string;
  readonly #environment: Pick<Environment, 'fs'>;
  #next: Policy | undefined;
  #saving: Promise<void> | undefined;

  constructor(stateFolder: string, environment: Pick<Environment, 'fs'>) {
    this.path = join(stateFolder, 'policy.json');
    this.#environment = environment;
  }

  /**
   * @returns the policy and when it was stored, ms since 1970; undefined when none is there
   * @throws LamplighterError ERR_STATE_FILE when it is there and cannot be read, or is damaged
   */
  async load(): Promise<{ policy: Policy; savedMs: number } | undefined> {
    const { fs } = this.#environment;
    try {
      const { size, mtimeMs } = await fs.stat(this.path);
      if (size > MAX_BYTES) throw this.#fault('is too long');
      return { policy: decodePolicy(await fs.readFile(this.path, 'utf8')), savedMs: mtimeMs };
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
      throw this.#fault('cannot be read, or is damaged', cause);
    }
  }

  /**
   * Stores a policy, durably. One write at a time; of those that come meanwhile only the last is written.
   * @throws LamplighterError ERR_STATE_FILE; what was stored before stays
   */
  async save(policy: Policy): Promise<void> {
    this.#next = policy;
    this.#saving ??= this.#saveAll().finally(() => {
      this.#saving = undefined;
    });
    await this.#saving;
  }

  async #saveAll(): Promise<void> {
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined;
      try {
        await replaceDurably(this.#environment.fs, this.path, Buffer.concat(encodePolicy(next, 0)));
      } catch (cause) {
        throw this.#fault('cannot be written', cause);
      }
    }
  }

  #fault(what: string, cause?: unknown): LamplighterError {
    return new LamplighterError('ERR_STATE_FILE', `the stored policy ${this.path} ${what}`, {
      hint: 'the state folder must belong to the node; the file is written anew when the authority is reached',
      ...(cause === undefined ? {} : { cause }),
    });
  }
}
