import { describe, expect, it } from 'vitest';
import { AddressBudgets } from './address-budget.js';

function fixture(perMinute: number, maxAddresses = 100) {
  let nowNs = 7_000_000_000n;
  const budgets = new AddressBudgets({ perMinute, maxAddresses }, { monotonicNs: () => nowNs });
  return {
    budgets,
    advanceMs: (ms: number) => {
      nowNs += BigInt(Math.round(ms * 1_000_000));
    },
    /** How many of so many requests are let through. */
    flood: (address: string, requests: number) =>
      Array.from({ length: requests }, () => budgets.take(address)).filter((waitMs) => waitMs === 0).length,
  };
}

describe('a budget by address', () => {
  it('is so many at once, then one a slot, and never more than a minute of them saved', () => {
    const { budgets, advanceMs, flood } = fixture(6);
    expect(flood('192.0.2.1', 1_000)).toBe(6);
    expect(budgets.take('192.0.2.1')).toBeCloseTo(10_000);
    advanceMs(9_999);
    expect(budgets.take('192.0.2.1')).toBeCloseTo(1);
    advanceMs(1);
    expect(flood('192.0.2.1', 10)).toBe(1);
    advanceMs(3_600_000);
    expect(flood('192.0.2.1', 1_000)).toBe(6);
  });

  it('is of each address by itself', () => {
    const { flood } = fixture(5);
    expect(flood('192.0.2.1', 100)).toBe(5);
    expect(flood('192.0.2.2', 100)).toBe(5);
  });

  it('is one for a whole IPv6 /64, however many addresses of it are used', () => {
    const { budgets } = fixture(5);
    let served = 0;
    for (let host = 0; host < 1_000; host += 1) {
      if (budgets.take(`2001:db8:1:2::${host.toString(16)}`) === 0) served += 1;
    }
    expect(served).toBe(5);
    expect(budgets.size).toBe(1);
    expect(budgets.take('2001:db8:1:3::1')).toBe(0);
  });

  it('is not earned by asking while there is none', () => {
    const { budgets, advanceMs } = fixture(60);
    let served = 0;
    // A hundred a second for two minutes.
    for (let turn = 0; turn < 12_000; turn += 1) {
      if (budgets.take('192.0.2.1') === 0) served += 1;
      advanceMs(10);
    }
    expect(served).toBeGreaterThanOrEqual(178);
    expect(served).toBeLessThanOrEqual(180);
  });

  it('remembers a bounded number of addresses, and never forgets one that is asking for one that is not', () => {
    const { budgets, flood } = fixture(5, 1_000);
    expect(flood('192.0.2.1', 100)).toBe(5);
    for (let address = 0; address < 10_000; address += 1) {
      budgets.take(`10.0.${address >> 8}.${address & 255}`);
      expect(budgets.take('192.0.2.1')).toBeGreaterThan(0);
      expect(budgets.size).toBeLessThanOrEqual(1_000);
    }
  });

  it('forgets whoever has been silent for longest when there is no place left', () => {
    const { flood } = fixture(1, 2);
    expect(flood('192.0.2.1', 2)).toBe(1);
    expect(flood('192.0.2.2', 2)).toBe(1);
    expect(flood('192.0.2.3', 2)).toBe(1);
    expect(flood('192.0.2.2', 1)).toBe(0);
    expect(flood('192.0.2.1', 1)).toBe(1);
  });
});
