import type { KeyObject, X509Certificate } from 'node:crypto';
import nodeFs from 'node:fs/promises';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { readCaKey } from './authority-folder.js';
import { makeRootCertificate, newKey } from './certificate.js';
import { type FileSystem, syncDirectory, writeFilesTogether } from './key-files.js';
import { nextStep, readRotation, type RotationState, type RotationStep } from './rotation-state.js';
import { rotationStatus, type RotationStatus } from './rotation-status.js';
import { signTrust, trustFile } from './trust-list.js';

/** How a step is done. */
export interface RotationOptions {
  /** Goes on while holders wait, see {@link RotationStatus.waiting}. */
  readonly force?: boolean;
  /** The file system. */
  readonly fs?: FileSystem;
}

const ROOT_LIFE_MS = 3_650 * 86_400_000;
const LEFT_BEHIND = /^(next\.key|trust\.json|ca\.pem)\.[0-9a-f]{12}\.tmp$/;

/**
 * Does one step of replacing a CA's key, while every certificate stays good:
 *
 * - `begin` makes the next root, in next.key, and the trust list [old, next]. Holders get the list with their next renewal.
 * - `switch` makes the next root the one that signs: the rename of next.key to ca.key is the moment. The list becomes [next, old],
 *   the old key is previous.key.
 * - `finish` takes the old root off the list and removes its key.
 *
 * Every root on a list signs it. A step that was interrupted, at whatever call, leaves a CA that works; doing the step again
 * goes on where it stopped.
 * @param folder - the CA's folder
 * @returns where the rotation is now
 * @throws LamplighterError ERR_ROTATION for a step that is not the next one, or one that would cut off holders who wait, unless forced;
 *   nothing was changed; ERR_CA_FILE when the folder cannot be read or written
 */
export async function rotate(
  folder: string,
  step: RotationStep,
  { force = false, fs = nodeFs }: RotationOptions = {},
): Promise<RotationStatus> {
  const state = await readRotation(folder);
  if (step !== nextStep(state)) {
    throw new LamplighterError('ERR_ROTATION', `${step} is not the next step: ${describe(state)}`, {
      hint: `\`lamplighter ca rotate ${folder} --${nextStep(state)}\` is`,
    });
  }
  if (!force && state.unfinished !== step) await refuseToCutOff(folder, step);
  try {
    await STEPS[step](folder, state, fs);
  } catch (cause) {
    if (cause instanceof LamplighterError) throw cause;
    throw new LamplighterError('ERR_CA_FILE', `the step ${step} was interrupted`, {
      hint: `the CA works as before; do it again: \`lamplighter ca rotate ${folder} --${step}\``,
      cause,
    });
  }
  return rotationStatus(folder);
}

const STEPS: Record<RotationStep, (folder: string, state: RotationState, fs: FileSystem) => Promise<void>> = {
  begin: begin,
  switch: switchOver,
  finish: finish,
};

async function begin(folder: string, state: RotationState, fs: FileSystem): Promise<void> {
  if (state.next === undefined) {
    const made = newKey();
    const root = await makeRootCertificate(commonName(state.files.signer), made, ROOT_LIFE_MS);
    const content = Buffer.concat([made.pem, Buffer.from(root.pem)]);
    made.pem.fill(0);
    try {
      // By link, which never replaces: of two who begin at once, one fails, and no key is lost that a list names.
      await writeFilesTogether([{ path: join(folder, 'next.key'), content, mode: 0o600 }], false, fs);
    } finally {
      content.fill(0);
    }
  }
  const { files, next } = await readRotation(folder);
  if (next === undefined) throw new Error('next.key is gone');
  if (!files.roots.some((root) => root.raw.equals(next.root.raw))) {
    await writeTrust(
      folder,
      files.trust.sequence + 1,
      [...files.roots, next.root],
      [files.key, next.key],
      fs,
    );
  }
  await publish(folder, fs);
}

