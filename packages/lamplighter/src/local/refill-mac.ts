import { layOut } from './laid-out.js';
import { macInto } from './mac.js';

/** What separates one refill from every other one. */
export interface RefillInput {
  readonly monotonicNs: bigint;
  /** Refills of this stream before this one. */
  readonly count: number;
  readonly cycles: bigint | undefined;
  /** {@link ROOT_BYTES} fresh root bytes, when the root was reseeded since the last refill. */
  readonly root: Uint8Array | undefined;
  /** {@link CPU_BYTES} of RDRAND. */
  readonly cpu: Uint8Array | undefined;
}

export const ROOT_BYTES = 32;
const MAC_BYTES = 32;
/** One seed's worth would be 32; as additional input 128 bits are as good, and RDSEED takes 50 ns a byte. */
export const CPU_BYTES = 16;

/**
 * k ← HMAC-SHA-256(k, E("stream", separators)), with E in memory that is laid out once.
 *
 * Source: DESIGN 6.4. The same as `hmac('sha256', key, encode('stream', parts))`, and a test says so for every combination of
 * parts. By itself because every byte of the library waits for it: to encode takes longer than to hash.
 */
export class RefillMac {
  readonly #layouts: (Layout | undefined)[] = [];
  readonly #made = new Uint8Array(MAC_BYTES);

  /**
   * @param key - 32 secret bytes; left as they are
   * @returns 32 bytes, in the same memory every time; the caller wipes them
   */
  digest(key: Uint8Array, input: RefillInput): Uint8Array {
    const { text, view, monotonicAt, counterAt, cyclesAt, rootAt, cpuAt } = this.#layoutFor(input);
    view.setBigUint64(monotonicAt, input.monotonicNs);
    view.setUint32(counterAt, Math.floor(input.count / 2 ** 32));
    view.setUint32(counterAt + 4, input.count % 2 ** 32);
    if (input.cycles !== undefined) view.setBigUint64(cyclesAt, input.cycles);
    if (input.root !== undefined) text.set(input.root, rootAt);
    if (input.cpu !== undefined) text.set(input.cpu, cpuAt);
    try {
      macInto('sha256', key, text, this.#made);
      return this.#made;
    } finally {
      if (input.root !== undefined) text.fill(0, rootAt, rootAt + ROOT_BYTES);
      if (input.cpu !== undefined) text.fill(0, cpuAt, cpuAt + CPU_BYTES);
    }
  }

  #layoutFor({ cycles, root, cpu }: RefillInput): Layout {
    const shape = (cycles === undefined ? 0 : 1) + (root === undefined ? 0 : 2) + (cpu === undefined ? 0 : 4);
    return (this.#layouts[shape] ??= layoutWith({
      cycles: cycles !== undefined,
      root: root !== undefined,
      cpu: cpu !== undefined,
    }));
  }
}

/** E, with the places where its fields stand; those of absent ones mean nothing. */
interface Layout {
  readonly text: Uint8Array;
  readonly view: DataView;
  readonly monotonicAt: number;
  readonly counterAt: number;
  readonly cyclesAt: number;
  readonly rootAt: number;
  readonly cpuAt: number;
}

function layoutWith(present: { cycles: boolean; root: boolean; cpu: boolean }): Layout {
  const { text, view, at } = layOut('stream', [
    { label: 'monotonic', lengthBytes: 8 },
    { label: 'counter', lengthBytes: 8 },
    { label: 'cycles', lengthBytes: present.cycles ? 8 : undefined },
    { label: 'root', lengthBytes: present.root ? ROOT_BYTES : undefined },
    { label: 'cpu', lengthBytes: present.cpu ? CPU_BYTES : undefined },
  ]);
  return {
    text,
    view,
    monotonicAt: at('monotonic'),
    counterAt: at('counter'),
    cyclesAt: present.cycles ? at('cycles') : 0,
    rootAt: present.root ? at('root') : 0,
    cpuAt: present.cpu ? at('cpu') : 0,
  };
}
