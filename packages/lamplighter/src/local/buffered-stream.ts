import type { Environment } from './environment.js';
import { MAX_OUTPUT_BYTES } from './key-stream.js';
import type { ProcessEnvironment } from './process-environment.js';
import { Refill, type Root } from './refill.js';

/** A root whose streams may make bytes ahead. */
export interface BufferedRoot extends Root {
  /** Another number whenever bytes made ahead, anywhere, must die: resume, clone, fork. */
  readonly number: number;
}

/** Longest life of bytes made ahead: DESIGN 6.4. */
const MAX_AGE_NS = 1_000_000n;
/** Where there is a cycle counter it tells young from old: half of {@link MAX_AGE_NS}, should it run slower for a while. */
const YOUNG_NS = 500_000n;
const CALIBRATE_EVERY_NS = 10_000_000n;

// Implementation constants: how much is made ahead. Never more than 64 KiB (DESIGN 6.4); beyond 16 KiB it gets slower,
// because bytes leave the first-level cache between being made and being served.
const LEAST_AHEAD_BYTES = 256;
const MAX_AHEAD_BYTES = 16_384;
const GROWTH = 4;
/** Refills without anything ahead between two attempts to find out whether making ahead has begun to pay. */
const MAX_PAUSE = 64;
/** Requests beyond this are made straight into the caller's memory. */
const MAX_TAKE_BYTES = 4_096;
/** Up to here a loop copies faster than the engine's own call. */
const SMALL_BYTES = 64;

/**
 * A stream that may make bytes ahead: what the library reads, and nobody else. Outlets, seeds and keys make none.
 *
 * Source: DESIGN 6.4. Bytes made ahead die, which is to say are overwritten with zeros,
 *   (a) at the end of the event-loop turn,
 *   (b) when the root's generation or number changes,
 *   (c) when the cycle counter went backwards,
 *   (d) when more than 1 ms has passed since the refill, or the monotonic clock went backwards.
 * (a) happens by itself; the others are looked at before every single byte that is served. Served bytes are zeroed as they
 * are copied out, so a captured buffer tells nothing of them; its key was replaced before the first one was served.
 *
 * How much is made ahead follows what is used: nothing for one call a turn, up to 16 KiB in a loop. Requests of more than
 * 4 KiB are made straight into the caller's memory, in pieces of 64 KiB with a key each.
 */
export class BufferedStream {
  readonly #root: BufferedRoot;
  readonly #environment: Environment;
  readonly #process: ProcessEnvironment;
  readonly #refill: Refill;
  readonly #ahead = new Uint8Array(MAX_TAKE_BYTES + MAX_AHEAD_BYTES);
  readonly #view = new DataView(this.#ahead.buffer);
  /** Bytes from here to `#end` may be served; all others are zero. */
  #next = 0;
  #end = 0;
  /** Where `#next` stood when the bytes were made and the request that asked for them was served. */
  #start = 0;
  #rootNumber = -1;
  #aheadBytes = 0;
  #pause = 0;
  #untilAttempt = 0;
  #turnWatched = false;
  /** Bytes are younger than {@link YOUNG_NS} as long as fewer cycles than this have passed; 0 until that is known. */
  #youngCycles = 0n;
  #since = { monotonicNs: 0n, cycles: 0n };

  constructor(root: BufferedRoot, environment: Environment, process: ProcessEnvironment, label: string) {
    this.#root = root;
    this.#environment = environment;
    this.#process = process;
    this.#refill = new Refill(root, environment, label);
  }

  /** Bytes made ahead and alive or not yet found dead. For status and tests. */
  get madeAheadBytes(): number {
    return this.#end - this.#next;
  }

