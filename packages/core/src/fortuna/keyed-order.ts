import { wipe } from '../bytes.js';
import { encode } from '../encoding.js';
import { hmac } from '../hmac.js';

/** u8 source ‖ u8 active pools ‖ u64 block number ‖ u32 draw: the last bytes of E. */
const FIELDS_BYTES = 14;

// Implementation constants. A block is as many shuffles as one HMAC (512 bits) mostly has bits for: with a block of one
// shuffle, two active pools would cost an HMAC, 4 µs, every other event.
/** Leaves room for the numbers that rejection throws away: at worst 1.4 of the 512 bits are used per bit of this. */
const BLOCK_BITS = 320;
/** Longest block: two active pools, 320 shuffles. */
const MAX_BLOCK_EVENTS = 640;

/**
 * The order in which each source walks the active pools: secret, its own, and each pool once a round.
 *
 * Source: DESIGN 6.3. The n-th event of source c, counted from 0, goes to π[n mod A]. A block is R · A events, R from
 * {@link shufflesPerBlock}; its R shuffles π are drawn one after the other from the bits of HMAC-SHA-512(sk, E), with
 *
 *     E = encode("permutation", [counter: u8 c ‖ u8 A ‖ u64 ⌊n / (R · A)⌋ ‖ u32 draw])
 *
 * where draw = 0, and 1, 2, … for further bits if rejection used up the 512. So the pool of an event is a function of
 * (sk, c, n, A) and nothing else: no source moves another's position, even with sk known.
 * Deviation: DESIGN draws one shuffle per block; here a block has several, all of them independent.
 *
 * Before the first key there is no order to hide: all pools are drained together at first seeding, wherever an event lies.
 * Sources then walk 0, 1, … A − 1; a zero key would look like protection and be none.
 */
export class KeyedOrder {
  #sk: Uint8Array | undefined;
  #active = 1;
  #blockEvents = shufflesPerBlock(1);
  /** Per source: n, the pools of its block in order, where in them the next event is, and where they must be drawn anew. */
  readonly #events = new Float64Array(256);
  readonly #orders: (Uint8Array | undefined)[] = Array.from({ length: 256 }, () => undefined);
  readonly #positions = new Uint16Array(256);
  readonly #ends = new Uint16Array(256);
  readonly #message = encode('permutation', [{ label: 'counter', bytes: new Uint8Array(FIELDS_BYTES) }]);
  readonly #fields = new DataView(this.#message.buffer, this.#message.length - FIELDS_BYTES);

  /**
   * The pool for the next event of a source; moves its position, and nobody else's.
   * @param source - c, 0..255, checked by the caller
   * @returns pool index, 0..A - 1
   */
  next(source: number): number {
    let position = this.#positions[source] ?? 0;
    if (position === this.#ends[source]) position = this.#draw(source);
    this.#positions[source] = position + 1;
    this.#events[source] = (this.#events[source] ?? 0) + 1;
    return this.#orders[source]?.[position] ?? 0;
  }

  /** Sets A, 1..18. Every source's order is drawn anew at its next event. */
  activate(active: number): void {
    this.#active = active;
    this.#blockEvents = active * shufflesPerBlock(active);
    this.#ends.set(this.#positions);
  }

  /**
   * sk ← the root output, the first time; sk ← HMAC(sk, root output) from then on.
   *
   * The first key voids the open order at once. Later ones take effect with each source's next round through the pools, so
   * that a round always has each pool once.
   * @param rootOutput - 32 fresh bytes; wiped
   */
  rekey(rootOutput: Uint8Array): void {
    if (this.#sk === undefined) {
      this.#sk = Uint8Array.from(rootOutput);
      this.#ends.set(this.#positions);
    } else {
      const old = this.#sk;
      this.#sk = hmac('sha512', old, rootOutput);
      wipe(old);
      for (const [source, position] of this.#positions.entries()) {
        const roundEnd = Math.ceil(position / this.#active) * this.#active;
        this.#ends[source] = Math.min(this.#ends[source] ?? 0, roundEnd);
      }
    }
    wipe(rootOutput);
  }

  /** Wipes sk and what was drawn from it. */
  wipe(): void {
    wipe(this.#sk, ...this.#orders);
  }

  /**
   * Draws the block in which event n of this source is.
   * @returns where in it
   */
  #draw(source: number): number {
    const n = this.#events[source] ?? 0;
    const block = Math.floor(n / this.#blockEvents);
    const order = (this.#orders[source] ??= new Uint8Array(MAX_BLOCK_EVENTS));
    const take = this.#sk === undefined ? undefined : this.#bits(this.#sk, source, block);
    for (let start = 0; start < this.#blockEvents; start += this.#active) {
      shuffle(order, start, this.#active, take);
    }
    this.#ends[source] = this.#blockEvents;
    return n % this.#blockEvents;
  }

  /** The bits of HMAC-SHA-512(sk, E), and of further draws; the most significant of each byte first. */
  #bits(sk: Uint8Array, source: number, block: number): (count: number) => number {
    const fields = this.#fields;
    fields.setUint8(0, source);
    fields.setUint8(1, this.#active);
    fields.setBigUint64(2, BigInt(block));
    let digest: Uint8Array = new Uint8Array(0);
    let used = 0;
    let draw = 0;
    let held = 0;
    let heldBits = 0;
    return (count) => {
      while (heldBits < count) {
        if (used === digest.length) {
          fields.setUint32(10, draw);
          digest = hmac('sha512', sk, this.#message);
          used = 0;
          draw += 1;
        }
        held = (held << 8) | (digest[used] ?? 0);
        used += 1;
        heldBits += 8;
      }
      heldBits -= count;
      const bits = held >>> heldBits;
      held &= (1 << heldBits) - 1;
      return bits;
    };
  }
}

/** R: shuffles drawn from one HMAC, for A active pools: 320 of two, 15 of nine, 5 of eighteen. */
export function shufflesPerBlock(active: number): number {
  let bits = 0;
  for (let range = 2; range <= active; range++) bits += bitsFor(range);
  return Math.floor(BLOCK_BITS / Math.max(1, bits));
}

/**
 * Fisher–Yates: writes 0 … length − 1 in an order of which each is equally likely if the bits are independent and fair.
 *
 * Source: Durstenfeld, CACM 7 (1964), Algorithm 235. A number too large is drawn again, never reduced: any remainder of 2^k
 * would favour some orders.
 * @param orders - overwritten from index `start` on; the rest is left alone
 * @param take - gives so many fresh bits as a number; without it the order is 0, 1, 2, …
 */
export function shuffle(
  orders: Uint8Array,
  start: number,
  length: number,
  take: ((count: number) => number) | undefined,
): void {
  for (let index = 0; index < length; index++) orders[start + index] = index;
  if (take === undefined) return;
  for (let last = length - 1; last > 0; last--) {
    const bits = bitsFor(last + 1);
    let chosen = take(bits);
    while (chosen > last) chosen = take(bits);
    const moved = orders[start + chosen] ?? 0;
    orders[start + chosen] = orders[start + last] ?? 0;
    orders[start + last] = moved;
  }
}

/** ⌈log2 range⌉, for 2..2^31. */
function bitsFor(range: number): number {
  return 32 - Math.clz32(range - 1);
}
