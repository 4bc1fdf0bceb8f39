import { type NodeStatus, type OutletStatus, type SourceStatus, STATUS_VERSION } from './status.js';
import { REFUSED_REASONS, type RefusedReason } from './listener-limits.js';

/** For tests: a whole status, of a relay that serves and has nothing to complain of. */
export function statusOf(changes: Partial<NodeStatus> = {}): NodeStatus {
  return {
    version: STATUS_VERSION,
    name: 'relay',
    software: 'lamplighter 0',
    pid: 1,
    state: 'ready',
    reasons: [],
    uptimeMs: 1_500,
    basis: [],
    generator: { schedule: 'improved', seeded: true, reseeds: 7, directReseeds: 2, pools: [], tick: 3 },
    rest: [],
    residentMemoryBytes: 100,
    hedge: { state: 'on' },
    sources: [],
    outlets: [],
    configuration: { file: 'relay.yaml', reloads: 0 },
    ...changes,
  };
}

/** For tests: a source that is heard. */
export function sourceOf(changes: Partial<SourceStatus> = {}): SourceStatus {
  return {
    name: 'wall',
    kind: 'camera',
    required: false,
    state: 'ok',
    basis: { simulated: false, degraded: false, physical: true },
    details: {},
    bytes: 1_000,
    events: 10,
    ...changes,
  };
}

/** For tests: an outlet that works. */
export function outletOf(changes: Partial<OutletStatus> = {}): OutletStatus {
  return {
    name: 'beacons',
    kind: 'beacon',
    state: 'ok',
    bytes: 64,
    details: { beacons: 1, refused: 0 },
    ...changes,
  };
}

/** For tests: how often what was refused, 0 unless told. */
export function refusals(
  changes: Partial<Record<RefusedReason, number>> = {},
): Record<RefusedReason, number> {
  const none = Object.fromEntries(REFUSED_REASONS.map((reason) => [reason, 0])) as Record<
    RefusedReason,
    number
  >;
  return { ...none, ...changes };
}
