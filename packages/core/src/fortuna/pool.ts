import type { Hash } from 'node:crypto';
import { assertBytes, wipe } from '../bytes.js';
import { innerHash, outerHash, type Shad256Variant } from '../shad256.js';

/** Most bytes an event may have: the book's limit. Longer data is hashed first, by the accumulator. */
export const MAX_EVENT_BYTES = 32;

/** source id and length. */
const HEADER_BYTES = 2;
/**
 * Events wait here and are hashed together, 30 or more at a time: a call into the hash costs 75 ns, a copy 35, and nothing
 * is allocated per event. 32 pools take 32 KiB.
 */
const BUFFER_BYTES = 1024;
/** Up to here a loop copies faster than `set`, which costs 25 ns however short the event. */
const SHORT_EVENT_BYTES = 8;

/**
 * One pool: a string of events of unbounded length, of which only the hash state and the last bytes are kept.
 *
 * Source: Ferguson, Schneier, Kohno, "Cryptography Engineering" (2010), ch. 9.5.2 and 9.5.6; DESIGN 6.2.
 */
export class Pool {
  readonly #shad256: Shad256Variant;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #bufferedBytes = 0;
  /** The inner hash of what has left the buffer; undefined while all of the pool is still in it. */
  #inner: Hash | undefined;
  #lengthBytes = 0;
  #drainCount = 0;
  /** By source number: 1 if an event of it is in the pool. */
  readonly #heard = new Uint8Array(256);

  constructor(shad256: Shad256Variant) {
    this.#shad256 = shad256;
  }

  /**
   * length(P_i): bytes since the last drain, two of header per event included, as in the book. It counts bytes, not
   * entropy: nothing here estimates.
   */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** Times it was drained. */
  get drainCount(): number {
    return this.#drainCount;
  }

  /** Whether an event of this source was added since the last drain. */
  holds(source: number): boolean {
    return this.#heard[source] === 1;
  }

  /**
   * Adds one event. Internal: callers say only who speaks, the schedule chooses the pool.
   *
   * Source: ch. 9.5.6, AddRandomEvent.
   * @param source - source number, 0..255, fixed for the life of the accumulator
   * @param event - 1..32 bytes; copied, the caller keeps it and may wipe it
   * @throws RangeError if a number or length is out of range, TypeError if not given bytes; state unchanged
   */
  add(source: number, event: Uint8Array): void {
    // assert 1 ≤ length(e) ≤ 32 ∧ 0 ≤ s ≤ 255
    assertBytes('an event', event);
    if (event.length < 1 || event.length > MAX_EVENT_BYTES) {
      throw new RangeError(`an event in a pool has 1 to ${MAX_EVENT_BYTES} bytes`);
    }
    assertSource(source);

    const recordBytes = HEADER_BYTES + event.length;
    if (this.#bufferedBytes + recordBytes > BUFFER_BYTES) this.#hashBuffer();
    // P_i ← P_i ‖ s ‖ length(e) ‖ e
    const offset = this.#bufferedBytes;
    this.#buffer[offset] = source;
    this.#buffer[offset + 1] = event.length;
    if (event.length <= SHORT_EVENT_BYTES) {
      for (let index = 0; index < event.length; index++) {
        this.#buffer[offset + HEADER_BYTES + index] = event[index] ?? 0;
      }
    } else {
      this.#buffer.set(event, offset + HEADER_BYTES);
    }
    this.#bufferedBytes += recordBytes;
    this.#lengthBytes += recordBytes;
    this.#heard[source] = 1;
  }

  /**
   * Takes all there is: SHAd-256(P_i), then P_i ← ε.
   * @returns a new array of 32 bytes; for an empty pool the hash of the empty string
   */
  drain(): Uint8Array {
    const digest = outerHash(this.#hashBuffer());
    this.#inner = undefined;
    this.#lengthBytes = 0;
    this.#heard.fill(0);
    this.#drainCount += 1;
    return digest;
  }

  /** Wipes the buffer and drops the hash state. The pool is empty afterwards. */
  wipe(): void {
    wipe(this.#buffer);
    this.#inner = undefined;
    this.#bufferedBytes = 0;
    this.#lengthBytes = 0;
    this.#heard.fill(0);
  }

  #hashBuffer(): Hash {
    this.#inner ??= innerHash(this.#shad256);
    const filled = this.#buffer.subarray(0, this.#bufferedBytes);
    this.#inner.update(filled);
    wipe(filled);
    this.#bufferedBytes = 0;
    return this.#inner;
  }
}

/**
 * Refuses anything that is no source number.
 * @throws RangeError unless a whole number, 0..255
 */
export function assertSource(source: number): void {
  if (!Number.isInteger(source) || source < 0 || source > 255) {
    throw new RangeError('a source number is a whole number from 0 to 255');
  }
}
