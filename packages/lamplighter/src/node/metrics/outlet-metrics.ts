import type { OutletStatus } from '../../wire/status.js';
import { counter, gauge, type Metric, type Sample } from './metric.js';

const STATES: readonly OutletStatus['state'][] = ['waiting', 'ok', 'failed', 'stopped'];
const LABELS = ['outlet', 'kind'];

/** The details in which outlets count what they did not serve. */
const REFUSALS = ['refused', 'overBudget', 'refusedConnections', 'refusedPeers', 'refusedDomains'];

/** One value for each outlet that has it. */
function each(
  value: (outlet: OutletStatus) => number | boolean | string | undefined,
): (status: { readonly outlets: readonly OutletStatus[] }) => Sample[] {
  return ({ outlets }) =>
    outlets.flatMap((outlet): Sample[] => {
      const found = value(outlet);
      return typeof found === 'number' || typeof found === 'boolean'
        ? [[Number(found), outlet.name, outlet.kind]]
        : [];
    });
}

/** A detail of the outlets of one kind. */
const detail = (kind: OutletStatus['kind'], name: string) =>
  each((outlet) => (outlet.kind === kind ? outlet.details[name] : undefined));

/** Everything an outlet did not serve; undefined for one that cannot refuse anybody. */
function refused({ details }: OutletStatus): number | undefined {
  const counts = REFUSALS.map((name) => details[name]).filter((count) => typeof count === 'number');
  return counts.length === 0 ? undefined : counts.reduce((sum, count) => sum + count, 0);
}

/** What is given out, and to how many. */
export const OUTLET_METRICS: readonly Metric[] = [
  gauge(
    'outlet_up',
    '1 when the outlet works.',
    LABELS,
    each(({ state }) => state === 'ok'),
  ),
  gauge('outlet_state', '1 for the state the outlet is in.', [...LABELS, 'state'], ({ outlets }) =>
    outlets.flatMap(({ name, kind, state }) =>
      STATES.map((one): Sample => [Number(one === state), name, kind, one]),
    ),
  ),
  counter(
    'outlet_bytes',
    'Bytes handed out by the outlet.',
    LABELS,
    each(({ bytes }) => bytes),
  ),
  counter('outlet_refused', 'Requests and connections the outlet did not serve.', LABELS, each(refused)),
  counter(
    'outlet_failures',
    'Times the outlet could not hand on what it should.',
    LABELS,
    each(({ details }) => details['failures']),
  ),
  counter('beacons', 'Beacons given.', LABELS, detail('beacon', 'beacons')),
  counter('feed_frames', 'Feed frames sent.', LABELS, detail('feed', 'frames')),
  counter(
    'feed_dropped',
    'Subscribers that were too slow and were dropped.',
    LABELS,
    detail('feed', 'dropped'),
  ),
  gauge('feed_subscribers', 'Subscribers of the feed now.', LABELS, detail('feed', 'subscribers')),
  counter('pollen_answers', 'Answers to pollen clients.', LABELS, detail('pollen', 'answers')),
  counter('kernel_writes', "Writes to the kernel's RNG.", LABELS, detail('kernel', 'writes')),
  gauge('outlet_connections', 'Connections to the outlet now.', LABELS, detail('egd', 'connections')),
  gauge(
    'outlet_guests',
    'Guests the outlet serves now.',
    LABELS,
    each(({ kind, details }) =>
      kind === 'trickle' ? details['connected'] : kind === 'xenstore' ? details['domains'] : undefined,
    ),
  ),
];
