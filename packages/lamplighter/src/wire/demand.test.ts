import { describe, expect, it } from 'vitest';
import { Demand } from './demand.js';

describe('Demand', () => {
  it('counts what a network has asked for, half of it after four seconds', () => {
    const demand = new Demand();
    expect(demand.of('a', 0)).toBe(0);
    for (let asked = 0; asked < 8; asked += 1) demand.note('a', 1_000);
    expect(demand.of('a', 1_000)).toBe(8);
    expect(demand.of('a', 5_000)).toBe(4);
    demand.note('a', 5_000);
    expect(demand.of('a', 9_000)).toBe(2.5);
    expect(demand.of('b', 9_000)).toBe(0);
  });

  it('remembers 4,096 networks, and forgets the one that has not asked for longest', () => {
    const demand = new Demand();
    for (let network = 0; network < 4_096; network += 1) demand.note(String(network), 0);
    demand.note('0', 0);
    demand.note('another', 0);
    expect(['0', '1', '2', 'another'].map((network) => demand.of(network, 0))).toEqual([2, 0, 1, 1]);
  });
});
