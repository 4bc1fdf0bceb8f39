import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { type Accumulator, encode, wipe } from '@lamplighter/core';
import type { Ability } from './ability.js';
import type { Environment } from './environment.js';

/** A private supply of output: what every consumer reads instead of the root. */
export interface Stream {
  /** The root's reseed count this stream has followed to. Changes only inside `read`. */
  readonly generation: number;
  /**
   * Fresh bytes, made now, never ahead, never given twice.
   * @param lengthBytes - 1..65,536
   * @throws LamplighterError ERR_NOT_SEEDED before the first direct reseed; state unchanged
   * @throws RangeError on another length; state unchanged
   */
  read(lengthBytes: number): Uint8Array;
  /** Wipes the key; later reads throw. Idempotent. */
  close(): void;
}

const KEY_LENGTH_BYTES = 32;
const MAX_READ_BYTES = 65_536;
/** Every key makes one key stream only, so its counter always starts at zero. */
const ZERO_COUNTER = new Uint8Array(16);

/**
 * Opens a stream keyed from the root.
 *
 * Source: DESIGN 6.4. Each read first brings the root up to date, then
 *   k ← HMAC-SHA-256(k, E(what separates this read from any other; 32 fresh root bytes when the root was reseeded)),
 *   k ‖ output ← AES-256-CTR(k, from counter 0).
 * The next key is the first 32 bytes of the key stream and never part of the output (fast key erasure), so a captured
 * key tells nothing of bytes already served. Nothing is made ahead: a stream holds a key and a count, no output.
 *
 * @param accumulator - the root
 * @param environment - where the separators come from
 * @param label - names the use; two streams with the same label still differ, each takes its own root bytes
 */
export function openStream(accumulator: Accumulator, environment: Environment, label: string): Stream {
  return new RootStream(accumulator, environment, label);
}

class RootStream implements Stream {
  readonly #accumulator: Accumulator;
  readonly #environment: Environment;
  #key: Uint8Array | undefined;
  #counter = 0n;
  #generation = -1;

  constructor(accumulator: Accumulator, environment: Environment, label: string) {
    this.#accumulator = accumulator;
    this.#environment = environment;
    this.#key = createHash('sha256').update(`lamplighter/stream/v1/${label}`).digest();
  }

  get generation(): number {
    return this.#generation;
  }

  read(lengthBytes: number): Uint8Array {
    if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > MAX_READ_BYTES) {
      throw new RangeError(`a stream reads 1 to ${MAX_READ_BYTES} bytes at a time`);
    }
    if (this.#key === undefined) throw new TypeError('this stream is closed');

    this.#accumulator.reseedIfDue();
    const generation = this.#accumulator.generation;
    // Throws when unseeded, before anything here has changed.
    const root = generation === this.#generation ? undefined : this.#accumulator.generate(KEY_LENGTH_BYTES);

    const environment = this.#environment;
    const separators = encode('stream', [
      { label: 'monotonic', bytes: u64(environment.monotonicNs()) },
      { label: 'counter', bytes: u64(this.#counter) },
      { label: 'cycles', bytes: present(environment.cycleCounter(), u64) },
      { label: 'root', bytes: root },
      { label: 'cpu', bytes: present(environment.cpuRandom(KEY_LENGTH_BYTES), (bytes) => bytes) },
    ]);
    const refillKey = createHmac('sha256', this.#key).update(separators).digest();
    const keyStream = createCipheriv('aes-256-ctr', refillKey, ZERO_COUNTER).update(
      new Uint8Array(KEY_LENGTH_BYTES + lengthBytes),
    );

    this.#key.set(keyStream.subarray(0, KEY_LENGTH_BYTES));
    this.#counter += 1n;
    this.#generation = generation;
    const output = Uint8Array.from(keyStream.subarray(KEY_LENGTH_BYTES));
    wipe(separators, refillKey, keyStream);
    if (root !== undefined) wipe(root);
    return output;
  }

  close(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

function u64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}

function present<T>(ability: Ability<T>, bytesOf: (value: T) => Uint8Array): Uint8Array | undefined {
  return ability.supported ? bytesOf(ability.value) : undefined;
}
