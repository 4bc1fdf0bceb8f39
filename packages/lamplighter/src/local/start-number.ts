import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { replaceDurably } from './durable-file.js';
import type { Environment } from './environment.js';

const FILE_NAME = 'start-number';
const LARGEST = 2n ** 64n - 1n;

/**
 * Counts a start of this node: raises the number in its state folder and returns the new one only after it is durable,
 * so that no two starts share a number, whatever is killed or unplugged in between.
 *
 * @param environment - where the file system is
 * @param stateDirectory - the node's own folder; made (0700) when it is not there
 * @returns 1 at the first start, then one more each time; below 2^64
 * @throws LamplighterError ERR_STATE_DIRECTORY, ERR_STATE_FILE; nothing was counted
 */
export async function raiseStartNumber(environment: Environment, stateDirectory: string): Promise<bigint> {
  const { fs } = environment;
  const path = join(stateDirectory, FILE_NAME);
  try {
    await fs.mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new LamplighterError('ERR_STATE_DIRECTORY', `cannot make the state folder ${stateDirectory}`, {
      hint: 'give the node a folder it may write to (state: …)',
      cause,
    });
  }
  const next = (await readNumber(fs, path)) + 1n;
  if (next > LARGEST) throw new LamplighterError('ERR_STATE_FILE', `${path} has run out of numbers`);
  try {
    await replaceDurably(fs, path, Buffer.from(`${next}\n`));
  } catch (cause) {
    throw new LamplighterError('ERR_STATE_FILE', `cannot write ${path}`, {
      hint: 'the state folder must be writable by the node',
      cause,
    });
  }
  return next;
}

async function readNumber(fs: Environment['fs'], path: string): Promise<bigint> {
  let text: string;
  try {
    text = await fs.readFile(path, 'latin1');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return 0n;
    throw new LamplighterError('ERR_STATE_FILE', `cannot read ${path}`, { cause });
  }
  // Starting again from 1 would repeat numbers already used, so an unreadable count is for a person to judge.
  if (!/^[0-9]{1,20}\n$/.test(text)) {
    throw new LamplighterError('ERR_STATE_FILE', `${path} does not hold a number`, {
      hint: 'write a number larger than any it can have held, or give the node a new state folder',
    });
  }
  return BigInt(text);
}
