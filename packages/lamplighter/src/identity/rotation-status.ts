import fs from 'node:fs/promises';
import { join } from 'node:path';
import { isRegisterThere, newestByHolder } from './issued-register.js';
import { absent } from './key-files.js';
import { readRotation, type RotationState } from './rotation-state.js';
import { publicKeyHash } from './trust-list.js';

/** What an operator has to know before the next step. */
export interface RotationStatus extends Pick<RotationState, 'phase' | 'unfinished'> {
  /** Number of the trust list. */
  readonly sequence: number;
  /** Who must renew before the next step is safe: `begun`: whoever was not given the next root yet; `switched`: whoever still has a certificate by the old root. */
  readonly waiting: number;
  /** At most ten of them, as `ROLE/NAME`. */
  readonly waitingNames: readonly string[];
  /** When the last of their certificates ends. */
  readonly waitingUntil: Date | undefined;
  /** Tokens in the folder. They pin the key that signs now: `switch` makes them useless. */
  readonly tokens: number;
  /** Whether there is a register at all: what was issued before there was one is not counted. */
  readonly hasRegister: boolean;
  /** Lines of the register that could not be read. */
  readonly damaged: number;
}

const MOST_NAMES = 10;

/**
 * Says where a rotation is, and who must renew before it may go on. It counts the newest certificate of each holder: one who has
 * renewed waits no more, though his older certificate is still good.
 * @throws LamplighterError ERR_CA_FILE when the folder cannot be read
 */
export async function rotationStatus(folder: string): Promise<RotationStatus> {
  const { phase, unfinished, files } = await readRotation(folder);
  const { sequence } = files.trust;
  const signer = publicKeyHash(files.signer.publicKey).toString('hex');
  let damaged = 0;
  const newest = await newestByHolder(folder, () => (damaged += 1));
  const waiting = [...newest.values()].filter(
    ({ notAfterMs, root, trust }) =>
      notAfterMs > Date.now() &&
      ((phase === 'begun' && trust < sequence) || (phase === 'switched' && root !== signer)),
  );
  const lastEndMs = waiting.reduce((last, { notAfterMs }) => Math.max(last, notAfterMs), 0);
  return {
    phase,
    unfinished,
    sequence,
    waiting: waiting.length,
    waitingNames: waiting.slice(0, MOST_NAMES).map(({ role, name }) => `${role}/${name}`),
    waitingUntil: waiting.length === 0 ? undefined : new Date(lastEndMs),
    tokens: await tokensIn(folder),
    hasRegister: await isRegisterThere(folder),
    damaged,
  };
}

async function tokensIn(folder: string): Promise<number> {
  const names = (await fs.readdir(join(folder, 'tokens')).catch(absent)) ?? [];
  return names.filter((name) => name.endsWith('.json')).length;
}
