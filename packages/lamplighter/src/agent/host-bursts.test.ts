import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TRICKLE_GREETING } from '../wire/trickle.js';
import { BURST_BYTES, HostBursts } from './host-bursts.js';

const GREETING = Buffer.from(TRICKLE_GREETING, 'latin1');
const burst = (byte: number): Buffer => Buffer.alloc(BURST_BYTES, byte);
const found = (...chunks: Uint8Array[]): Buffer[] => {
  const bursts = new HostBursts();
  return chunks.flatMap((chunk) => bursts.push(chunk)).map((bytes) => Buffer.from(bytes));
};

describe('bursts of the host', () => {
  it('are what follows a greeting, and nothing else', () => {
    expect(found(burst(1), burst(2))).toEqual([]);
    expect(found(Buffer.concat([burst(1), GREETING, burst(2), burst(3)]))).toEqual([burst(2)]);
    expect(found(GREETING, burst(1), GREETING, burst(2))).toEqual([burst(1), burst(2)]);
  });

  it('wait until they are whole', () => {
    expect(found(GREETING, burst(1).subarray(1))).toEqual([]);
    expect(found(GREETING)).toEqual([]);
  });

  it('begin anew when the host does, in the middle of one or of its greeting', () => {
    expect(found(GREETING, burst(1).subarray(62), GREETING, burst(2))).toEqual([burst(2)]);
    expect(found(GREETING, burst(1).subarray(1), GREETING, burst(2)).at(-1)).toEqual(burst(2));
    expect(found(GREETING.subarray(0, 30), GREETING, burst(3))).toEqual([burst(3)]);
  });

  it('are found however the bytes are cut', () => {
    const all = Buffer.concat([burst(7), GREETING, burst(8), burst(9), GREETING, burst(10)]);
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 20 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), all.length];
        const chunks = places.slice(1).map((end, i) => all.subarray(places[i], end));
        expect(found(...chunks)).toEqual([burst(8), burst(10)]);
      }),
    );
  });

  it('leave nothing behind when wiped', () => {
    const bursts = new HostBursts();
    bursts.push(Buffer.concat([GREETING, burst(1).subarray(1)]));
    bursts.wipe();
    expect(bursts.push(burst(2))).toEqual([]);
  });
});
