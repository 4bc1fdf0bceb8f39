import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { outletOf, refusals, sourceOf, statusOf } from '../wire/status.fixture.js';
import type { NodeStatus } from '../wire/status.js';
import type { Taken } from './fleet/gate.js';
import { History } from './history.js';

/** A history of a node whose status the test sets. */
function historyOf(status: NodeStatus) {
  const environment = fixedEnvironment();
  const now = { status, clients: [] as Taken[], asked: 0 };
  const history = new History({
    environment,
    status: () => {
      now.asked += 1;
      return now.status;
    },
    clients: () => now.clients,
  });
  history.start();
  return { environment, history, now };
}

/** A relay that has done so much. */
const relayOf = (count: number): NodeStatus =>
  statusOf({
    generator: { schedule: 'improved', seeded: true, reseeds: count, directReseeds: 1, pools: [] },
    sources: [sourceOf({ bytes: 1_000 * count, events: 10 * count })],
    outlets: [
      outletOf({ bytes: 64 * count, details: { beacons: count } }),
      outletOf({ name: 'feed', kind: 'feed', bytes: 88 * count, details: { frames: count } }),
    ],
    listener: {
      connections: 3,
      handshakes: { done: 1, begun: 0, waiting: 0, silent: 0 },
      queued: 0,
      refused: refusals({ quota: 2 * count, role: 3 * count }),
    },
    residentMemoryBytes: 100_000_000,
  });

describe('the history of a node', () => {
  it('is rates a second of what was counted, and gauges as they are', () => {
    const { environment, history, now } = historyOf(relayOf(0));
    now.status = relayOf(50);
    now.clients = [{ role: 'machine', name: 'web-1', beacons: 50 }];
    environment.advance(5_000);
    expect(history.report('hour')).toEqual({
      version: 1,
      stepMs: 5_000,
      atMs: [1_700_000_001_000, 1_700_000_006_000],
      series: {
        memory: [100_000_000, 100_000_000],
        reseeds: [null, 10],
        'source/wall/bytes': [null, 10_000],
        'source/wall/events': [null, 100],
        'outlet/beacons/bytes': [null, 640],
        'outlet/feed/bytes': [null, 880],
        beacons: [null, 10],
        refused: [null, 50],
        'clients/machine/web-1': [null, 10],
      },
    });
  });

  it('remembers an hour at 5 s and a day at 2 min, and then no more', () => {
    const { environment, history, now } = historyOf(relayOf(0));
    for (let minute = 1; minute <= 30 * 60; minute += 2) {
      now.status = relayOf(minute);
      environment.advance(120_000);
    }
    for (const [span, hours] of [
      ['hour', 1],
      ['day', 24],
    ] as const) {
      const { atMs, series } = history.report(span);
      expect((atMs.at(-1) ?? 0) - (atMs[0] ?? 0)).toBeGreaterThanOrEqual(hours * 3_600_000);
      expect(atMs.length).toBeLessThanOrEqual(728);
      expect(Object.values(series).every((values) => values.length === atMs.length)).toBe(true);
    }
  });

  it('shows a part that came by reload from its second sample on, and counts one that was replaced from nothing', () => {
    const { environment, history, now } = historyOf(statusOf());
    now.status = statusOf({ sources: [sourceOf({ bytes: 500 })] });
    environment.advance(5_000);
    now.status = statusOf({ sources: [sourceOf({ bytes: 1_000 })] });
    environment.advance(5_000);
    now.status = statusOf({ sources: [sourceOf({ bytes: 200 })] });
    environment.advance(5_000);
    now.status = statusOf();
    environment.advance(5_000);
    expect(history.report('hour').series['source/wall/bytes']).toEqual([null, null, 100, 40, null]);
  });

  it('measures by the monotonic clock: a timer that comes late changes no rate', () => {
    const { environment, history, now } = historyOf(relayOf(0));
    const timers: (() => void)[] = [];
    const late = new History({
      environment: {
        ...environment,
        timers: { ...environment.timers, every: (_ms, run) => (timers.push(run), { cancel() {} }) },
      },
      status: () => now.status,
      clients: () => [],
    });
    late.start();
    now.status = relayOf(120);
    environment.advance(12_000);
    for (const run of timers) run();
    expect(late.report('hour').series['beacons']).toEqual([null, 10]);
    expect(history.report('hour').series['beacons']?.length).toBe(3);
  });

  it('asks nothing any more once it is stopped, and keeps what it has', () => {
    const { environment, history, now } = historyOf(relayOf(0));
    environment.advance(10_000);
    history.stop();
    const { asked } = now;
    const report = history.report('hour');
    environment.advance(600_000);
    expect(now.asked).toBe(asked);
    expect(history.report('hour')).toEqual(report);
  });

  it('has series of 32 clients and no more, however many take turns at being busy', () => {
    const { environment, history, now } = historyOf(relayOf(0));
    const counts = new Float64Array(2_000);
    for (let step = 0; step < 60; step++) {
      for (const n of counts.keys()) counts[n] = (counts[n] ?? 0) + (n % 60 === step ? 10 * (step + 1) : 0);
      now.clients = Array.from(counts, (beacons, n) => ({ role: 'machine', name: `m${n}`, beacons }));
      environment.advance(5_000);
    }
    const names = Object.keys(history.report('hour').series).filter((name) => name.startsWith('clients/'));
    expect(names).toHaveLength(32);
  });
});