  /**
   * Fills memory with bytes never given before.
   * @param target - the caller's; not kept
   * @param offset - 0..target.length
   * @param lengthBytes - 0..target.length - offset; both checked by the caller
   * @throws LamplighterError when the root cannot be seeded; what was written before it, in a large request, stays
   */
  fillRange(target: Uint8Array, offset: number, lengthBytes: number): void {
    if (lengthBytes <= SMALL_BYTES) {
      if (lengthBytes > 0) this.#fillSmall(target, offset, lengthBytes);
    } else if (lengthBytes <= MAX_TAKE_BYTES) {
      const from = this.#take(lengthBytes);
      target.set(this.#ahead.subarray(from, from + lengthBytes), offset);
      this.#ahead.fill(0, from, from + lengthBytes);
    } else {
      for (let done = 0; done < lengthBytes; done += MAX_OUTPUT_BYTES) {
        const end = Math.min(done + MAX_OUTPUT_BYTES, lengthBytes);
        this.#refill.into(target.subarray(offset + done, offset + end));
      }
    }
  }

  /**
   * Lets somebody read 16 fresh bytes where they are; they are zeroed when he returns.
   * @param use - may not keep the array
   */
  readSixteen<T>(use: (bytes: Uint8Array, at: number) => T): T {
    const at = this.#take(16);
    const result = use(this.#ahead, at);
    for (let offset = 0; offset < 16; offset += 4) this.#view.setUint32(at + offset, 0);
    return result;
  }

  /** A uniform whole number, 0..2^32 - 1. */
  uint32(): number {
    const at = this.#take(4);
    const value = this.#view.getUint32(at);
    this.#view.setUint32(at, 0);
    return value;
  }

  /** A uniform whole number, 0..2^48 - 1. */
  uint48(): number {
    const at = this.#take(6);
    const value = this.#view.getUint16(at) * 2 ** 32 + this.#view.getUint32(at + 2);
    this.#view.setUint16(at, 0);
    this.#view.setUint32(at + 2, 0);
    return value;
  }

  /** Overwrites what was made ahead. */
  wipe(): void {
    this.#ahead.fill(0, this.#next, this.#end);
    this.#next = 0;
    this.#start = 0;
    this.#end = 0;
  }

  /** Wipes everything; later calls throw. Idempotent. */
  close(): void {
    this.wipe();
    this.#refill.close();
  }

  /** Deaths (b), (c) and (d). */
  #alive(): boolean {
    const refill = this.#refill;
    if (this.#root.generation !== refill.generation || this.#root.number !== this.#rootNumber) return false;
    if (refill.cycles !== undefined) {
      const cycles = this.#environment.cycleCounter();
      if (!cycles.supported || cycles.value < refill.cycles) return false;
      // One clock instead of two: the second would be half of what a small request costs.
      if (cycles.value - refill.cycles < this.#youngCycles) return true;
    }
    // Unsigned: a clock that went backwards makes a huge age.
    return BigInt.asUintN(64, this.#environment.monotonicNs() - refill.monotonicNs) <= MAX_AGE_NS;
  }

  /** Measures the cycle counter by the monotonic clock, from refill to refill at least 10 ms later. */
  #calibrate(): void {
    const { monotonicNs, cycles } = this.#refill;
    if (cycles === undefined) return;
    const since = this.#since;
    const passedNs = monotonicNs - since.monotonicNs;
    if (passedNs >= 0n && passedNs < CALIBRATE_EVERY_NS) return;
    const passedCycles = cycles - since.cycles;
    this.#youngCycles =
      passedNs > 0n && passedCycles > 0n && since.cycles > 0n ? (passedCycles * YOUNG_NS) / passedNs : 0n;
    this.#since = { monotonicNs, cycles };
  }

  /**
   * Takes bytes out of `#ahead`, where there are some now if there were none before. The caller zeroes them as it reads.
   * @param lengthBytes - at most {@link MAX_TAKE_BYTES}
   * @returns where they begin
   */
  #take(lengthBytes: number): number {
    if (lengthBytes > this.#end - this.#next || !this.#alive()) this.#makeAhead(lengthBytes);
    const at = this.#next;
    this.#next = at + lengthBytes;
    return at;
  }

  #fillSmall(target: Uint8Array, offset: number, lengthBytes: number): void {
    const ahead = this.#ahead;
    const from = this.#take(lengthBytes);
    for (let index = 0; index < lengthBytes; index++) {
      target[offset + index] = ahead[from + index] ?? 0;
      ahead[from + index] = 0;
    }
  }

  /** Makes what is asked for and, if that has paid lately, some more. */
  #makeAhead(wantedBytes: number): void {
    this.#learn(wantedBytes);
    this.wipe();
    const ahead = this.#nextAheadBytes();
    if (ahead > 0) this.#watchTurn();
    this.#refill.into(this.#ahead.subarray(0, wantedBytes + ahead));
    this.#rootNumber = this.#root.number;
    this.#calibrate();
    this.#end = wantedBytes + ahead;
    this.#start = wantedBytes;
  }

  /** Death (a). One callback a turn, and only in turns in which something was made ahead. */
  #watchTurn(): void {
    if (this.#turnWatched) return;
    this.#turnWatched = true;
    this.#process.atEndOfTurn(() => {
      this.#turnWatched = false;
      this.#learn(0);
      this.wipe();
    });
  }

  /** Looks at what became of the bytes made ahead before they are dropped, and decides how many come next. */
  #learn(wantedBytes: number): void {
    if (this.#end === 0) return;
    const used = this.#next - this.#start;
    const isUsedUp = this.#end - this.#next < wantedBytes;
    if (isUsedUp) {
      this.#aheadBytes = Math.min(MAX_AHEAD_BYTES, this.#aheadBytes * GROWTH);
    } else if (used === 0) {
      this.#aheadBytes = 0;
      this.#pause = Math.min(MAX_PAUSE, Math.max(1, this.#pause * 2));
      this.#untilAttempt = this.#pause;
    } else {
      // As much again as was of use, so that bursts of a steady size need one refill each.
      this.#aheadBytes = Math.min(
        MAX_AHEAD_BYTES,
        Math.max(LEAST_AHEAD_BYTES, 2 ** Math.ceil(Math.log2(used))),
      );
    }
    if (used > 0) this.#pause = 0;
  }

  #nextAheadBytes(): number {
    if (this.#aheadBytes === 0) {
      if (this.#untilAttempt > 0) {
        this.#untilAttempt -= 1;
        return 0;
      }
      this.#aheadBytes = LEAST_AHEAD_BYTES;
    }
    return this.#aheadBytes;
  }
}
