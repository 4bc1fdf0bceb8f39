import type { NodeStatus, OutletStatus, SourceStatus } from '../wire/status.js';

/** For tests: a source that is well. */
export const aSource = (over: Partial<SourceStatus> = {}): SourceStatus => ({
  name: 'os',
  kind: 'os',
  required: false,
  state: 'ok',
  basis: { simulated: false, degraded: false, physical: false },
  details: {},
  bytes: 1_000,
  events: 100,
  lastHeard: '2026-01-01T00:00:00.000Z',
  ...over,
});

/** For tests: an outlet that is well. */
export const anOutlet = (over: Partial<OutletStatus> = {}): OutletStatus => ({
  name: 'beacons',
  kind: 'beacon',
  state: 'ok',
  bytes: 6_400,
  details: { beacons: 100 },
  ...over,
});

/** For tests: a node that is well, with everything a status may hold. */
export const aStatus = (over: Partial<NodeStatus> = {}): NodeStatus => ({
  version: 1,
  name: 'relay-1',
  software: 'lamplighter 0.1.0',
  pid: 4_711,
  state: 'ready',
  reasons: [],
  uptimeMs: 10_000,
  basis: ['physical'],
  listen: { host: '0.0.0.0', port: 9_443 },
  generator: {
    schedule: 'improved',
    seeded: true,
    reseeds: 1_234,
    directReseeds: 12,
    lastReseed: '2026-01-01T00:00:00.000Z',
    pools: [
      { bytes: 64, drains: 3 },
      { bytes: 1_900, drains: 1 },
    ],
    tick: 4,
  },
  rest: [
    { name: 'os', kind: 'os', reachedAt: '2026-01-01T00:00:00.000Z', isSecret: true },
    { name: 'wall', kind: 'camera', reachedAt: '2026-01-01T00:00:00.000Z', isSecret: false },
  ],
  residentMemoryBytes: 90_000_000,
  hedge: { state: 'on' },
  fleet: {
    certificate: {
      name: 'relay-1',
      role: 'relay',
      serial: '4F02',
      notAfter: '2026-02-01T00:00:00.000Z',
      renewsAt: '2026-01-20T00:00:00.000Z',
    },
    peers: {
      identities: 2,
      refused: { quota: 3, connections: 0, revoked: 1, identities: 0 },
      top: [{ role: 'machine', name: 'web-1', connections: 1, beacons: 50, feedBytes: 0, refused: 0 }],
    },
    policy: {
      from: 'folder',
      revokedNames: 1,
      revokedSerials: 2,
      quotas: 3,
      changedAt: '2026-01-01T00:00:00.000Z',
    },
    renewals: { renewed: 5, refused: 0 },
    enrolment: { enrolled: 7, refused: { ERR_TOKEN_SPENT: 2 } },
    audit: { file: '/var/log/lamplighter/relay-1.jsonl', records: 100, lost: 0 },
  },
  guests: {
    socket: '/run/lamplighter-host/news/resumed.sock',
    told: 2,
    refused: 0,
    qmp: [{ guest: 'a', following: true, resumes: 1 }],
  },
  carriers: [{ name: 'carrier', lines: 2, sessions: 3, garbageBytes: 0, refused: 0 }],
  resume: { count: 1, at: '2026-01-01T00:00:00.000Z', sign: 'vm-generation', os: 'fresh', undone: [] },
  sources: [
    aSource(),
    aSource({ name: 'wall', kind: 'camera', basis: { simulated: true, degraded: false, physical: false } }),
  ],
  outlets: [anOutlet()],
  configuration: { file: '/etc/lamplighter/relay.yaml', reloads: 0 },
  ...over,
});
