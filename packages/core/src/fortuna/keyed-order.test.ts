import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../encoding.js';
import { KeyedOrder, shuffle, shufflesPerBlock } from './keyed-order.js';

const SK = Buffer.alloc(32, 0x5a);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const sorted = (pools: readonly number[]): number[] => pools.toSorted((a, b) => a - b);

function keyed(active: number, sk: Uint8Array = SK): KeyedOrder {
  const order = new KeyedOrder();
  order.activate(active);
  order.rekey(Uint8Array.from(sk));
  return order;
}

const take = (order: KeyedOrder, source: number, count: number): number[] =>
  Array.from({ length: count }, () => order.next(source));

/** One block as the docstring writes it, bit by bit, sharing no code with the implementation but `encode`. */
function written(sk: Uint8Array, source: number, active: number, block: number) {
  let bits = '';
  let draw = 0;
  const takeBits = (count: number): number => {
    while (bits.length < count) {
      const fields = Buffer.alloc(14);
      fields.writeUInt8(source, 0);
      fields.writeUInt8(active, 1);
      fields.writeBigUInt64BE(BigInt(block), 2);
      fields.writeUInt32BE(draw, 10);
      draw += 1;
      const message = encode('permutation', [{ label: 'counter', bytes: fields }]);
      for (const byte of createHmac('sha512', sk).update(message).digest()) {
        bits += byte.toString(2).padStart(8, '0');
      }
    }
    const number = Number.parseInt(bits.slice(0, count), 2);
    bits = bits.slice(count);
    return number;
  };
  const order = upTo(shufflesPerBlock(active)).flatMap(() => {
    const pools = upTo(active);
    for (let last = active - 1; last > 0; last--) {
      let chosen: number;
      do chosen = takeBits(Math.ceil(Math.log2(last + 1)));
      while (chosen > last);
      [pools[last], pools[chosen]] = [pools[chosen] ?? -1, pools[last] ?? -1];
    }
    return pools;
  });
  return { order, draws: draw };
}

const writtenBlock = (...block: Parameters<typeof written>): number[] => written(...block).order;

describe('the shuffle', () => {
  it.each([
    [2, 8],
    [3, 14],
    [4, 14],
    [5, 18],
  ])('of %d gives every order equally often, counted over all texts of %d bits', (length, textBits) => {
    const counts = new Map<string, number>();
    const order = new Uint8Array(length);
    let unfinished = 0;
    for (let text = 0; text < 2 ** textBits; text++) {
      let used = 0;
      try {
        shuffle(order, 0, length, (count) => {
          used += count;
          if (used > textBits) throw new RangeError('the text is used up');
          return (text >>> (textBits - used)) & (2 ** count - 1);
        });
      } catch {
        unfinished += 1;
        continue;
      }
      counts.set(order.join(), (counts.get(order.join()) ?? 0) + 1);
    }
    const orders = upTo(length).reduce((product, factor) => product * (factor + 1), 1);
    expect(counts.size).toBe(orders);
    expect(new Set(counts.values()).size).toBe(1);
    // What is left over is only what rejection has not finished yet.
    expect(unfinished).toBeLessThan(2 ** textBits / 8);
  });

  it('would show a bias if there were one: the same count over remainders instead of rejection', () => {
    const counts = [0, 0, 0];
    for (let byte = 0; byte < 256; byte++) counts[byte % 3] = (counts[byte % 3] ?? 0) + 1;
    expect(new Set(counts).size).toBe(2);
  });

  it('without bits leaves the order as it is, and touches nothing around it', () => {
    const orders = new Uint8Array(6).fill(9);
    shuffle(orders, 1, 4, undefined);
    expect([...orders]).toEqual([9, 0, 1, 2, 3, 9]);
  });

  it('of eighteen puts every pool equally often in every place (chi-square, fixed key)', () => {
    const order = keyed(18);
    const rounds = 20_000;
    const counts = Array.from({ length: 18 * 18 }, () => 0);
    for (let round = 0; round < rounds; round++) {
      for (let place = 0; place < 18; place++) {
        const cell = place * 18 + order.next(3);
        counts[cell] = (counts[cell] ?? 0) + 1;
      }
    }
    const expected = rounds / 18;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 17 · 17 = 289 degrees of freedom: mean 289, standard deviation 24; within four of them.
    expect(chiSquare).toBeGreaterThan(289 - 4 * 24);
    expect(chiSquare).toBeLessThan(289 + 4 * 24);
  });
});

