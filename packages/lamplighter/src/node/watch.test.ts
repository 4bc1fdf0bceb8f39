import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import type { FleetStatus } from '../wire/fleet-status.js';
import { outletOf, refusals, sourceOf, statusOf } from '../wire/status.fixture.js';
import type { ListenerStatus, NodeStatus } from '../wire/status.js';
import { EventLog } from './event-log.js';
import { watchStates } from './watch.js';

const DARK = { code: 'ERR_CAMERA_DARK', message: 'the picture is dark' } as const;

const listenerOf = (refused: ListenerStatus['refused']): ListenerStatus => ({
  connections: 0,
  handshakes: { done: 0, begun: 0, waiting: 0, silent: 0 },
  queued: 0,
  refused,
});

const fleetOf = (changes: Partial<FleetStatus> = {}): FleetStatus => ({
  certificate: { name: 'relay', role: 'relay', serial: '40AA', notAfter: '2030-01-01T00:00:00.000Z' },
  peers: { identities: 0, refused: { quota: 0, connections: 0, revoked: 0, identities: 0 }, top: [] },
  policy: { from: 'folder', revokedNames: 0, revokedSerials: 0, quotas: 0 },
  ...changes,
});

/** Watches a status that the test sets; `tell` gives what was told since the last time, after `ms`. */
function watching(first: NodeStatus) {
  const environment = fixedEnvironment();
  const events = new EventLog(environment);
  const now = { status: first };
  const watch = watchStates(environment, events, () => now.status);
  let last = 0;
  const tell = (status?: NodeStatus, ms = 500): string[] => {
    if (status !== undefined) now.status = status;
    environment.advance(ms);
    const fresh = events.since(last);
    last += fresh.length;
    return fresh.map(({ level, part, text, reason }) =>
      [level, part, text, reason?.code].filter(Boolean).join(' | '),
    );
  };
  return { tell, watch };
}

describe('watching a node', () => {
  it('tells each part at the start, then only what changes, with its reason', () => {
    const ok = statusOf({ sources: [sourceOf()], outlets: [outletOf()] });
    const { tell, watch } = watching(ok);
    expect(tell()).toEqual([
      'info | source wall | source wall is ok',
      'info | outlet beacons | outlet beacons is ok',
      'info | node | node is ready',
    ]);
    expect(tell(ok, 60_000)).toEqual([]);
    const dark = statusOf({
      ...ok,
      state: 'degraded',
      sources: [sourceOf({ state: 'degraded', reason: DARK })],
    });
    expect(tell(dark)).toEqual([
      'warn | source wall | source wall is degraded | ERR_CAMERA_DARK',
      'warn | node | node is degraded',
    ]);
    const frozen = { ...DARK, code: 'ERR_CAMERA_FROZEN' } as const;
    expect(tell({ ...dark, sources: [sourceOf({ state: 'degraded', reason: frozen })] })).toEqual([
      'warn | source wall | source wall is degraded | ERR_CAMERA_FROZEN',
    ]);
    expect(tell(ok)).toHaveLength(2);
    watch.cancel();
    expect(tell(dark)).toEqual([]);
  });

  it('tells a part that went and came back by reload anew', () => {
    const { tell } = watching(statusOf({ sources: [sourceOf()] }));
    tell();
    expect(tell(statusOf())).toEqual([]);
    expect(tell(statusOf({ sources: [sourceOf()] }))).toEqual(['info | source wall | source wall is ok']);
  });

  it('tells of another certificate, one that ends soon, a stale policy, and revocations', () => {
    const reason = { code: 'ERR_RENEWAL', message: 'the certificate expires' } as const;
    const { certificate, policy } = fleetOf();
    const { tell } = watching(statusOf({ fleet: fleetOf() }));
    expect(tell()).toEqual(['info | node | node is ready']);
    expect(tell(statusOf({ fleet: fleetOf({ certificate: { ...certificate, reason } }) }))).toEqual([
      'warn | certificate | certificate is degraded | ERR_RENEWAL',
    ]);
    expect(tell(statusOf({ fleet: fleetOf({ certificate: { ...certificate, serial: '40BB' } }) }))).toEqual([
      'info | certificate | certificate is ok',
      'info | certificate | another certificate is used, 40BB, until 2030-01-01T00:00:00.000Z',
    ]);
    if (policy === undefined) throw new Error('the fixture has one');
    const stale = { code: 'ERR_POLICY_STALE', message: 'no answer' } as const;
    const after = { certificate: { ...certificate, serial: '40BB' } };
    expect(tell(statusOf({ fleet: fleetOf({ ...after, policy: { ...policy, reason: stale } }) }))).toEqual([
      'warn | policy | policy is degraded | ERR_POLICY_STALE',
    ]);
    expect(tell(statusOf({ fleet: fleetOf({ ...after, policy: { ...policy, revokedNames: 2 } }) }))).toEqual([
      'info | policy | policy is ok',
      'info | policy | revoked now: 2 names, 0 serials',
    ]);
  });

  it('tells when an overload begins and when nobody was turned away for ten seconds', () => {
    const loaded = (overloaded: number, tooManyHandshakes = 0): NodeStatus =>
      statusOf({ listener: listenerOf(refusals({ overloaded, tooManyHandshakes })) });
    // Turned away before the first look: history, not news.
    const { tell } = watching(loaded(1_000));
    tell();
    expect(tell(loaded(1_003))).toEqual([
      'warn | listener | there are more than can be served | ERR_OVERLOADED',
    ]);
    expect(tell(loaded(1_500, 200), 5_000)).toEqual([]);
    expect(tell(undefined, 5_000)).toEqual([]);
    expect(tell(undefined, 2_000)).toEqual([
      'info | listener | the overload is over: 700 connections or requests were turned away',
    ]);
    expect(tell(undefined, 60_000)).toEqual([]);
    expect(tell(loaded(1_501, 200))).toHaveLength(1);
  });

  it('calls it no overload when one client opens more connections than it may', () => {
    const { tell } = watching(statusOf({ listener: listenerOf(refusals()) }));
    tell();
    expect(tell(statusOf({ listener: listenerOf(refusals({ tooManyConnections: 50, quota: 9 })) }))).toEqual(
      [],
    );
  });

  it('tells of a hedge that is lost, a carrier and a monitor that cannot be reached', () => {
    const gone = { code: 'ERR_UPSTREAM_UNREACHABLE', message: 'nobody is there' } as const;
    const carrier = { name: 'guests', lines: 0, sessions: 0, garbageBytes: 0, refused: 0 };
    const guests = { socket: '/s', told: 0, refused: 0 };
    const { tell } = watching(statusOf({ carriers: [carrier] }));
    tell();
    const told = tell(
      statusOf({
        hedge: { state: 'degraded', reason: gone },
        carriers: [{ ...carrier, reason: gone }],
        guests: { ...guests, qmp: [{ guest: 'web-1', following: false, resumes: 0, fault: gone }] },
      }),
    );
    expect(told).toEqual([
      'warn | carrier guests | carrier guests is degraded | ERR_UPSTREAM_UNREACHABLE',
      'warn | monitor of web-1 | monitor of web-1 is degraded | ERR_UPSTREAM_UNREACHABLE',
      'warn | hedge | hedge is degraded | ERR_UPSTREAM_UNREACHABLE',
    ]);
  });
});
