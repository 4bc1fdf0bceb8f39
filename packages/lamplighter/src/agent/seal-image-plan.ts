import { basename, dirname, join } from 'node:path';
import type { Environment } from '../local/environment.js';
import { isThere } from '../local/is-there.js';

/** What of one agent or node lies on a disk. Paths are absolute. */
export interface SealedPlace {
  readonly kind: 'agent' | 'node';
  /** Its configuration; stays. */
  readonly config: string;
  readonly state: string;
  /** Keys and certificates it proves itself with; one file may be both. */
  readonly identities: readonly { readonly key: string; readonly cert: string }[];
  /** Whom it trusts; stay. */
  readonly trust: readonly string[];
  /** What it says of itself while it runs. */
  readonly report?: string;
  /** A node's record of beacons. */
  readonly audit?: string;
  /** Where a node finds its fleet's CA, if it is there. */
  readonly authority?: string;
}

/** One file that an image must not hold. */
export interface Leaving {
  readonly path: string;
  /** What it is, for people. */
  readonly what: string;
  /** Whether its bytes are overwritten before its name goes. */
  readonly isSecret: boolean;
}

/** One file that stays. `fine`: the same in every copy, and meant to be; `look`: nobody here knows what it is. */
export interface Remaining {
  readonly path: string;
  readonly why: string;
  readonly is: 'fine' | 'look';
}

/** The file that says that a state folder was sealed, and when. Counts only while there is no seed beside it. */
export const SEALED_NAME = 'sealed';

const HALF_WRITTEN = /\.[0-9a-f]{12}\.part$/;
const AUDIT_FILE = /\.jsonl(\.\d+|\.lock)?$/;

/** What `state` holds by name, after DESIGN section 7 and the parts that write there. */
const IN_STATE: readonly Named[] = [
  { name: /^seed(\.new)?$/, what: 'the machine seed', leaves: 'secret' },
  { name: /^start-number(\.new)?$/, what: 'how often this node was started', leaves: 'plain' },
  { name: /^agent\.json(\.new)?$/, what: 'what the agent did last', leaves: 'plain' },
  { name: /^seed\.lock$/, what: 'a lock, empty' },
  { name: /^policy\.json(\.new)?$/, what: 'whom the fleet has revoked; no secret' },
  { name: new RegExp(`^${SEALED_NAME}$`), what: 'says that this was sealed' },
];

/** What the folder of an agent's configuration holds, after `enroll-files.ts` and deploy/. */
const IN_CONFIGURATION: readonly Named[] = [
  { name: /^identity\.pem(\.next)?$/, what: 'the key and certificate of this machine', leaves: 'secret' },
  { name: /^identity\.pending(\.new)?$/, what: 'the key of an enrolment that did not end', leaves: 'secret' },
  { name: /^token$/, what: 'a token of enrolment', leaves: 'secret' },
  { name: /^enroll\.lock$/, what: 'a lock, empty' },
  { name: /^enroll\.env$/, what: 'where machines enrol' },
];

interface Named {
  readonly name: RegExp;
  readonly what: string;
  readonly leaves?: 'secret' | 'plain';
}

/**
 * Looks through a place, changing nothing.
 * @returns what has to leave, the seed and the keys first, and what stays; each path once
 */
