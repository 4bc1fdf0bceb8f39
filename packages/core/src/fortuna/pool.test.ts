import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shad256 } from '../shad256.js';
import { Pool } from './pool.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const source = fc.integer({ min: 0, max: 255 });
const event = fc.uint8Array({ minLength: 1, maxLength: 32 });

/** P_i as the book writes it: s ‖ length(e) ‖ e, one after the other. */
function written(events: readonly (readonly [number, Uint8Array])[]): Buffer {
  return Buffer.concat(events.map(([source, event]) => Buffer.from([source, event.length, ...event])));
}

describe('Pool', () => {
  it.each(['book', 'plain'] as const)(
    'drains to SHAd-256 of all events, however many buffers they fill (%s)',
    (variant) => {
      fc.assert(
        fc.property(fc.array(fc.tuple(source, event), { maxLength: 200 }), (events) => {
          const pool = new Pool(variant);
          for (const [source, event] of events) pool.add(source, event);
          expect(pool.lengthBytes).toBe(written(events).length);
          expect(hex(pool.drain())).toBe(hex(shad256(variant, written(events))));
        }),
      );
    },
  );

  it.each([29, 30, 31, 32, 60, 61, 1000])('around the end of its buffer: %d events of 34 bytes', (count) => {
    const pool = new Pool('book');
    const events = Array.from(
      { length: count },
      (_, index) => [index % 256, Buffer.alloc(32, index)] as const,
    );
    for (const [source, event] of events) pool.add(source, event);
    expect(hex(pool.drain())).toBe(hex(shad256('book', written(events))));
  });

  it('is empty after a drain and starts anew', () => {
    const pool = new Pool('book');
    for (let index = 0; index < 100; index++) pool.add(1, Buffer.alloc(32, index));
    pool.drain();
    expect(pool.lengthBytes).toBe(0);
    expect(hex(pool.drain())).toBe(hex(shad256('book')));
    pool.add(7, Uint8Array.of(9));
    expect(hex(pool.drain())).toBe(hex(shad256('book', Uint8Array.of(7, 1, 9))));
  });

  it('tells events apart that concatenate to the same bytes', () => {
    const digest = (...events: [number, Uint8Array][]): string => {
      const pool = new Pool('book');
      for (const [source, event] of events) pool.add(source, event);
      return hex(pool.drain());
    };
    const [a, b, ab] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(1, 2)];
    expect(
      new Set([digest([5, ab]), digest([5, a], [5, b]), digest([5, b], [5, a]), digest([6, ab])]).size,
    ).toBe(4);
  });

  it('copies the event', () => {
    const pool = new Pool('book');
    const event = Uint8Array.of(1);
    pool.add(0, event);
    event[0] = 2;
    expect(hex(pool.drain())).toBe(hex(shad256('book', Uint8Array.of(0, 1, 1))));
  });

  it('refuses what the book asserts, and changes nothing', () => {
    const pool = new Pool('book');
    pool.add(3, Uint8Array.of(4));
    expect(() => pool.add(3, new Uint8Array(0))).toThrow(RangeError);
    expect(() => pool.add(3, new Uint8Array(33))).toThrow(RangeError);
    for (const source of [-1, 256, 1.5, Number.NaN]) {
      expect(() => pool.add(source, Uint8Array.of(1))).toThrow(RangeError);
    }
    // @ts-expect-error plain JavaScript may hand in text
    expect(() => pool.add(3, 'text')).toThrow(TypeError);
    expect(pool.lengthBytes).toBe(3);
    expect(hex(pool.drain())).toBe(hex(shad256('book', Uint8Array.of(3, 1, 4))));
  });

  it('is empty after a wipe', () => {
    const pool = new Pool('book');
    for (let index = 0; index < 100; index++) pool.add(1, Buffer.alloc(32, index));
    pool.wipe();
    expect(pool.lengthBytes).toBe(0);
    expect(hex(pool.drain())).toBe(hex(shad256('book')));
  });
});
