import { createHash } from 'node:crypto';
import type { Ability } from './ability.js';
import type { Environment } from './environment.js';
import { expand, KEY_BYTES } from './key-stream.js';
import { CPU_BYTES, RefillMac, ROOT_BYTES } from './refill-mac.js';

/** What streams are keyed from: an `Accumulator`, or the library's own root around one. */
export interface Root {
  /** Another number after every reseed. */
  readonly generation: number;
  /** Brings the root up to date: called before every refill, must be cheap when nothing is due. */
  reseedIfDue(): unknown;
  /** @throws LamplighterError ERR_NOT_SEEDED before the first direct reseed; state unchanged */
  generate(lengthBytes: number): Uint8Array;
}

/** The clocks and the CPU, as a refill asks them. */
export type RefillEnvironment = Pick<Environment, 'monotonicNs' | 'cycleCounter' | 'cpuRandom'>;

/**
 * The one construction by which every stream makes output: fast key erasure with additional input.
 *
 * Source: DESIGN 6.4. Each refill first brings the root up to date, then
 *   k ← HMAC-SHA-256(k, E(what separates this refill from any other; 32 fresh root bytes when the root was reseeded)),
 *   k ‖ output ← AES-256-CTR(k, from counter 0).
 * The next key is the first 32 bytes of the key stream and never part of the output, so a captured key tells nothing of
 * bytes already made. Deviation: read literally, DESIGN would use those 32 bytes as output and as the next key.
 */
export class Refill {
  readonly #root: Root;
  readonly #environment: RefillEnvironment;
  readonly #mac = new RefillMac();
  #key: Uint8Array | undefined;
  #count = 0;
  #generation = -1;
  #monotonicNs = 0n;
  #cycles: bigint | undefined;

  /** @param label - names the use; two streams of one label still differ, each takes its own root bytes */
  constructor(root: Root, environment: RefillEnvironment, label: string) {
    this.#root = root;
    this.#environment = environment;
    this.#key = new Uint8Array(KEY_BYTES);
    this.#key.set(createHash('sha256').update(`lamplighter/stream/v1/${label}`).digest());
  }

  /** The root's generation at the last refill; -1 before the first. */
  get generation(): number {
    return this.#generation;
  }

  /** The monotonic clock at the last refill. */
  get monotonicNs(): bigint {
    return this.#monotonicNs;
  }

  /** The cycle counter at the last refill; undefined where there is none. */
  get cycles(): bigint | undefined {
    return this.#cycles;
  }

  /**
   * Makes output.
   * @param target - 1..65,536 bytes, overwritten
   * @throws LamplighterError ERR_NOT_SEEDED; TypeError if closed; nothing has changed, neither here nor in `target`
   */
  into(target: Uint8Array): void {
    if (this.#key === undefined) throw new TypeError('this stream is closed');
    this.#root.reseedIfDue();
    const generation = this.#root.generation;
    // Throws when unseeded, before anything here has changed.
    const root = generation === this.#generation ? undefined : this.#root.generate(ROOT_BYTES);

    const monotonicNs = this.#environment.monotonicNs();
    const cycles = valueOf(this.#environment.cycleCounter());
    const cpu = valueOf(this.#environment.cpuRandom(CPU_BYTES, 'separator'));
    const key = this.#mac.digest(this.#key, { monotonicNs, count: this.#count, cycles, root, cpu });
    expand(key, this.#key, target);
    key.fill(0);
    root?.fill(0);
    cpu?.fill(0);

    this.#count += 1;
    this.#generation = generation;
    this.#monotonicNs = monotonicNs;
    this.#cycles = cycles;
  }

  /** Wipes the key; later refills throw. Idempotent. */
  close(): void {
    this.#key?.fill(0);
    this.#key = undefined;
  }
}

function valueOf<T>(ability: Ability<T>): T | undefined {
  return ability.supported ? ability.value : undefined;
}
