import type { Basis } from '../wire/basis.js';
import type { NodeState, OutletStatus, Reason, SourceStatus } from '../wire/status.js';

/** Whether a node serves, why it may not be whole, and what its output rests on. */
export interface Readiness {
  readonly state: NodeState;
  readonly reasons: readonly Reason[];
  readonly basis: Basis;
}

/**
 * Judges a node by what it hears. Outlets ask for this with every answer, so it does not depend on them.
 *
 * @param seeded - whether the first direct reseed has happened
 * @param waitingFor - why not, when not
 * @param everSimulated - whether anything simulated has ever been mixed in; it does not wear off
 */
export function judge(
  seeded: boolean,
  waitingFor: Reason | undefined,
  sources: readonly SourceStatus[],
  everSimulated: boolean,
): Readiness {
  // `absent`, `ended` and `starting` are no faults.
  const faults = sources
    .filter(({ state }) => state === 'failed' || state === 'degraded')
    .flatMap((source) => named(source));
  const state: NodeState = seeded ? servingState(faults) : 'starting';
  return {
    state,
    reasons: seeded || waitingFor === undefined ? faults : [waitingFor, ...faults],
    basis: {
      simulated: everSimulated,
      degraded: state === 'degraded',
      physical: sources.some((source) => source.state === 'ok' && source.basis.physical),
    },
  };
}

/** What a node's outlets have to complain of. */
export function outletReasons(outlets: readonly OutletStatus[]): Reason[] {
  return outlets.filter(({ state }) => state === 'failed').flatMap((outlet) => named(outlet));
}

/** The same, with complaints that make a node degraded, but its output no worse. */
export function withComplaints(readiness: Readiness, complaints: readonly Reason[]): Readiness {
  const { state } = readiness;
  return {
    ...readiness,
    reasons: [...readiness.reasons, ...complaints],
    state: state === 'ready' ? servingState(complaints) : state,
  };
}

const servingState = (faults: readonly Reason[]): NodeState => (faults.length === 0 ? 'ready' : 'degraded');

function named(part: SourceStatus | OutletStatus): Reason[] {
  const { name, reason } = part;
  return reason === undefined ? [] : [{ ...reason, message: `${name}: ${reason.message}` }];
}
