import { constants } from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { replaceDurably } from '../local/durable-file.js';
import type { Environment } from '../local/environment.js';
import { openLockFile } from '../local/lock-file.js';
import type { NativeDoors } from '../local/native-doors.js';
import { SEED_LOCK_NAME } from '../local/seed/seed-store.js';
import { enrollPaths, inEnrollFolder } from './enroll-files.js';
import { residentAgent } from './report-file.js';
import {
  keyOfCa,
  type Leaving,
  planSeal,
  type Remaining,
  SEALED_NAME,
  type SealedPlace,
  unsealedNeighbours,
} from './seal-image-plan.js';

/** What was done, or would be. */
export interface SealReport {
  readonly removed: readonly Removed[];
  readonly remaining: readonly Remaining[];
}

export interface Removed extends Leaving {
  /** Why its bytes could not be overwritten first, or that it has other names; undefined when all is as it should be. */
  readonly flaw?: string;
}

/** What a seal is made with. */
export interface SealDoors {
  readonly environment: Environment;
  readonly native: Pick<NativeDoors, 'lockFile'>;
}

// Implementation constants.
const BLOCK = Buffer.alloc(65_536);
/** A secret of ours is a few KiB; of what is longer, which is none, the beginning is overwritten. */
const OVERWRITTEN_BYTES = 1_048_576;
const ADDRESS_BYTES = 4_096;
const CONNECT_WITHIN_MS = 1_000;

/**
 * Makes a machine fit to become an image: removes what no two machines may share, so that each copy has to enrol by itself. What
 * is secret is overwritten and synced before its name goes; a mark says that it was done. Once more does nothing new.
 *
 * Source: DESIGN section 7.
 * @param places - the agent's, and a node's if there is one
 * @param options - `dryRun`: look and say, change nothing
 * @throws LamplighterError ERR_SEAL, nothing changed: an agent or node runs here, or a CA or another node's state is here.
 *   ERR_STATE_FILE: something could not be removed; what was before it is gone, and there is no mark
 */
export async function sealImage(
  places: readonly SealedPlace[],
  doors: SealDoors,
  { dryRun }: { readonly dryRun: boolean },
): Promise<SealReport> {
  const { fs } = doors.environment;
  for (const place of places) await refuseIfUnfit(place, doors.environment);
  const [neighbour] = await unsealedNeighbours(places, fs);
  if (neighbour !== undefined) {
    throw new LamplighterError(
      'ERR_SEAL',
      `${neighbour} holds the state of a node or CA, and would be copied too`,
      {
        hint: 'name the configuration of that node with --node-config, or remove the folder',
      },
    );
  }
  if (dryRun) return await reportOf(places, fs, (leaving) => Promise.resolve(leaving));
  return await inAllLocks(places, doors, async () => {
    const report = await reportOf(places, fs, (leaving) => remove(leaving, fs));
    for (const { state } of places) await mark(state, doors.environment);
    return report;
  });
}

async function reportOf(
  places: readonly SealedPlace[],
  fs: Environment['fs'],
  each: (leaving: Leaving) => Promise<Removed>,
): Promise<SealReport> {
  const removed = new Map<string, Removed>();
  const remaining = new Map<string, Remaining>();
  for (const place of places) {
    const plan = await planSeal(place, fs);
    for (const leaving of plan.leaving) {
      if (!removed.has(leaving.path)) removed.set(leaving.path, await each(leaving));
    }
    for (const one of plan.remaining) remaining.set(one.path, one);
  }
  // What leaves one place is no rest of another.
  return {
    removed: [...removed.values()],
    remaining: [...remaining.values()].filter(({ path }) => !removed.has(path)),
  };
}

async function refuseIfUnfit(place: SealedPlace, environment: Environment): Promise<void> {
  const { fs } = environment;
  const ca = await keyOfCa(place, fs);
  if (ca !== undefined) {
    throw new LamplighterError(
      'ERR_SEAL',
      `${ca} is the key of a CA: every copy could issue certificates for the fleet`,
      {
        hint: 'make images from a machine that is no CA; move the folder away if it is not needed here',
      },
    );
  }
  const running = (who: string): LamplighterError =>
    new LamplighterError('ERR_SEAL', `${who} runs on ${place.state}, and would make anew what is removed`, {
      hint: 'systemctl stop lamplighter-agent lamplighter-node, or whatever it was started by, then seal again',
    });
  if (place.report !== undefined) {
    const pid = await residentAgent(environment, place.report).catch(() => undefined);
    if (pid !== undefined) throw running(`an agent, process ${pid},`);
  }
  const address = await addressOf(place, fs);
  if (address !== undefined && (await answers(address))) throw running('a node');
}

