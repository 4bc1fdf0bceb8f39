import type { BigIntStats, Dirent } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { MAX_POLICY_ENTRIES, NO_POLICY, type Policy, type Quota } from './policy.js';
import { codeOf, type EntryKey, entryFile, entryOf, fault, readEntry } from './policy-entry.js';

/** How many files are read at a time: four are the whole thread pool. */
const READ_TOGETHER = 4;
/** Of the faults that are found, those that are told. */
const MAX_FAULTS = 16;

/** Where the policy of a CA is. */
export function policyDirectory(caFolder: string): string {
  return join(caFolder, 'policy');
}

/**
 * Reads the policy of a CA once. Who is revoked is revoked whatever is wrong with its file.
 * @param caFolder - the CA's folder; where it has no folder `policy`, nobody is revoked yet
 * @param onFault - told of everything in the folder that is not as it should be
 * @throws LamplighterError ERR_POLICY_FILE when the folder cannot be read
 */
export async function readPolicy(
  caFolder: string,
  onFault: (fault: LamplighterError) => void = () => undefined,
): Promise<Policy> {
  const directory = policyDirectory(caFolder);
  try {
    await fs.access(directory);
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw fault(directory, `cannot be read (${codeOf(cause)})`, cause);
    await fs.access(caFolder).catch((why: unknown) => {
      throw fault(caFolder, `cannot be read (${codeOf(why)})`, why);
    });
    return NO_POLICY;
  }
  const folder = new PolicyFolder(fs, directory);
  const policy = await folder.read();
  for (const found of folder.faults) onFault(found);
  return policy;
}

/** One entry as it was last seen. */
interface Known extends EntryKey {
  /** Quotas only: what tells that the file is another one than was read. */
  readonly stamp?: string;
  readonly quota?: Partial<Quota>;
  readonly notAfterMs?: number;
  readonly fault?: LamplighterError;
}

/** A folder of policy entries, read again and again: only what is new in it is opened. */
export class PolicyFolder {
  readonly path: string;
  readonly #fs: Environment['fs'];
  readonly #known = new Map<string, Known>();
  readonly #uninspected = new Set<string>();
  #policy: Policy | undefined;
  #strange: readonly LamplighterError[] = [];

  /** @param path - the folder that holds the entries */
  constructor(fileSystem: Environment['fs'], path: string) {
    this.#fs = fileSystem;
    this.path = path;
  }

