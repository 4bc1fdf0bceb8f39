import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { encode, type Part } from '../encoding.js';
import { compareLabels } from '../labels.js';

/**
 * Fortuna written down as slowly and plainly as possible, with whole pools in memory and the rules of DESIGN 6.1 to 6.3. It
 * shares no code with the implementation but `encode`. What the schedules decide is left to the two models below.
 */
abstract class Model {
  key: Buffer = Buffer.alloc(32);
  counter = 0n;
  pools: Buffer[];
  scheduledCount = 0;
  directCount = 0;

  constructor(poolCount: number) {
    this.pools = Array.from({ length: poolCount }, () => EMPTY);
  }

  /** The pool of the next event of a source. */
  protected abstract place(source: number, nowMs: number): number;
  /** The pools that are drained now. */
  protected abstract due(nowMs: number): number[];
  protected abstract afterDrain(): void;
  abstract rekey(): void;
  protected abstract firstSeeded(): void;

  add(source: number, event: Uint8Array, nowMs: number): void {
    const record = event.length > 32 ? sha256(event) : Buffer.from(event);
    const pool = this.place(source, nowMs);
    this.pools[pool] = Buffer.concat([
      this.pools[pool] ?? EMPTY,
      Buffer.from([source, record.length]),
      record,
    ]);
  }

  reseedIfDue(nowMs: number): boolean {
    if (this.directCount === 0) return false;
    const due = this.due(nowMs);
    if (due.length === 0) return false;
    this.scheduledCount += 1;
    const digests = due.map((pool) => {
      const digest = shad256(this.pools[pool] ?? EMPTY);
      this.pools[pool] = EMPTY;
      return digest;
    });
    this.#reseed(Buffer.concat(digests));
    this.afterDrain();
    return true;
  }

  reseedDirect(context: string, parts: readonly Part[]): void {
    const first = this.directCount === 0;
    const all = [...parts];
    if (first) {
      all.push({ label: 'pools', bytes: Buffer.concat(this.pools.map(shad256)) });
      this.pools.fill(EMPTY);
    }
    all.sort((a, b) => compareLabels(a.label, b.label));
    this.#reseed(Buffer.from(encode(context, all)));
    this.directCount += 1;
    if (first) this.firstSeeded();
  }

  generate(lengthBytes: number, nowMs: number): Buffer {
    this.reseedIfDue(nowMs);
    return this.rootOutput(lengthBytes);
  }

  protected rootOutput(lengthBytes: number): Buffer {
    const out: Buffer[] = [];
    for (let left = lengthBytes; left > 0 || out.length === 0; left -= 2 ** 20) {
      const n = Math.min(left, 2 ** 20);
      const blocks = Array.from({ length: Math.ceil(n / 16) }, () => this.#block());
      out.push(Buffer.concat(blocks).subarray(0, n));
      this.key = Buffer.concat([this.#block(), this.#block()]);
    }
    return Buffer.concat(out);
  }

  #block(): Buffer {
    const C = Buffer.from(this.counter.toString(16).padStart(32, '0'), 'hex').reverse();
    this.counter += 1n;
    return createCipheriv('aes-256-ecb', this.key, null).setAutoPadding(false).update(C);
  }

  #reseed(s: Buffer): void {
    this.key = shad256(Buffer.concat([this.key, s]));
    this.counter += 1n;
  }
}

/** The book's schedule. */
export class ClassicModel extends Model {
  readonly positions = new Map<number, number>();
  lastMs: number | undefined;

  constructor() {
    super(32);
  }

  protected place(source: number): number {
    const position = this.positions.get(source) ?? 0;
    this.positions.set(source, position + 1);
    return position % 32;
  }

  protected due(nowMs: number): number[] {
    if ((this.pools[0]?.length ?? 0) < 64) return [];
    if (this.lastMs !== undefined && nowMs - this.lastMs < 100) return [];
    this.lastMs = nowMs;
    return [...this.pools.keys()].filter((i) => (this.scheduledCount + 1) % 2 ** i === 0);
  }

