import { LamplighterError } from '@lamplighter/core';
import { MAX_POLICY_ENTRIES, normalSerial, type Policy, type Quota, readQuota } from '../identity/policy.js';
import { isName } from '../identity/roles.js';

/**
 * A policy that is being read, line by line (wire/policy.ts). Whatever cannot be right is an error, and what was believed before
 * stays as it was.
 */
export class PolicyReader {
  #policy: Policy | undefined;
  #sequence = -1;
  #told: { names: Set<string>; serials: Set<string>; quotas: Map<string, Partial<Quota>> } | undefined;

  /**
   * Takes one line.
   * @param line - without its line feed
   * @returns the policy that is to be believed from now on; undefined when the line made no new one
   * @throws LamplighterError ERR_UPSTREAM_PROTOCOL; state unchanged but for what is not whole
   */
  read(line: string): Policy | undefined {
    const { type, sequence, ...rest } = objectOf(parse(line));
    if (type === 'part') {
      this.#part(rest);
      return undefined;
    }
    if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence))
      throw wrong('a line has no sequence');
    switch (type) {
      case 'snapshot':
        if (sequence <= this.#sequence) throw wrong('the sequence does not rise');
        this.#sequence = sequence;
        this.#told = { names: new Set(), serials: new Set(), quotas: new Map() };
        return undefined;
      case 'complete':
        return this.#complete(sequence, rest['entries']);
      case 'change':
        return this.#change(sequence, rest);
      case 'alive':
        if (this.#told !== undefined || sequence !== this.#sequence) throw wrong('a change is missing');
        return undefined;
      default:
        throw wrong('a line has an unknown type');
    }
  }

  #part(part: Fields): void {
    if (this.#told === undefined) throw wrong('a part without a snapshot');
    const { names, serials, quotas } = entriesOf(part);
    const count = names.length + serials.length + quotas.size;
    const told = this.#told.names.size + this.#told.serials.size + this.#told.quotas.size;
    if (count === 0) throw wrong('a part of nothing');
    if (told + count > MAX_POLICY_ENTRIES) throw wrong(`more than ${MAX_POLICY_ENTRIES} entries`);
    for (const name of names) this.#told.names.add(name);
    for (const serial of serials) this.#told.serials.add(serial);
    for (const [name, quota] of quotas) this.#told.quotas.set(name, quota);
  }

  #complete(sequence: number, entries: unknown): Policy {
    const told = this.#told;
    if (told === undefined || sequence !== this.#sequence) throw wrong('an end without its beginning');
    return this.#believe(
      { revokedNames: told.names, revokedSerials: told.serials, quotas: told.quotas },
      sequence,
      entries,
    );
  }

  #change(sequence: number, { after, add, remove, entries }: Fields): Policy {
    const before = this.#policy;
    if (before === undefined || this.#told !== undefined) throw wrong('a change before the whole');
    if (after !== this.#sequence || sequence <= after) throw wrong('a change is missing');
    const more = entriesOf(objectOf(add));
    const { names, serials, quotas: gone } = objectOf(remove);
    const quotas = new Map(before.quotas);
    for (const name of listOf(gone, isName)) quotas.delete(name);
    for (const [name, quota] of more.quotas) quotas.set(name, quota);
    const policy = {
      revokedNames: changed(before.revokedNames, more.names, listOf(names, isName)),
      revokedSerials: changed(before.revokedSerials, more.serials, listOf(serials, isSerial)),
      quotas,
    };
    return this.#believe(policy, sequence, entries);
  }

  #believe(policy: Policy, sequence: number, entries: unknown): Policy {
    const count = policy.revokedNames.size + policy.revokedSerials.size + policy.quotas.size;
    if (count !== entries || count > MAX_POLICY_ENTRIES) throw wrong('not as many entries as were told');
    this.#sequence = sequence;
    this.#told = undefined;
    this.#policy = policy;
    return policy;
  }
}

/**
 * Reads a policy that was written down whole.
 * @param text - lines as `encodePolicy` makes them
 * @throws LamplighterError ERR_UPSTREAM_PROTOCOL when it is not exactly one whole policy
 */
export function decodePolicy(text: string): Policy {
  const lines = text.split('\n');
  if (lines.pop() !== '') throw wrong('the last line is not whole');
  const reader = new PolicyReader();
  let policy: Policy | undefined;
  for (const line of lines) {
    if (policy !== undefined) throw wrong('more than one policy');
    policy = reader.read(line);
  }
  if (policy === undefined) throw wrong('it is not whole');
  return policy;
}

type Fields = Readonly<Record<string, unknown>>;

interface Entries {
  readonly names: readonly string[];
  readonly serials: readonly string[];
  readonly quotas: ReadonlyMap<string, Partial<Quota>>;
}

function entriesOf({ names, serials, quotas = {} }: Fields): Entries {
  const read = new Map<string, Partial<Quota>>();
  for (const [name, value] of Object.entries(objectOf(quotas))) {
    const quota = readQuota(value);
    if (!isName(name) || quota === undefined) throw wrong('a quota is none');
    read.set(name, quota);
  }
  return { names: listOf(names, isName), serials: listOf(serials, isSerial), quotas: read };
}

function listOf(value: unknown, isGood: (text: string) => boolean): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw wrong('a list is none');
  return value.map((item: unknown) => {
    if (typeof item !== 'string' || !isGood(item)) throw wrong('a name or serial number is none');
    return item;
  });
}

const isSerial = (text: string): boolean => normalSerial(text) === text;

function changed(
  before: ReadonlySet<string>,
  add: readonly string[],
  remove: readonly string[],
): Set<string> {
  const after = new Set(before);
  for (const item of remove) after.delete(item);
  for (const item of add) after.add(item);
  return after;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw wrong('a line is not JSON');
  }
}

function objectOf(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('an object is none');
  return value as Fields;
}

function wrong(what: string): LamplighterError {
  return new LamplighterError('ERR_UPSTREAM_PROTOCOL', `the policy is not as it should be: ${what}`, {
    hint: 'check that the authority is a lamplighter node of this version',
  });
}
