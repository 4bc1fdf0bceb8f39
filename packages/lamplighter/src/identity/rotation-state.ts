import type { KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { type AuthorityFolder, readAuthorityFolder, readCaKey, readKeyAndRoot } from './authority-folder.js';
import { absent } from './key-files.js';

/** What an operator does, in this order. */
export type RotationStep = 'begin' | 'switch' | 'finish';

/**
 * - `none`: one root.
 * - `begun`: the next root is on the trust list, the old one signs.
 * - `switched`: the next root signs, the old one is still on the list.
 */
export type RotationPhase = 'none' | 'begun' | 'switched';

/** How far a CA's folder is in a rotation. */
export interface RotationState {
  readonly phase: RotationPhase;
  /** A step that was interrupted; done again, it goes on where it stopped. */
  readonly unfinished: RotationStep | undefined;
  readonly files: AuthorityFolder;
  /** next.key: there from the beginning of `begin` to the middle of `switch`. */
  readonly next: { readonly key: KeyObject; readonly root: X509Certificate } | undefined;
  /** previous.key: there from the middle of `switch` to the end of `finish`. */
  readonly previous: KeyObject | undefined;
}

/**
 * Reads how far a rotation is. The keys in the folder and the trust list say it; there is no other record that could disagree.
 * @param folder - the CA's folder
 * @throws LamplighterError ERR_CA_FILE when there is no usable CA, or a key of the rotation is damaged
 */
export async function readRotation(folder: string): Promise<RotationState> {
  const files = await readAuthorityFolder(folder);
  const next = await readKeyAndRoot(join(folder, 'next.key')).catch(absent);
  const previous = await readCaKey(join(folder, 'previous.key')).catch(absent);
  return { files, next, previous, ...phaseOf(files, next?.key, previous) };
}

/** The step that comes next. */
export function nextStep({ phase, unfinished }: Pick<RotationState, 'phase' | 'unfinished'>): RotationStep {
  if (unfinished !== undefined) return unfinished;
  switch (phase) {
    case 'none':
      return 'begin';
    case 'begun':
      return 'switch';
    case 'switched':
      return 'finish';
  }
}

function phaseOf(
  { roots, signer, isPublished }: AuthorityFolder,
  next: KeyObject | undefined,
  previous: KeyObject | undefined,
): Pick<RotationState, 'phase' | 'unfinished'> {
  const isListed = (key: KeyObject): boolean => roots.some((root) => root.checkPrivateKey(key));
  if (next !== undefined) {
    if (previous !== undefined) return { phase: 'begun', unfinished: 'switch' };
    if (!isListed(next)) return { phase: 'none', unfinished: 'begin' };
    return { phase: 'begun', unfinished: isPublished ? undefined : 'begin' };
  }
  if (previous === undefined) return { phase: 'none', unfinished: undefined };
  if (!isListed(previous)) return { phase: 'none', unfinished: 'finish' };
  const isWhole = isPublished && roots[0]?.raw.equals(signer.raw) === true;
  return { phase: 'switched', unfinished: isWhole ? undefined : 'switch' };
}
