import type { NodeStatus } from '../../wire/status.js';
import { counter, gauge, type Metric, one, type Sample } from './metric.js';

type Carrier = NonNullable<NodeStatus['carriers']>[number];
type Monitor = NonNullable<NodeStatus['guests']>['qmp'][number];

const carriers =
  (value: (carrier: Carrier) => number | boolean): Metric['read'] =>
  (now) =>
    (now.carriers ?? []).map((carrier): Sample => [Number(value(carrier)), carrier.name]);

const monitors =
  (value: (monitor: Monitor) => number | boolean): Metric['read'] =>
  ({ guests }) =>
    (guests?.qmp ?? []).map((monitor): Sample => [Number(value(monitor)), monitor.guest]);

/** The virtual machines of this host. */
export const GUEST_METRICS: readonly Metric[] = [
  gauge(
    'carrier_up',
    '1 when the carrier can be reached.',
    ['carrier'],
    carriers(({ reason }) => reason === undefined),
  ),
  gauge(
    'carrier_lines',
    'Guests whose end of a line is there.',
    ['carrier'],
    carriers(({ lines }) => lines),
  ),
  counter(
    'carrier_sessions',
    'Connections begun over the carrier.',
    ['carrier'],
    carriers(({ sessions }) => sessions),
  ),
  counter(
    'carrier_garbage_bytes',
    'Bytes heard that were in no frame.',
    ['carrier'],
    carriers(({ garbageBytes }) => garbageBytes),
  ),
  counter(
    'carrier_refused',
    'Lines refused because there were too many.',
    ['carrier'],
    carriers(({ refused }) => refused),
  ),
  counter('guests_told', 'Times a hook said that a guest was restored.', [], ({ guests }) =>
    one(guests?.told),
  ),
  counter('guests_refused', 'Times somebody said nonsense where hooks tell.', [], ({ guests }) =>
    one(guests?.refused),
  ),
  gauge(
    'guest_monitor_up',
    '1 when the monitor of the guest is followed.',
    ['guest'],
    monitors(({ following }) => following),
  ),
  counter(
    'guest_resumes',
    'Times the monitor said that the guest went on.',
    ['guest'],
    monitors(({ resumes }) => resumes),
  ),
];
