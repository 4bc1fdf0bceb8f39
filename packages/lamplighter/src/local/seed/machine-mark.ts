import { createHash } from 'node:crypto';
import type { Environment } from '../environment.js';
import { MACHINE_LENGTH_BYTES } from './seed-record.js';

/** Where a machine says which it is. The second is readable by root alone. */
const PLACES = ['/etc/machine-id', '/sys/class/dmi/id/product_uuid'] as const;
const HASH_LENGTH_BYTES = MACHINE_LENGTH_BYTES / PLACES.length;
const MAX_TEXT_LENGTH = 256;

/**
 * The mark of this machine: 16 bytes of a hash for each of machine id and product UUID, zeros for what cannot be read.
 *
 * Source: DESIGN section 7: a seed that wakes up on another machine came there in an image. Hashed, so that a seed file tells
 * nobody the machine's own numbers.
 */
export async function machineMark(environment: Pick<Environment, 'fs'>): Promise<Uint8Array> {
  const mark = new Uint8Array(MACHINE_LENGTH_BYTES);
  for (const [index, place] of PLACES.entries()) {
    const text = await readShort(environment, place);
    if (text === undefined) continue;
    const hash = createHash('sha256').update(`lamplighter/machine/v1/${index}/${text}`).digest();
    mark.set(hash.subarray(0, HASH_LENGTH_BYTES), index * HASH_LENGTH_BYTES);
  }
  return mark;
}

/**
 * Whether two marks can be of one machine: what both know agrees. Nothing known of one, they can.
 * @param a - as {@link machineMark} gave it, here or in a seed file
 */
export function sameMachine(a: Uint8Array, b: Uint8Array): boolean {
  return PLACES.every((_, index) => {
    const [left, right] = [a, b].map((mark) =>
      Buffer.from(mark.subarray(index * HASH_LENGTH_BYTES, (index + 1) * HASH_LENGTH_BYTES)),
    );
    if (left === undefined || right === undefined) return true;
    return left.equals(right) || isUnknown(left) || isUnknown(right);
  });
}

const isUnknown = (hash: Uint8Array): boolean => hash.every((byte) => byte === 0);

async function readShort(environment: Pick<Environment, 'fs'>, path: string): Promise<string | undefined> {
  try {
    const text = (await environment.fs.readFile(path, 'latin1'))
      .slice(0, MAX_TEXT_LENGTH)
      .trim()
      .toLowerCase();
    // What systemd writes into an image that has not been booted yet, and what some firmware has for every machine.
    const isNobody = text === '' || text === 'uninitialized' || /^[0f-]+$/.test(text);
    return isNobody ? undefined : text;
  } catch {
    return undefined;
  }
}
