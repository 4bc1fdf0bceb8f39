import { createHash, timingSafeEqual } from 'node:crypto';
import { wipe } from '@lamplighter/core';

// Specification constants: DESIGN section 7.
const MAGIC = Buffer.from('LLSD', 'latin1');
const VERSION = 1;
/** Length of the secret s, bytes. */
export const SEED_LENGTH_BYTES = 64;
/** Length of the mark of the machine that a seed belongs to, bytes: two hashes of 16. */
export const MACHINE_LENGTH_BYTES = 32;
const CHECKSUM_LENGTH_BYTES = 32;

const COUNTER_AT = MAGIC.length + 1;
const MACHINE_AT = COUNTER_AT + 8;
const SEED_AT = MACHINE_AT + MACHINE_LENGTH_BYTES;
const CHECKSUM_AT = SEED_AT + SEED_LENGTH_BYTES;
/** Length of a seed file, bytes. */
export const SEED_FILE_LENGTH_BYTES = CHECKSUM_AT + CHECKSUM_LENGTH_BYTES;

/** What a seed file holds. */
export interface SeedRecord {
  /** How often this seed was rotated or folded since it was made, u64. Raised before every use. */
  readonly counter: bigint;
  /** Which machine it was made on, see `machine-mark.ts`. Not a secret. */
  readonly machine: Uint8Array;
  /** s: 64 secret bytes, used at most once. */
  readonly seed: Uint8Array;
}

/**
 * A seed file as bytes: magic `LLSD` ‖ version u8 ‖ counter u64 ‖ machine (32) ‖ s (64) ‖ SHA-256 of all before it.
 *
 * Source: DESIGN section 7, with the mark of the machine beside s, so that the two cannot come apart. The checksum tells torn
 * files from whole ones; it is no protection against somebody who writes the file.
 * @returns a new array that holds the secret: the caller wipes it
 * @throws RangeError when a field is out of range
 */
export function encodeSeedFile({ counter, machine, seed }: SeedRecord): Uint8Array {
  if (BigInt.asUintN(64, counter) !== counter) throw new RangeError('a seed counter is a u64');
  if (machine.length !== MACHINE_LENGTH_BYTES || seed.length !== SEED_LENGTH_BYTES) {
    throw new RangeError(`a machine mark is ${MACHINE_LENGTH_BYTES} bytes, a seed ${SEED_LENGTH_BYTES}`);
  }
  const file = new Uint8Array(SEED_FILE_LENGTH_BYTES);
  file.set(MAGIC);
  file[MAGIC.length] = VERSION;
  new DataView(file.buffer).setBigUint64(COUNTER_AT, counter);
  file.set(machine, MACHINE_AT);
  file.set(seed, SEED_AT);
  file.set(checksum(file), CHECKSUM_AT);
  return file;
}

/**
 * Reads a seed file back.
 * @param file - all of it; the caller keeps and wipes it
 * @returns what it holds, in arrays of its own; or in words what is wrong with it
 */
export function decodeSeedFile(file: Uint8Array): SeedRecord | string {
  if (file.length !== SEED_FILE_LENGTH_BYTES) {
    return `it has ${file.length} bytes, not ${SEED_FILE_LENGTH_BYTES}`;
  }
  if (!MAGIC.equals(file.subarray(0, MAGIC.length))) return 'it is no seed file';
  if (file[MAGIC.length] !== VERSION)
    return `it is of version ${file[MAGIC.length]}, and this is for ${VERSION}`;
  if (!timingSafeEqual(checksum(file), file.subarray(CHECKSUM_AT))) return 'it is torn or was changed';
  return {
    counter: new DataView(file.buffer, file.byteOffset).getBigUint64(COUNTER_AT),
    // Not slice: of a Buffer it shares the memory.
    machine: Uint8Array.from(file.subarray(MACHINE_AT, SEED_AT)),
    seed: Uint8Array.from(file.subarray(SEED_AT, CHECKSUM_AT)),
  };
}

function checksum(file: Uint8Array): Uint8Array {
  return createHash('sha256').update(file.subarray(0, CHECKSUM_AT)).digest();
}

/** Wipes the secret of a record. */
export function wipeRecord(record: SeedRecord): void {
  wipe(record.seed);
}
