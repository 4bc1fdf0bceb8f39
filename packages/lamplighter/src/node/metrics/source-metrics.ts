import { FAULT_REASONS } from '../../sources/camera/fault-reasons.js';
import type { SourceState, SourceStatus } from '../../wire/status.js';
import { counter, gauge, type Metric, type Sample, secondsOf } from './metric.js';

const STATES: readonly SourceState[] = ['starting', 'ok', 'degraded', 'failed', 'absent', 'ended', 'stopped'];
/** What a camera's health tests can find. */
const CAMERA_FAULTS: readonly string[] = Object.keys(FAULT_REASONS);

const LABELS = ['source', 'kind'];

/** One value for each source that has it. */
function each(
  value: (source: SourceStatus) => number | boolean | string | undefined,
): (status: { readonly sources: readonly SourceStatus[] }) => Sample[] {
  return ({ sources }) =>
    sources.flatMap((source): Sample[] => {
      const found = value(source);
      return typeof found === 'number' || typeof found === 'boolean'
        ? [[Number(found), source.name, source.kind]]
        : [];
    });
}

/** The same, for cameras: by name only. */
function cameras(
  values: (details: SourceStatus['details'], name: string) => readonly Sample[],
): (status: { readonly sources: readonly SourceStatus[] }) => Sample[] {
  return ({ sources }) =>
    sources.flatMap(({ kind, name, details }) => (kind === 'camera' ? values(details, name) : []));
}

const faultsOf = (details: SourceStatus['details']): readonly string[] =>
  String(details['faults']).split(',');

/** What is heard, and how well. */
export const SOURCE_METRICS: readonly Metric[] = [
  gauge(
    'source_up',
    '1 when the source is heard and nothing is wrong.',
    LABELS,
    each(({ state }) => state === 'ok'),
  ),
  gauge('source_state', '1 for the state the source is in.', [...LABELS, 'state'], ({ sources }) =>
    sources.flatMap(({ name, kind, state }) =>
      STATES.map((one): Sample => [Number(one === state), name, kind, one]),
    ),
  ),
  gauge(
    'source_required',
    '1 when nothing is served before this source has answered once.',
    LABELS,
    each(({ required }) => required),
  ),
  counter(
    'source_bytes',
    'Bytes heard from the source.',
    LABELS,
    each(({ bytes }) => bytes),
  ),
  counter(
    'source_events',
    'Events the source put into the pools.',
    LABELS,
    each(({ events }) => events),
  ),
  gauge(
    'source_last_heard_timestamp_seconds',
    'When the source was last heard.',
    LABELS,
    each(({ lastHeard }) => secondsOf(lastHeard)),
  ),
  gauge(
    'source_secret',
    '1 when what reached the generator last may hold bits an outsider does not know.',
    LABELS,
    ({ rest }) => rest.map(({ isSecret, name, kind }) => [Number(isSecret), name, kind]),
  ),
  gauge(
    'source_reached_timestamp_seconds',
    'When bytes of the source last reached the generator.',
    LABELS,
    ({ rest }) => rest.map(({ reachedAt, name, kind }) => [Date.parse(reachedAt) / 1_000, name, kind]),
  ),
  counter(
    'source_failures',
    'Answers that did not come.',
    LABELS,
    each(({ details }) => details['failures']),
  ),
  counter(
    'source_stuck_answers',
    'Answers that repeated themselves.',
    LABELS,
    each(({ details }) => details['stuckAnswers']),
  ),
  counter(
    'source_restarts',
    'Connections, children or devices begun anew.',
    LABELS,
    each(({ details }) => details['restarts'] ?? details['reconnects']),
  ),
  counter(
    'source_frames',
    'Frames heard, of a camera or a feed.',
    LABELS,
    each(({ details }) => details['frames']),
  ),

  gauge(
    'camera_healthy',
    '1 when the health tests find nothing wrong with the picture.',
    ['source'],
    cameras(({ picture }, name) => [[Number(picture === 'healthy'), name]]),
  ),
  gauge(
    'camera_fault',
    '1 for every fault found in the picture.',
    ['source', 'fault'],
    cameras((details, name) =>
      CAMERA_FAULTS.map((fault) => [Number(faultsOf(details).includes(fault)), name, fault]),
    ),
  ),
  counter(
    'camera_decoder_restarts',
    'Times the process that decodes pictures had to be started again.',
    ['source'],
    cameras(({ decoderRestarts }, name) =>
      typeof decoderRestarts === 'number' ? [[decoderRestarts, name]] : [],
    ),
  ),
];
