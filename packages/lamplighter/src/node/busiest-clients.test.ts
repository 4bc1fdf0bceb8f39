import { describe, expect, it } from 'vitest';
import { BusiestClients } from './busiest-clients.js';
import type { Taken } from './fleet/gate.js';

const taken = (counts: Record<string, number>): Taken[] =>
  Object.entries(counts).map(([name, beacons]) => ({ role: 'machine', name, beacons }));

describe('the busiest clients', () => {
  it('are told by their rate since the last time', () => {
    const clients = new BusiestClients(() => undefined);
    expect(clients.rates(taken({ web: 100 }), 0)).toEqual(new Map());
    expect(clients.rates(taken({ web: 150, db: 10, idle: 0 }), 5)).toEqual(
      new Map([
        ['machine/web', 10],
        ['machine/db', 2],
      ]),
    );
    // Whoever was busy stays, and is shown to be idle now.
    expect(clients.rates(taken({ web: 150, db: 15 }), 5).get('machine/web')).toBe(0);
  });

  it('begin anew when they were forgotten meanwhile', () => {
    const clients = new BusiestClients(() => undefined);
    clients.rates(taken({ web: 100 }), 0);
    expect(clients.rates(taken({ web: 10 }), 5).get('machine/web')).toBe(2);
    expect(clients.rates([], 5)).toEqual(new Map());
  });

  it('are told apart by role: two may have one name', () => {
    const clients = new BusiestClients(() => undefined);
    clients.rates([], 0);
    const both: Taken[] = [
      { role: 'machine', name: 'one', beacons: 5 },
      { role: 'service', name: 'one', beacons: 10 },
    ];
    expect([...clients.rates(both, 5).keys()]).toEqual(['machine/one', 'service/one']);
  });

  it('are at most 32 of ten thousand; somebody clearly busier takes the place of another, who is told of', () => {
    const left: string[] = [];
    const clients = new BusiestClients((client) => left.push(client));
    const counts: Record<string, number> = {};
    clients.rates([], 0);
    for (let n = 0; n < 10_000; n++) counts[`m${n}`] = n % 100 === 0 ? 50 : 1;
    expect(clients.rates(taken(counts), 5).size).toBe(32);
    for (let n = 0; n < 20; n++) counts[`late${n}`] = 1_000;
    const rates = clients.rates(taken(counts), 5);
    expect(rates.size).toBe(32);
    for (let n = 0; n < 20; n++) expect(rates.get(`machine/late${n}`)).toBe(200);
    expect(left.filter((client) => rates.has(client))).toEqual([]);
    expect(left.length).toBeGreaterThanOrEqual(20);
  });

  it('do not flicker: one that is a little less busy for once keeps its place', () => {
    const clients = new BusiestClients(() => undefined);
    const counts: Record<string, number> = {};
    const step = (busy: number): Map<string, number> => {
      for (let n = 0; n < 40; n++) counts[`m${n}`] = (counts[`m${n}`] ?? 0) + (n % 40 === busy ? 11 : 10);
      return clients.rates(taken(counts), 1);
    };
    clients.rates([], 0);
    step(0);
    const first = [...step(1).keys()];
    for (let n = 0; n < 100; n++) expect([...step(n % 40).keys()]).toEqual(first);
  });
});