export async function planSeal(
  place: SealedPlace,
  fs: Environment['fs'],
): Promise<{ readonly leaving: readonly Leaving[]; readonly remaining: readonly Remaining[] }> {
  const { kind, state, config, identities, trust, report, audit } = place;
  const leaving = new Map<string, Leaving>();
  const remaining = new Map<string, Remaining>();
  const leave = (path: string, what: string, isSecret: boolean): void => {
    if (!leaving.has(path)) leaving.set(path, { path, what, isSecret });
  };
  const stay = (path: string, why: string): void => void remaining.set(path, { path, why, is: 'fine' });

  for (const { key, cert } of identities) {
    const both = key === cert;
    await each(await namesOf(key, fs), fs, (path) =>
      leave(
        path,
        both ? 'the key and certificate it proves itself with' : 'the key it proves itself with',
        true,
      ),
    );
    await each([`${key}.next`], fs, (path) => leave(path, 'a key that was being replaced', true));
    if (!both) {
      await each(await namesOf(cert, fs), fs, (path) => leave(path, 'the certificate of that key', false));
    }
  }
  await each([config], fs, (path) => stay(path, 'the configuration: the same for every copy'));
  const enrolled = join(dirname(config), 'identity.pem');
  const [identity] = identities;
  if (kind === 'agent' && identity !== undefined && identity.key !== enrolled) {
    const why = `names the key ${identity.key}, but enrolment writes ${enrolled}: correct one or the other`;
    remaining.set(config, { path: config, why, is: 'look' });
  }
  await each(trust, fs, (path) => stay(path, 'whom to trust: no secret'));
  const folders = new Map([[state, IN_STATE]]);
  if (kind === 'agent')
    folders.set(dirname(config), [...(folders.get(dirname(config)) ?? []), ...IN_CONFIGURATION]);
  for (const [folder, known] of folders) {
    for (const name of await namesIn(folder, fs)) {
      const path = join(folder, name);
      const one = known.find((entry) => entry.name.test(name));
      if (one?.leaves !== undefined) leave(path, one.what, one.leaves === 'secret');
      else if (HALF_WRITTEN.test(name)) leave(path, 'a key or certificate half written', true);
      else if (one !== undefined) stay(path, one.what);
    }
  }
  for (const folder of new Set(identities.map(({ key }) => dirname(key)))) {
    for (const name of await namesIn(folder, fs)) {
      if (HALF_WRITTEN.test(name)) leave(join(folder, name), 'a key or certificate half written', true);
    }
  }
  const login = join(state, 'login');
  for (const name of await namesIn(login, fs)) leave(join(login, name), 'a way into the dashboard', true);
  if (audit !== undefined) {
    for (const name of await namesIn(audit, fs)) {
      if (AUDIT_FILE.test(name)) leave(join(audit, name), 'the record of beacons', false);
    }
  }
  if (report !== undefined) await each([report], fs, (path) => leave(path, 'what the agent did last', false));

  for (const name of await namesIn(state, fs)) {
    const path = join(state, name);
    if (leaving.has(path) || remaining.has(path) || path === login || path === audit) continue;
    remaining.set(path, {
      path,
      why: `not known to Lamplighter, though in the state of the ${kind}`,
      is: 'look',
    });
  }
  return { leaving: [...leaving.values()], remaining: [...remaining.values()] };
}

/**
 * Folders beside a state folder that look like the state of another node or like a CA, and belong to no place that is sealed.
 * @returns their paths
 */
export async function unsealedNeighbours(
  places: readonly SealedPlace[],
  fs: Environment['fs'],
): Promise<readonly string[]> {
  const sealed = new Set(
    places.flatMap(({ state, audit }) => (audit === undefined ? [state] : [state, audit])),
  );
  const found: string[] = [];
  for (const { kind, state } of places) {
    if (kind !== 'agent') continue;
    for (const name of await namesIn(dirname(state), fs)) {
      const path = join(dirname(state), name);
      if (!name.startsWith(`${basename(state)}-`) || sealed.has(path)) continue;
      const inside = new Set(await namesIn(path, fs));
      if (['seed', 'ca.key', 'start-number'].some((file) => inside.has(file))) found.push(path);
    }
  }
  return found;
}

/** The key of a CA where a place would have one; undefined where there is none. */
export async function keyOfCa(
  { state, trust, authority }: SealedPlace,
  fs: Environment['fs'],
): Promise<string | undefined> {
  const folders = [state, join(state, 'ca'), ...trust.map((path) => dirname(path)), authority ?? state];
  for (const folder of folders) {
    const path = join(folder, 'ca.key');
    if (await isThere({ fs }, path)) return path;
  }
  return undefined;
}

/** A file and, where it is a link, what it leads to: both go. */
async function namesOf(path: string, fs: Environment['fs']): Promise<readonly string[]> {
  const stat = await fs.lstat(path).catch(() => undefined);
  if (stat?.isSymbolicLink() !== true) return [path];
  const real = await fs.realpath(path).catch(() => undefined);
  return real === undefined ? [path] : [real, path];
}

async function each(
  paths: readonly string[],
  fs: Environment['fs'],
  then: (path: string) => void,
): Promise<void> {
  for (const path of paths) if (await isThere({ fs }, path)) then(path);
}

/** A folder that is missing holds nothing; one that may not be read is an error. */
async function namesIn(folder: string, fs: Environment['fs']): Promise<readonly string[]> {
  try {
    return (await fs.readdir(folder)).toSorted();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return [];
    throw error;
  }
}
