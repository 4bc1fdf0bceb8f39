import { describe, expect, it } from 'vitest';
import { able, unable } from '../../local/ability.js';
import { systemEnvironment } from '../../local/environment.js';
import { JitterMeasurement } from './measurement.js';

describe('JitterMeasurement', () => {
  it('is the time between two readings of the cycle counter, else of the monotonic clock', () => {
    let count = 0n;
    const tick = (): bigint => (count += 7n);
    const counter = { cycleCounter: () => able(tick()), monotonicNs: () => 0n };
    expect(new JitterMeasurement(counter).measure()).toBe(7);
    const monotonic = { cycleCounter: () => unable('none'), monotonicNs: tick };
    expect(new JitterMeasurement(monotonic).measure()).toBe(7);
  });

  it('is negative when the clock went backwards', () => {
    let count = 1_000_000n;
    const clock = { cycleCounter: () => able((count -= 5n)), monotonicNs: () => 0n };
    expect(new JitterMeasurement(clock).measure()).toBe(-5);
  });

  it('on the machine that runs this test: worth more than the one bit claimed (most common value)', () => {
    const measurement = new JitterMeasurement(systemEnvironment());
    const times = Array.from({ length: 4_096 }, () => measurement.measure());
    const counts = new Map<number, number>();
    for (const time of times) counts.set(time, (counts.get(time) ?? 0) + 1);
    const p = Math.max(...counts.values()) / times.length;
    const upper = p + 2.576 * Math.sqrt((p * (1 - p)) / (times.length - 1));
    expect(-Math.log2(upper)).toBeGreaterThan(1);
    measurement.wipe();
  });
});
