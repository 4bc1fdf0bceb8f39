import { constants } from 'node:fs';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { SEALED_NAME } from '../agent/seal-image-plan.js';
import { type SeedFacts, SeedStore } from '../local/seed/seed-store.js';
import type { Subject } from './subject.js';

/** A seed as it can be seen without using it. */
export interface SeedLook {
  /** `unseen`: this user may not look. */
  readonly state: 'there' | 'missing' | 'damaged' | 'unseen';
  readonly path: string;
  readonly facts?: SeedFacts;
  /** Why there is none, or why a use of it would be degraded. */
  readonly fault?: LamplighterError;
  readonly file?: Owner;
  readonly folder?: Owner;
  /** Root looks at the seed of another user: whoever uses it must be that user, and we cannot say more of it. */
  readonly isOfAnother: boolean;
  /** When this machine was sealed to be an image, by its own word; only where there is no seed. */
  readonly sealedAt?: string;
  /** Why it could not be written anew, so far as can be told without writing. */
  readonly unwritable?: string;
}

/** Who owns a file or folder, and who else may do what. */
export interface Owner {
  readonly userId: number;
  /** The nine permission bits. */
  readonly mode: number;
}

/** A date and a new line. */
const SEAL_MARK_BYTES = 32;

/** Looks at the seed in a state folder. @param folder - absolute, or relative to where we run */
export async function lookAtSeed(subject: Subject, folder: string): Promise<SeedLook> {
  const { environment, native, runtime } = subject;
  const store = new SeedStore(folder, { environment, native });
  const { path } = store;
  const around = {
    path,
    ...(await owners(subject, path, folder)),
    ...(await rotation(subject, folder)),
  };
  try {
    const facts = await store.facts();
    const isOfAnother =
      runtime.userId === 0 &&
      facts.fault?.code === 'ERR_SEED_MODE' &&
      around.file !== undefined &&
      around.file.userId !== 0 &&
      around.file.userId === around.folder?.userId &&
      (around.file.mode & 0o077) === 0;
    const fault = isOfAnother ? undefined : facts.fault;
    return { ...around, state: 'there', facts, isOfAnother, ...(fault && { fault }) };
  } catch (error) {
    if (!(error instanceof LamplighterError)) throw error;
    const state =
      error.code === 'ERR_SEED_DAMAGED' ? 'damaged' : isForbidden(error.cause) ? 'unseen' : 'missing';
    const sealedAt = state === 'missing' ? await sealMark(subject, folder) : undefined;
    return {
      ...around,
      state,
      fault: error,
      isOfAnother: false,
      ...(sealedAt !== undefined && { sealedAt }),
    };
  }
}

/** What `lamplighter agent seal-image` left. */
async function sealMark({ environment: { fs } }: Subject, folder: string): Promise<string | undefined> {
  const path = join(folder, SEALED_NAME);
  try {
    const { size } = await fs.lstat(path);
    const text = size > SEAL_MARK_BYTES ? '' : (await fs.readFile(path, 'latin1')).trim();
    return Number.isNaN(Date.parse(text)) ? undefined : text;
  } catch {
    return undefined;
  }
}

async function owners(
  { environment: { fs } }: Subject,
  path: string,
  folder: string,
): Promise<{ file?: Owner; folder?: Owner }> {
  const ownerOf = async (of: string): Promise<Owner | undefined> => {
    const stat = await fs.lstat(of).catch(() => undefined);
    return stat && { userId: stat.uid, mode: stat.mode & 0o777 };
  };
  const [ofFile, ofFolder] = [await ownerOf(path), await ownerOf(folder)];
  return { ...(ofFile && { file: ofFile }), ...(ofFolder && { folder: ofFolder }) };
}

async function rotation({ environment: { fs } }: Subject, folder: string): Promise<{ unwritable?: string }> {
  const may = async (path: string, mode: number): Promise<string | undefined> =>
    await fs.access(path, mode).then(
      () => undefined,
      (error: unknown) => codeOf(error) ?? 'an unexpected error',
    );
  const toFolder = await may(folder, constants.W_OK | constants.X_OK);
  if (toFolder !== undefined && toFolder !== 'ENOENT') return { unwritable: `${folder}: ${toFolder}` };
  const lock = join(folder, 'seed.lock');
  const toLock = await may(lock, constants.R_OK | constants.W_OK);
  if (toLock !== undefined && toLock !== 'ENOENT') return { unwritable: `${lock}: ${toLock}` };
  const disk = await fs.statfs(folder).catch(() => undefined);
  // Some file systems have no number of blocks, and are never full.
  if (disk !== undefined && disk.blocks > 0 && disk.bavail === 0) {
    return { unwritable: `${folder}: its disk is full` };
  }
  return {};
}

const isForbidden = (error: unknown): boolean => ['EACCES', 'EPERM'].includes(codeOf(error) ?? '');

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error ? String(error.code) : undefined;
