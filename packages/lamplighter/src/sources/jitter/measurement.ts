import { createHash } from 'node:crypto';
import { wipe } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { finestClock } from '../clock-grain.js';

/** More than the first two caches of most CPUs hold, so that accesses differ in time. A power of two. */
const MEMORY_LENGTH_BYTES = 1_048_576;
const ACCESSES = 64;

/**
 * Does a fixed amount of work whose time varies, and says how long it took: 64 dependent accesses all over a memory of 1 MiB,
 * then one SHA-256.
 *
 * Source: the idea of Müller's jitterentropy (memory-access noise and hash-loop noise), not its code. Where the accesses go
 * depends on the hash before; nothing that is measured is kept here. Cost: some 5 µs a measurement on one machine, where the most
 * common value estimate is 6 bits (SP 800-90B, 6.3.1; 64 KiB: 4.5, 4 MiB: 7); 1 MiB while it is in use.
 */
export class JitterMeasurement {
  readonly #environment: Pick<Environment, 'cycleCounter' | 'monotonicNs'>;
  readonly #memory = new Uint8Array(MEMORY_LENGTH_BYTES);
  #digest = new Uint8Array(32);

  constructor(environment: Pick<Environment, 'cycleCounter' | 'monotonicNs'>) {
    this.#environment = environment;
  }

  /** @returns counts of the finest clock; negative when it went backwards */
  measure(): number {
    const startedAt = finestClock(this.#environment);
    this.#touchMemory();
    this.#hash();
    return Number(finestClock(this.#environment) - startedAt);
  }

  wipe(): void {
    wipe(this.#memory, this.#digest);
  }

  #touchMemory(): void {
    const memory = this.#memory;
    let position = new DataView(this.#digest.buffer, this.#digest.byteOffset).getUint32(0);
    for (let access = 0; access < ACCESSES; access += 1) {
      const at = (position >>> 7) % MEMORY_LENGTH_BYTES;
      const value = memory[at] ?? 0;
      memory[at] = value + 1;
      // Numerical Recipes' generator, disturbed by what was read, so that no access can begin before the last has ended.
      position = (Math.imul(position, 1_664_525) + 1_013_904_223 + value) >>> 0;
    }
  }

  #hash(): void {
    const next = createHash('sha256').update(this.#digest).digest();
    wipe(this.#digest);
    this.#digest = next;
  }
}
