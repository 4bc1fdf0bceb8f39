import { setImmediate as turn } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { Pressure } from './pressure.js';

/** Keeps the event loop busy, as answering does. */
function burn(forMs: number): void {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs);
}

/** Whether a request is let in. */
function isServed(pressure: Pressure, who: string): boolean {
  try {
    pressure.admit(who);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(LamplighterError);
    const { code, retryAfterMs } = error as LamplighterError;
    expect(code).toBe('ERR_OVERLOADED');
    expect(retryAfterMs).toBeGreaterThanOrEqual(1_000);
    expect(retryAfterMs).toBeLessThanOrEqual(5_000);
    return false;
  }
}

/** A node that is behind: 12 requests of `greedy` in one turn, and half a second spent on them. */
function behind(): Pressure {
  const pressure = new Pressure({ maxLagMs: 100, maxQueued: 10 });
  for (let count = 0; count < 12; count += 1) expect(isServed(pressure, 'greedy')).toBe(true);
  burn(500);
  return pressure;
}

describe('Pressure', () => {
  it('serves everybody while the loop keeps up, however much they ask', () => {
    const pressure = new Pressure({ maxLagMs: 60_000, maxQueued: 0 });
    for (let count = 0; count < 10_000; count += 1) expect(isServed(pressure, 'greedy')).toBe(true);
  });

  it('serves few requests even when something else has kept the loop', () => {
    const pressure = new Pressure({ maxLagMs: 1, maxQueued: 10 });
    for (let count = 0; count < 10; count += 1) {
      expect(isServed(pressure, 'greedy')).toBe(true);
      burn(5);
    }
  });

  it('when it is behind refuses who took the most, and serves a quiet one', () => {
    const pressure = behind();
    expect(isServed(pressure, 'greedy')).toBe(false);
    expect(isServed(pressure, 'quiet')).toBe(true);
    expect(isServed(pressure, 'another')).toBe(true);
    expect(isServed(pressure, 'greedy')).toBe(false);
  });

  it('is behind in the next turn too, and no longer when the loop has rested', async () => {
    const pressure = behind();
    await turn();
    expect(isServed(pressure, 'greedy')).toBe(false);
    await turn();
    // That turn was short, and what it brought was little.
    expect(isServed(pressure, 'greedy')).toBe(true);
  });

  it('gives less of a share the further it is behind, but never less than one request', () => {
    const pressure = new Pressure({ maxLagMs: 50, maxQueued: 4 });
    for (const who of ['a', 'b', 'c']) {
      for (let count = 0; count < 8; count += 1) expect(isServed(pressure, who)).toBe(true);
    }
    burn(75);
    // 24 requests of three: a share is 8 at 50 ms, and some 5 by now.
    expect(isServed(pressure, 'a')).toBe(false);
    expect(isServed(pressure, 'd')).toBe(true);
    expect(isServed(pressure, 'd')).toBe(true);
    burn(1_000);
    expect(isServed(pressure, 'e')).toBe(true);
  });
});
