import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bucket as BucketOfNs } from './bucket.js';

/** The same, asked in milliseconds. */
class Bucket extends BucketOfNs {
  override take(amount: number, nowMs: number): number {
    return super.take(amount, Math.round(nowMs * 1e6));
  }

  override isFull(nowMs: number): boolean {
    return super.isFull(nowMs * 1e6);
  }

  override become(perMinute: number, burst: number, nowMs: number): void {
    super.become(perMinute, burst, nowMs * 1e6);
  }
}

describe('Bucket', () => {
  it('gives its burst at once, and then what comes back', () => {
    const bucket = new Bucket(60, 3);
    expect([1, 2, 3].map(() => bucket.take(1, 0))).toEqual([0, 0, 0]);
    expect(bucket.take(1, 0)).toBe(1_000);
    expect(bucket.take(1, 999)).toBe(1);
    expect(bucket.take(1, 1_000)).toBe(0);
    expect(bucket.take(3, 1_000)).toBe(3_000);
    expect(bucket.take(3, 4_000)).toBe(0);
    expect(bucket.taken).toBe(7);
  });

  it('tells exactly when what is asked for will be there, and takes nothing until then', () => {
    const asked = fc.array(fc.record({ amount: fc.integer({ min: 1, max: 50 }), laterMs: fc.nat(5_000) }), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6_000_000 }),
        fc.integer({ min: 50, max: 500 }),
        asked,
        (rate, burst, asks) => {
          const bucket = new Bucket(rate, burst);
          let nowMs = 1_234.567;
          for (const { amount, laterMs } of asks) {
            nowMs += laterMs;
            const waitMs = bucket.take(amount, nowMs);
            if (waitMs === 0) continue;
            expect(Number.isInteger(waitMs)).toBe(true);
            if (waitMs > 1) expect(bucket.take(amount, nowMs + waitMs - 1)).toBe(1);
            nowMs += waitMs;
            expect(bucket.take(amount, nowMs)).toBe(0);
          }
        },
      ),
    );
  });

  it('gives nobody more than burst and rate together, whenever he asks', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.nat(2_000), { minLength: 1, maxLength: 300 }),
        (rate, burst, gapsMs) => {
          const bucket = new Bucket(rate, burst);
          let nowMs = 0;
          for (const gapMs of gapsMs) {
            nowMs += gapMs;
            bucket.take(1, nowMs);
          }
          // The cost of one is rounded to a nanosecond.
          expect(bucket.taken).toBeLessThanOrEqual(burst + (nowMs * rate * 1.000_01) / 60_000 + 1);
        },
      ),
    );
  });

  it('gives nothing for a clock that stands or goes back, and is not lost to one that jumped', () => {
    const bucket = new Bucket(60, 2);
    bucket.take(2, 100_000);
    expect(bucket.take(1, 100_000)).toBe(1_000);
    expect(bucket.take(1, 50_000)).toBe(1_000);
    expect(bucket.isFull(50_000)).toBe(false);
    expect(bucket.take(1, 101_000)).toBe(0);
  });

  it('keeps what is missing when it becomes another, but never more than the whole', () => {
    const bucket = new Bucket(1, 100);
    bucket.take(100, 0);
    bucket.become(60, 10, 0);
    expect(bucket.take(1, 0)).toBe(1_000);
    expect(bucket.isFull(9_999)).toBe(false);
    expect(bucket.isFull(10_000)).toBe(true);
    bucket.take(4, 10_000);
    bucket.become(60, 100, 10_000);
    expect(bucket.take(97, 10_000)).toBe(1_000);
    expect(bucket.take(96, 10_000)).toBe(0);
  });

  it('refuses what it never holds', () => {
    const bucket = new Bucket(60, 2);
    expect(() => bucket.take(3, 0)).toThrow(RangeError);
    expect(bucket.take(2, 0)).toBe(0);
  });
});