describe('the order', () => {
  it('is what the docstring writes, for every number of active pools', () => {
    for (let active = 1; active <= 18; active++) {
      const block = active * shufflesPerBlock(active);
      for (const source of [0, 7, 255]) {
        const expected = [0, 1, 2].flatMap((number) => writtenBlock(SK, source, active, number));
        expect(take(keyed(active), source, 3 * block)).toEqual(expected);
      }
    }
  });

  it('is the same in all versions of this program (known answer)', () => {
    expect(take(keyed(18), 1, 18).join(' ')).toBe('8 11 1 9 7 15 2 4 17 0 3 6 13 5 14 12 16 10');
  });

  it('mostly fits into one HMAC a block, and goes on where it does not', () => {
    const order = keyed(18);
    let second = 0;
    for (let block = 0; block < 1_000; block++) {
      const { order: expected, draws } = written(SK, 0, 18, block);
      expect(take(order, 0, 90)).toEqual(expected);
      second += draws - 1;
    }
    // Eighteen pools use 439 of 512 bits on average.
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThan(100);
  });

  it('has each active pool exactly once per A events of one source', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 18 }), fc.integer({ min: 0, max: 255 }), (active, source) => {
        const order = keyed(active);
        for (let round = 0; round < 150; round++) {
          expect(sorted(take(order, source, active))).toEqual(upTo(active));
        }
      }),
    );
  });

  it('still has it when the key is renewed in the middle of a round, which the next round then follows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 18 }), fc.nat({ max: 60 }), (active, before) => {
        const [renewed, other] = [keyed(active), keyed(active)];
        const events: number[] = [];
        for (let n = 0; n < 80 * active; n++) {
          if (n === before) renewed.rekey(Buffer.alloc(32, 1));
          events.push(renewed.next(4));
        }
        for (let round = 0; round < 80; round++) {
          expect(sorted(events.slice(round * active, (round + 1) * active))).toEqual(upTo(active));
        }
        const same = Math.ceil(before / active) * active;
        const old = take(other, 4, 80 * active);
        expect(events.slice(0, same)).toEqual(old.slice(0, same));
        // A coincidence of all the rest has a chance of 2^-49 and less.
        expect(events.slice(same)).not.toEqual(old.slice(same));
      }),
    );
  });

  it('renews its key as HMAC-SHA-512(sk, root output)', () => {
    const order = keyed(9);
    order.rekey(Buffer.alloc(32, 1));
    const sk = createHmac('sha512', SK).update(Buffer.alloc(32, 1)).digest();
    expect(take(order, 8, 135)).toEqual(writtenBlock(sk, 8, 9, 0));
  });

  it('wipes the root output it was given', () => {
    const order = new KeyedOrder();
    for (const fill of [1, 2]) {
      const rootOutput = new Uint8Array(32).fill(fill);
      order.rekey(rootOutput);
      expect(rootOutput).toEqual(new Uint8Array(32));
    }
  });

  it('before the first key is 0, 1, 2, …, and secret from the first event after it', () => {
    const order = new KeyedOrder();
    order.activate(9);
    expect(take(order, 2, 13)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3]);
    order.rekey(Uint8Array.from(SK));
    expect(take(order, 2, 122)).toEqual(writtenBlock(SK, 2, 9, 0).slice(13));
  });

  it('is drawn anew when the number of active pools changes, and goes on at n mod A', () => {
    const order = keyed(4);
    take(order, 6, 1000);
    order.activate(5);
    // 1000 = 5 blocks of 5 · 40 events
    expect(take(order, 6, 200)).toEqual(writtenBlock(SK, 6, 5, 5));
  });

  it('of a source no other source moves, whatever it does and however well it knows sk', () => {
    const steps = fc.array(
      fc.oneof(
        {
          weight: 5,
          arbitrary: fc.record({ source: fc.integer({ min: 0, max: 254 }), times: fc.nat({ max: 99 }) }),
        },
        { weight: 2, arbitrary: fc.constant('honest' as const) },
      ),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 18 }), steps, (active, steps) => {
        const [attacked, alone] = [keyed(active), keyed(active)];
        for (const step of steps) {
          if (step === 'honest') expect(attacked.next(255)).toBe(alone.next(255));
          else take(attacked, step.source, step.times);
        }
      }),
    );
  });

  it('differs between sources, keys and rounds', () => {
    const rounds = [
      ...[0, 1, 2].map((source) => take(keyed(18), source, 18)),
      take(keyed(18, Buffer.alloc(32, 1)), 0, 18),
      take(keyed(18), 0, 36).slice(18),
    ];
    expect(new Set(rounds.map((round) => round.join())).size).toBe(5);
  });
});
