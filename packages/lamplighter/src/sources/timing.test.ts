import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { describeSourceCompliance } from './source.compliance.js';
import { timingSource } from './timing.js';

describeSourceCompliance('timing', () =>
  Promise.resolve({
    source: timingSource({ periodMs: 1 }, systemEnvironment()),
    cleanUp: () => Promise.resolve(),
  }),
);

describe('timing', () => {
  it('makes one event of sixteen moments, packet arrivals included', async () => {
    let nowNs = 0x1ff00n;
    const environment = { ...systemEnvironment(), monotonicNs: () => (nowNs += 1n) };
    const events: number[][] = [];
    const source = timingSource({ periodMs: 60_000 }, environment);
    await source.start({ hear: (bytes) => events.push([...bytes]) }, new AbortController().signal);
    for (let i = 0; i < 15; i += 1) environment.arrivals.note();
    expect(events).toEqual([]);
    environment.arrivals.note();
    expect(events).toEqual([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]]);
    await source.stop();
    for (let i = 0; i < 32; i += 1) environment.arrivals.note();
    expect(events.length).toBe(1);
  });
});
