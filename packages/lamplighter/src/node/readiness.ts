import type { Basis } from '../wire/basis.js';
import type { NodeState, OutletStatus, Reason, SourceStatus } from '../wire/status.js';

/** Whether a node serves, why it may not be whole, and what its output rests on. */
export interface Readiness {
  readonly state: NodeState;
  readonly reasons: readonly Reason[];
  readonly basis: Basis;
}

/**
 * Judges a node by its parts.
 *
 * @param seeded - whether the first direct reseed has happened
 * @param waitingFor - why not, when not
 * @param everSimulated - whether anything simulated has ever been mixed in; it does not wear off
 */
export function judge(
  seeded: boolean,
  waitingFor: Reason | undefined,
  sources: readonly SourceStatus[],
  outlets: readonly OutletStatus[],
  everSimulated: boolean,
): Readiness {
  const reasons = [...sources.filter(isUnwell), ...outlets.filter(({ state }) => state === 'failed')].flatMap(
    (part) => named(part),
  );
  const state: NodeState = seeded ? (reasons.length === 0 ? 'ready' : 'degraded') : 'starting';
  return {
    state,
    reasons: seeded || waitingFor === undefined ? reasons : [waitingFor, ...reasons],
    basis: {
      simulated: everSimulated,
      degraded: state === 'degraded',
      physical: sources.some((source) => source.state === 'ok' && source.basis.physical),
    },
  };
}

/** `ended` and `starting` are no faults. */
const isUnwell = ({ state }: SourceStatus): boolean => state === 'failed' || state === 'degraded';

function named(part: SourceStatus | OutletStatus): Reason[] {
  const { reason } = part;
  return reason === undefined ? [] : [{ ...reason, message: `${part.name}: ${reason.message}` }];
}
