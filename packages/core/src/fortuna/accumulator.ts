import { createHash } from 'node:crypto';
import { assertBytes, assertLength, wipe } from '../bytes.js';
import { encode, encodedLengthBytes, type Part } from '../encoding.js';
import { LamplighterError } from '../errors.js';
import { compareLabels } from '../labels.js';
import { SHAD256_LENGTH_BYTES, type Shad256Variant } from '../shad256.js';
import { MAX_REQUEST_BYTES } from './generator-steps.js';
import { FortunaGenerator } from './generator.js';
import { improvedSchedule } from './improved-schedule.js';
import { assertSource, MAX_EVENT_BYTES, Pool } from './pool.js';
import { classicSchedule, type Schedule, type ScheduleName } from './schedule.js';

/** What an {@link Accumulator} is made with. */
export interface AccumulatorOptions {
  /** `improved` is the default of everything that is configured; `classic` is the book's. */
  readonly schedule: ScheduleName;
  /**
   * Milliseconds of a clock that is never set back; arbitrary origin. `classic` reads it when a reseed may be due,
   * `improved` for events that may count.
   */
  readonly monotonicMs: () => number;
  /** `book` unless known answers of another implementation are checked. */
  readonly shad256?: Shad256Variant;
  /** Told of every reseed, when it is done; it may not throw. */
  readonly onReseed?: (reseed: Reseed) => void;
}

/** What a reseed brought into the generator: of whom it was, never what. */
export interface Reseed {
  /** Numbers of the sources whose events were in the pools drained, ascending. */
  readonly sources: readonly number[];
  /** Labels of the parts that went past the pools and had bytes; empty unless it was a direct reseed. */
  readonly labels: readonly string[];
}

/** How full a pool is, never what of. */
export interface PoolLevel {
  /** Since the last drain, two of header per event included. */
  readonly lengthBytes: number;
  /** Times it was drained. */
  readonly drainCount: number;
}

/** Most bytes of one {@link Accumulator.generate}: 1 GiB, so that a wrong number fails here and not in the allocator. */
const MAX_GENERATE_BYTES = 2 ** 30;
const SOURCES: readonly number[] = Array.from({ length: 256 }, (_, source) => source);
/** Root output that goes into the key of the schedule: DESIGN 6.3. */
const SCHEDULE_KEY_BYTES = 32;

/**
 * The root: pools that gather whatever is heard, a schedule that says when they are drained, and the generator they are
 * drained into.
 *
 * Source: Ferguson, Schneier, Kohno, "Cryptography Engineering" (2010), ch. 9.5; DESIGN 6.2 and 6.3. Deviations, all from
 * DESIGN 6.3: each source walks the pools by itself; the first seeding, resumes, clones and beacons go past the pools
 * straight into the generator ({@link Accumulator.reseedDirect}), and nothing is generated before the first of these.
 * Consumers do not read it: they open a stream keyed from it.
 */
export class Accumulator {
  readonly #generator: FortunaGenerator;
  readonly #pools: readonly Pool[];
  readonly #schedule: Schedule;
  readonly #onReseed: AccumulatorOptions['onReseed'];
  #scheduledReseedCount = 0;
  #directReseedCount = 0;
  #destroyed = false;

  constructor(options: AccumulatorOptions) {
    const shad256 = options.shad256 ?? 'book';
    this.#generator = new FortunaGenerator({ shad256 });
    this.#schedule = scheduleNamed(options.schedule, options.monotonicMs);
    this.#onReseed = options.onReseed;
    this.#pools = Array.from({ length: this.#schedule.poolCount }, () => new Pool(shad256));
  }

  /** Whether the first direct reseed has happened. False again once destroyed. */
  get seeded(): boolean {
    return this.#generator.seeded;
  }

  /** Reseeds of any kind so far. */
  get reseedCount(): number {
    return this.#scheduledReseedCount + this.#directReseedCount;
  }

  /** Reseeds that went past the pools. They do not move the schedule, so they are counted apart. */
  get directReseedCount(): number {
    return this.#directReseedCount;
  }

  /** Another number after every reseed of any kind. Streams compare it before their next byte to follow the root. */
  get generation(): number {
    return this.reseedCount;
  }