/** Where a node that runs has said its admin listener is: `node/admin/login-links.ts`. One that was killed has said so too. */
async function addressOf({ state }: SealedPlace, fs: Environment['fs']): Promise<URL | undefined> {
  const bytes = Buffer.alloc(ADDRESS_BYTES);
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await fs.open(join(state, 'login', 'address'), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
      return new URL(bytes.toString('latin1', 0, bytesRead).trim());
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

function answers({ hostname, port, protocol }: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const host = hostname.replace(/^\[|\]$/g, '');
    const socket = net.connect({ host, port: Number(port) || (protocol === 'https:' ? 443 : 80) });
    socket.setTimeout(CONNECT_WITHIN_MS);
    const end = (isThere: boolean) => (): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}

/** Under the locks of enrolment and of each seed, so that neither an enrolment nor a boot is in the middle of something. */
async function inAllLocks<T>(
  places: readonly SealedPlace[],
  doors: SealDoors,
  body: () => Promise<T>,
): Promise<T> {
  const { fs } = doors.environment;
  const [place, ...others] = places;
  if (place === undefined) return await body();
  const inside = (): Promise<T> => inAllLocks(others, doors, body);
  const withSeed = async (): Promise<T> => {
    await fs.mkdir(place.state, { recursive: true, mode: 0o700 });
    const lock = await openLockFile(join(place.state, SEED_LOCK_NAME), doors);
    try {
      const tried = await lock.take(0);
      if (tried.supported && !tried.value.locked) {
        throw new LamplighterError('ERR_SEAL', `somebody is using the machine seed in ${place.state}`, {
          hint: 'stop the agent or node that does, then seal again',
        });
      }
      return await inside();
    } finally {
      await lock.release();
    }
  };
  try {
    if (place.kind === 'node') return await withSeed();
    return await inEnrollFolder(enrollPaths(dirname(place.config)), doors, withSeed);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw unsealable(place.state, cause);
  }
}

async function remove(leaving: Leaving, fs: Environment['fs']): Promise<Removed> {
  const { path, isSecret } = leaving;
  const flaw = isSecret ? await overwrite(path, fs) : undefined;
  try {
    await fs.rm(path, { force: true });
    const folder = await fs.open(dirname(path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (cause) {
    throw unsealable(path, cause);
  }
  return { ...leaving, ...(flaw !== undefined && { flaw }) };
}

/** Writes zeros over a file and waits until they are on the disk. @returns why not, if not */
async function overwrite(path: string, fs: Environment['fs']): Promise<string | undefined> {
  try {
    const stat = await fs.lstat(path);
    // What a link leads to is an entry of its own.
    if (stat.isSymbolicLink()) return undefined;
    if (!stat.isFile()) return 'it is no regular file';
    const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
    const file = await fs.open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    try {
      const untilBytes = Math.min(stat.size, OVERWRITTEN_BYTES);
      for (let at = 0; at < untilBytes; at += BLOCK.length) {
        await file.write(BLOCK, 0, Math.min(BLOCK.length, untilBytes - at), at);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return stat.nlink > 1 ? `it has ${stat.nlink - 1} more names, which now hold zeros` : undefined;
  } catch (error) {
    return `its bytes could not be overwritten: ${reasonIn(error)}`;
  }
}

async function mark(state: string, environment: Environment): Promise<void> {
  const at = new Date(Number(environment.realtimeNs() / 1_000_000n)).toISOString();
  try {
    await replaceDurably(environment.fs, join(state, SEALED_NAME), Buffer.from(`${at}\n`), 0o644);
  } catch (cause) {
    throw unsealable(state, cause);
  }
}

const unsealable = (path: string, cause: unknown): LamplighterError =>
  new LamplighterError('ERR_STATE_FILE', `not sealed: ${path}: ${reasonIn(cause)}`, {
    hint: 'run as root, with the disk writable, then seal again',
    cause,
  });

const reasonIn = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'an unexpected error';