async function switchOver(folder: string, state: RotationState, fs: FileSystem): Promise<void> {
  if (state.next !== undefined) {
    // A second name first: at no moment is there a key that has none.
    await fs.link(join(folder, 'ca.key'), join(folder, 'previous.key')).catch(alreadyThere);
    await syncDirectory(folder, fs);
    await refuseAnotherKey(join(folder, 'previous.key'), state.files.key);
    await fs.rename(join(folder, 'next.key'), join(folder, 'ca.key'));
    await syncDirectory(folder, fs);
  }
  const { files, previous } = await readRotation(folder);
  if (previous === undefined) throw new Error('previous.key is gone');
  const { signer, roots } = files;
  if (roots[0]?.raw.equals(signer.raw) !== true) {
    const others = roots.filter((root) => !root.raw.equals(signer.raw));
    await writeTrust(folder, files.trust.sequence + 1, [signer, ...others], [files.key, previous], fs);
  }
  await publish(folder, fs);
}

async function finish(folder: string, { files }: RotationState, fs: FileSystem): Promise<void> {
  if (files.roots.length > 1) {
    await writeTrust(folder, files.trust.sequence + 1, [files.signer], [files.key], fs);
  }
  await publish(folder, fs);
  await fs.rm(join(folder, 'previous.key'), { force: true });
  for (const name of await fs.readdir(folder)) {
    if (LEFT_BEHIND.test(name)) await fs.rm(join(folder, name), { force: true });
  }
  await syncDirectory(folder, fs);
}

async function writeTrust(
  folder: string,
  sequence: number,
  roots: readonly X509Certificate[],
  keys: readonly KeyObject[],
  fs: FileSystem,
): Promise<void> {
  const content = `${JSON.stringify(signTrust(sequence, roots.map(String), keys))}\n`;
  await writeFilesTogether([{ path: join(folder, 'trust.json'), content, mode: 0o644 }], true, fs);
}

/** Makes ca.pem what the trust list says. */
async function publish(folder: string, fs: FileSystem): Promise<void> {
  const { files } = await readRotation(folder);
  const content = trustFile(files.trust);
  await writeFilesTogether([{ path: join(folder, 'ca.pem'), content, mode: 0o644 }], true, fs);
}

function describe({ phase, unfinished }: RotationState): string {
  if (unfinished !== undefined) return `the step ${unfinished} was interrupted`;
  switch (phase) {
    case 'none':
      return 'no rotation is on';
    case 'begun':
      return 'the next root is on the trust list and does not sign yet';
    case 'switched':
      return 'the new root signs, and the old one is still on the trust list';
  }
}

async function refuseToCutOff(folder: string, step: RotationStep): Promise<void> {
  const { waiting, waitingNames } = await rotationStatus(folder);
  if (waiting === 0) return;
  const what =
    step === 'switch'
      ? 'were not given the next root yet and would refuse whoever has a certificate by it'
      : 'have certificates by the old root and would be refused everywhere';
  throw new LamplighterError(
    'ERR_ROTATION',
    `holders that ${what}: ${waiting} (${waitingNames.join(', ')}${waiting > waitingNames.length ? ', …' : ''})`,
    { hint: 'wait until they have renewed, see `ca rotate --status`; --force goes on all the same' },
  );
}

function commonName(root: X509Certificate): string {
  return /^CN=(.+)$/m.exec(root.subject)?.[1] ?? 'Lamplighter CA';
}

/** A previous.key that was there and is another one would mean that the old key has no second name. */
async function refuseAnotherKey(path: string, key: KeyObject): Promise<void> {
  if ((await readCaKey(path)).equals(key)) return;
  throw new LamplighterError('ERR_ROTATION', `${path} is not the key that signs now`, {
    hint: 'move it away if nobody needs it, and do the step again',
  });
}

function alreadyThere(cause: unknown): void {
  if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return;
  throw cause;
}