  /** The pools in use, pool 0 first. Readable also once destroyed. */
  get pools(): PoolLevel[] {
    return this.#pools
      .slice(0, this.#schedule.activePools)
      .map(({ lengthBytes, drainCount }) => ({ lengthBytes, drainCount }));
  }

  /** Ticks of the schedule so far; undefined where it has none. */
  get tick(): number | undefined {
    return this.#schedule.tick;
  }

  /**
   * Adds one event to the pool where its source is. Never reseeds by itself: due drains run at the next read.
   *
   * @param source - source number, 0..255, fixed for the life of the accumulator
   * @param event - at least 1 byte; longer than 32 bytes is hashed with SHA-256 first. Copied: the caller keeps it and
   *   may wipe it. Cost: 0.1 µs for 32 bytes, else one hash of it
   * @throws RangeError if the number or length is out of range; TypeError if destroyed or not given bytes; state unchanged
   */
  add(source: number, event: Uint8Array): void {
    this.#assertAlive();
    assertSource(source);
    assertBytes('an event', event);
    if (event.length < 1) throw new RangeError('an event has at least 1 byte');
    const long = event.length > MAX_EVENT_BYTES;
    const record = long ? createHash('sha256').update(event).digest() : event;
    this.#pool(this.#schedule.place(source)).add(source, record);
    if (long) wipe(record);
  }

  /**
   * Drains the pools that are due into one reseed. Before the first direct reseed nothing is due: the pools gather.
   *
   * Source: ch. 9.5.5, RandomData, its first half.
   * @returns whether there was a reseed
   * @throws TypeError if destroyed
   */
  reseedIfDue(): boolean {
    this.#assertAlive();
    if (!this.seeded) return false;
    const due = this.#schedule.takeDue((pool) => this.#pool(pool).lengthBytes);
    if (due.length === 0) return false;
    const sources = this.#sourcesIn(due);
    // s ← ε; s ← s ‖ SHAd-256(P_i); P_i ← ε
    const s = new Uint8Array(due.length * SHAD256_LENGTH_BYTES);
    this.#drain(due, s);
    // Reseed(G, s)
    this.#generator.reseed(s);
    wipe(s);
    this.#scheduledReseedCount += 1;
    if (this.#schedule.rekeyDue) this.#rekey();
    this.#onReseed?.({ sources, labels: [] });
    return true;
  }

  /**
   * Renews the secret order in which sources walk the pools, from fresh root output. Part of every resume, after its direct
   * reseed: a copy of this machine must not go on with our order. Pools, positions and ticks stay. The schedule asks for it
   * by itself whenever the deepest active pool is drained; `classic` has no secret order, and nothing happens.
   *
   * Source: DESIGN 6.3: sk ← HMAC(sk, fresh root output).
   * @throws LamplighterError ERR_NOT_SEEDED before the first direct reseed; TypeError if destroyed; state unchanged
   */
  rekeySchedule(): void {
    this.#assertAlive();
    this.#assertSeeded();
    this.#rekey();
  }

  /**
   * Pseudo-random bytes, after what is due has been drained.
   *
   * Source: ch. 9.5.5, RandomData. More than 2^20 bytes are several requests to the generator, each with its own key.
   * @param lengthBytes - 0..2^30
   * @returns a new array, not kept here
   * @throws RangeError on another length; LamplighterError ERR_NOT_SEEDED before the first direct reseed, however full the
   *   pools are; TypeError if destroyed; state unchanged
   */
  generate(lengthBytes: number): Uint8Array {
    this.#assertAlive();
    assertLength('the number of bytes', lengthBytes, 0, MAX_GENERATE_BYTES);
    this.#assertSeeded();
    const output = lengthBytes > MAX_REQUEST_BYTES ? new Uint8Array(lengthBytes) : undefined;
    this.reseedIfDue();
    if (output === undefined) return this.#generator.generate(lengthBytes);
    for (let offset = 0; offset < lengthBytes; offset += MAX_REQUEST_BYTES) {
      const request = this.#generator.generate(Math.min(MAX_REQUEST_BYTES, lengthBytes - offset));
      output.set(request, offset);
      wipe(request);
    }
    return output;
  }

  /**
   * The bypass: s = E(context, parts) goes past the pools, straight into Reseed, where the generator's secret K plays the
   * mix key. For first seeding, resume, clone detection and beacons only.
   *
   * Source: DESIGN 6.3. Pools, positions and schedule are untouched: draining deep pools on demand would hand whoever can
   * cause a bypass the premature reseed that Fortuna exists to prevent. The same bytes also belong into the source's pools,
   * which is the caller's `add`. Only the first direct reseed drains all pools; their digests enter as part `pools`.
   *
   * @param context - why, see {@link encode}
   * @param parts - one per source, absent ones included, see {@link encode}; at least one must hold a byte, and none may
   *   be `pools`. How much entropy makes a first seeding is the caller's judgement
   * @throws RangeError or TypeError as {@link encode}, or if nothing is present, or on a part `pools`; TypeError if
   *   destroyed; state unchanged
   */
  reseedDirect(context: string, parts: readonly Part[]): void {
    this.#assertAlive();
    if (parts.some(({ label }) => label === 'pools' || label.startsWith('pools/'))) {
      throw new RangeError('the part pools is made here, not by callers');
    }
    // Else a first seeding from nothing at all would make this look seeded.
    if (!parts.some(({ bytes }) => bytes !== undefined && bytes.length > 0)) {
      throw new RangeError('a direct reseed needs at least one byte');
    }

    const pools = this.seeded ? undefined : new Uint8Array(this.#pools.length * SHAD256_LENGTH_BYTES);
    const all = pools === undefined ? parts : withPools(parts, pools);
    encodedLengthBytes(context, all); // refuses whatever encode would, before anything is drained
    const sources = pools === undefined ? [] : this.#sourcesIn(this.#pools.keys());
    if (pools !== undefined) this.#drain(this.#pools.keys(), pools);
    const s = encode(context, all);
    this.#generator.reseed(s);
    wipe(s, pools);
    this.#directReseedCount += 1;
    if (pools !== undefined) {
      this.#schedule.allDrained();
      this.#rekey();
    }
    const present = parts.filter(({ bytes }) => bytes !== undefined && bytes.length > 0);
    this.#onReseed?.({ sources, labels: present.map(({ label }) => label) });
  }

  /** Wipes key and pools; every later call throws. The counts stay readable. Idempotent. */
  destroy(): void {
    this.#generator.destroy();
    for (const pool of this.#pools) pool.wipe();
    this.#schedule.wipe();
    this.#destroyed = true;
  }

  /** Writes the digests of these pools into `s`, one after the other, and empties the pools. */
  #drain(indices: Iterable<number>, s: Uint8Array): void {
    let offset = 0;
    for (const index of indices) {
      const digest = this.#pool(index).drain();
      s.set(digest, offset);
      wipe(digest);
      offset += digest.length;
    }
  }

  /** The sources of whose events there are some in these pools. Costs nothing when nobody wants to know. */
  #sourcesIn(indices: Iterable<number>): number[] {
    if (this.#onReseed === undefined) return [];
    const pools = [...indices].map((index) => this.#pool(index));
    return SOURCES.filter((source) => pools.some((pool) => pool.holds(source)));
  }

  #rekey(): void {
    this.#schedule.rekey(() => this.#generator.generate(SCHEDULE_KEY_BYTES));
  }

  #pool(index: number): Pool {
    const pool = this.#pools[index];
    if (pool === undefined) throw new RangeError(`there is no pool ${index}`);
    return pool;
  }

  #assertAlive(): void {
    if (this.#destroyed) throw new TypeError('the accumulator was destroyed');
  }

  #assertSeeded(): void {
    if (this.seeded) return;
    throw new LamplighterError('ERR_NOT_SEEDED', 'the accumulator has not been seeded', {
      hint: 'wait for the first direct reseed',
    });
  }
}

function scheduleNamed(name: ScheduleName, monotonicMs: () => number): Schedule {
  switch (name) {
    case 'classic':
      return classicSchedule({ monotonicMs });
    case 'improved':
      return improvedSchedule({ monotonicMs });
    default:
      throw new RangeError('there is no schedule of that name');
  }
}

/** `parts` and the digests of the pools, at their place in the order of labels. */
function withPools(parts: readonly Part[], digests: Uint8Array): Part[] {
  const pools: Part = { label: 'pools', bytes: digests };
  const place = parts.findIndex(({ label }) => compareLabels(label, pools.label) > 0);
  return place === -1 ? [...parts, pools] : parts.toSpliced(place, 0, pools);
}
