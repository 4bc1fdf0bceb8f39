import { LamplighterError } from '@lamplighter/core';
import type { Environment } from './environment.js';

const OS_BYTES = 32;
const RUNTIME_BYTES = 32;
const CPU_SEED_BYTES = 32;

/** What the library's root hears of this machine without anybody's help. */
export class LocalSamples {
  readonly #environment: Environment;
  #osFailure: string | undefined;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Why the OS RNG could not be read the last time; undefined if it could, or was not asked. */
  get osFailure(): string | undefined {
    return this.#osFailure;
  }

  /**
   * 32 bytes of the OS RNG and, beside them, 32 of this process's OpenSSL.
   * @throws LamplighterError ERR_OS_RNG
   */
  os(): Uint8Array {
    const bytes = new Uint8Array(OS_BYTES + RUNTIME_BYTES);
    try {
      bytes.set(this.#environment.osRandom(OS_BYTES));
      bytes.set(this.#environment.runtimeRandom(RUNTIME_BYTES), OS_BYTES);
      this.#osFailure = undefined;
      return bytes;
    } catch (error) {
      this.#osFailure = error instanceof Error ? error.message : 'the OS RNG failed';
      throw error instanceof LamplighterError
        ? error
        : new LamplighterError('ERR_OS_RNG', 'the OS RNG failed', { cause: error });
    }
  }

  /** @param use - `seed` may take milliseconds: never in the middle of somebody's request */
  cpu(use: 'seed' | 'separator'): Uint8Array | undefined {
    const cpu = this.#environment.cpuRandom(CPU_SEED_BYTES, use);
    return cpu.supported ? cpu.value : undefined;
  }
}