  /**
   * What the folder says now.
   * @returns the same object as the last time when nothing has changed
   * @throws LamplighterError ERR_POLICY_FILE when the folder cannot be read; state unchanged
   */
  async read(): Promise<Policy> {
    const { names, isWhole } = await this.#list();
    const strange: LamplighterError[] = [];
    const tell = (found: () => LamplighterError): void => {
      if (strange.length < MAX_FAULTS) strange.push(found());
    };
    let changed = this.#policy === undefined;
    // What is not listed because there is too much of it is not gone.
    for (const name of isWhole ? [...this.#known.keys()] : []) {
      if (names.has(name)) continue;
      this.#known.delete(name);
      this.#uninspected.delete(name);
      changed = true;
    }
    const quotas: [string, EntryKey][] = [];
    for (const name of names) {
      const key = entryOf(name);
      if (key === undefined) tell(() => fault(join(this.path, name), 'is no entry of a policy'));
      else if (entryFile(key) !== name) {
        tell(() => fault(join(this.path, name), `should be called ${entryFile(key)}`));
      }
      if (key?.kind === 'quota') {
        // Two files of one name would be two quotas. Two revocations of one name are one.
        if (entryFile(key) === name) quotas.push([name, key]);
      } else if (key !== undefined) {
        const known = this.#known.get(name);
        // What was wrong with a file may have been put right.
        if (known === undefined || known.fault !== undefined) this.#uninspected.add(name);
        if (known !== undefined) continue;
        this.#known.set(name, key);
        changed = true;
      }
    }
    await inTurns(quotas, async ([name, key]) => {
      if (await this.#readQuota(name, key)) changed = true;
    });
    this.#strange = isWhole
      ? strange
      : [
          fault(
            this.path,
            `has more than ${MAX_POLICY_ENTRIES} entries: what is beyond them is not in force`,
          ),
          ...strange,
        ];
    if (changed || this.#policy === undefined) this.#policy = policyOf(this.#known.values());
    return this.#policy;
  }

  /**
   * Looks at what stands in the files of revocations, which are in force already, for its faults and for when they can go.
   * @param most - how many files
   * @returns whether there are more to look at
   */
  async inspect(most: number): Promise<boolean> {
    const some = [...this.#uninspected].slice(0, most);
    await inTurns(some, async (name) => {
      const known = this.#known.get(name);
      this.#uninspected.delete(name);
      if (known === undefined) return;
      const { kind, of } = known;
      const seen = await this.#details(name, kind);
      this.#known.set(name, { kind, of, ...seen });
    });
    return this.#uninspected.size > 0;
  }

  /** The names of the files whose certificates came to their end before a moment, among those looked at. */
  endedBefore(realtimeMs: number): string[] {
    return [...this.#known]
      .filter(([, { kind, notAfterMs = Infinity }]) => kind === 'serial' && notAfterMs < realtimeMs)
      .map(([name]) => name);
  }

  /** What is not as it should be, as of the last reading; at most {@link MAX_FAULTS}. */
  get faults(): readonly LamplighterError[] {
    const faults = [...this.#strange];
    for (const { fault: found } of this.#known.values()) {
      if (faults.length >= MAX_FAULTS) break;
      if (found !== undefined) faults.push(found);
    }
    return faults;
  }

  async #list(): Promise<{ names: Set<string>; isWhole: boolean }> {
    const names = new Set<string>();
    try {
      const directory: AsyncIterable<Dirent> = await this.#fs.opendir(this.path, { bufferSize: 1_024 });
      for await (const { name } of directory) {
        // Not yet renamed into its place, or not ours.
        if (name.startsWith('.') || name.endsWith('.tmp')) continue;
        if (names.size >= MAX_POLICY_ENTRIES) return { names, isWhole: false };
        names.add(name);
      }
    } catch (cause) {
      throw fault(this.path, `cannot be read (${codeOf(cause)})`, cause);
    }
    return { names, isWhole: true };
  }

  /** @returns whether it is another quota than before */
  async #readQuota(name: string, key: EntryKey): Promise<boolean> {
    const stamp = await this.#fs.stat(join(this.path, name), { bigint: true }).then(stampOf, codeOf);
    const known = this.#known.get(name);
    if (known?.stamp === stamp) return false;
    this.#known.set(name, { ...key, stamp, ...(await this.#details(name, 'quota')) });
    return true;
  }

  async #details(
    name: string,
    kind: EntryKey['kind'],
  ): Promise<Pick<Known, 'quota' | 'notAfterMs' | 'fault'>> {
    try {
      const { quota, notAfter } = await readEntry(this.#fs, join(this.path, name), kind);
      return {
        ...(quota !== undefined && { quota }),
        ...(notAfter !== undefined && { notAfterMs: Date.parse(notAfter) }),
      };
    } catch (error) {
      if (!(error instanceof LamplighterError)) throw error;
      // Removed since it was listed: the next reading finds that.
      return codeOf(error.cause) === 'ENOENT' ? {} : { fault: error };
    }
  }
}

function policyOf(entries: Iterable<Known>): Policy {
  const revokedNames = new Set<string>();
  const revokedSerials = new Set<string>();
  const quotas = new Map<string, Partial<Quota>>();
  for (const { kind, of, quota } of entries) {
    if (kind === 'name') revokedNames.add(of);
    else if (kind === 'serial') revokedSerials.add(of);
    else if (quota !== undefined) quotas.set(of, quota);
  }
  return { revokedNames, revokedSerials, quotas };
}

const stampOf = ({ ino, size, ctimeNs }: BigIntStats): string => `${ino} ${size} ${ctimeNs}`;

async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: READ_TOGETHER }, worker));
}