  protected afterDrain(): void {}
  protected firstSeeded(): void {}
  rekey(): void {}
}

/**
 * The improved schedule, for sources within their rate: more than 100 events of one source in a second are a test of
 * event-rate.ts. Every pool is worked out from n, by all the shuffles before it.
 */
export class ImprovedModel extends Model {
  readonly events = new Map<number, number>();
  /** The rest of the round a source is in, which a new key leaves alone. */
  readonly rounds = new Map<number, number[]>();
  sk: Buffer | undefined;
  counted = 0;
  /** Ticks that are due. */
  ticks: number[] = [];
  rekeys = 0;

  constructor() {
    super(18);
  }

  get active(): number {
    const tick = Math.floor(this.counted / 18);
    return Math.max(1, ...[...this.pools.keys()].map((i) => (tick >= 3 ** i ? i + 1 : 0)));
  }

  protected place(source: number): number {
    const n = this.events.get(source) ?? 0;
    const A = this.active;
    let round = this.rounds.get(source) ?? [];
    if (round.length === 0) round = this.#round(source, n, A);
    const pool = round[0] ?? -1;
    this.rounds.set(source, round.slice(1));
    this.events.set(source, n + 1);
    this.counted += 1;
    if (this.counted % 18 === 0) this.ticks.push(this.counted / 18);
    if (this.active !== A) this.rounds.clear();
    return pool;
  }

  /** What is left at event n of the round it is in. */
  #round(source: number, n: number, A: number): number[] {
    const identity = Array.from({ length: A }, (_, pool) => pool);
    if (this.sk === undefined) return identity.slice(n % A);
    let shuffleBits = 0;
    for (let range = 2; range <= A; range++) shuffleBits += Math.ceil(Math.log2(range));
    const blockRounds = Math.floor(320 / Math.max(1, shuffleBits));
    const bits = this.#bits(this.sk, source, A, Math.floor(n / (A * blockRounds)));
    let pools = identity;
    for (let round = 0; round <= Math.floor(n / A) % blockRounds; round++) {
      pools = [...identity];
      for (let last = A - 1; last > 0; last--) {
        const width = Math.ceil(Math.log2(last + 1));
        let chosen = bits(width);
        while (chosen > last) chosen = bits(width);
        [pools[last], pools[chosen]] = [pools[chosen] ?? -1, pools[last] ?? -1];
      }
    }
    return pools.slice(n % A);
  }

  #bits(sk: Buffer, source: number, A: number, block: number): (count: number) => number {
    let text = '';
    let draw = 0;
    return (count) => {
      while (text.length < count) {
        const bytes = Buffer.alloc(14);
        bytes.writeUInt8(source, 0);
        bytes.writeUInt8(A, 1);
        bytes.writeBigUInt64BE(BigInt(block), 2);
        bytes.writeUInt32BE(draw, 10);
        draw += 1;
        const E = encode('permutation', [{ label: 'counter', bytes }]);
        const digest = createHmac('sha512', sk).update(E).digest();
        text += [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
      }
      const number = Number.parseInt(text.slice(0, count), 2);
      text = text.slice(count);
      return number;
    };
  }

  protected due(): number[] {
    const pools = [...this.pools.keys()].filter((i) => this.ticks.some((tick) => tick % 3 ** i === 0));
    this.ticks = [];
    this.deepest = pools.includes(this.active - 1);
    return pools;
  }

  deepest = false;

  protected afterDrain(): void {
    if (this.deepest) this.rekey();
  }

  protected firstSeeded(): void {
    this.ticks = [];
    this.rounds.clear();
    this.rekey();
  }

  rekey(): void {
    const fresh = this.rootOutput(32);
    this.sk = this.sk === undefined ? fresh : createHmac('sha512', this.sk).update(fresh).digest();
    this.rekeys += 1;
  }
}

const EMPTY = Buffer.alloc(0);
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const shad256 = (bytes: Uint8Array): Buffer => sha256(sha256(Buffer.concat([Buffer.alloc(64), bytes])));
