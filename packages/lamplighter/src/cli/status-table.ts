import type { NodeStatus, OutletStatus, Reason, SourceStatus } from '../wire/status.js';
import type { Paint, Tone } from './display.js';
import { fleetLines, listenerLines } from './status-fleet.js';
import { type Cell, labelledLines, tableLines, wrapped } from './status-layout.js';
import { ratesBetween, type StatusRates } from './status-rates.js';
import {
  agoWords,
  countWords,
  durationWords,
  timesWords,
  rateWords,
  sizeRateWords,
  sizeWords,
} from './status-words.js';

/** How a status is shown. */
export interface StatusView {
  /** Where it was asked for. */
  readonly where: string;
  /** Columns there are. */
  readonly width: number;
  readonly paint: Paint;
  /** Real time, Unix ms. */
  readonly nowMs: number;
}

/**
 * A node's status as lines: state and reasons first, then what makes its output, then what it hears and gives.
 * @param before - an earlier look, for the rates
 */
export function statusLines(now: NodeStatus, before: NodeStatus | undefined, view: StatusView): string[] {
  const { width } = view;
  const rates = ratesBetween(before, now);
  const tables = [sourceTable(now, rates, view), outletTable(now, rates, view)].filter(
    ({ length }) => length > 0,
  );
  return [
    ...headLines(now, view),
    ...now.reasons.flatMap((reason) => reasonLines(reason, width)),
    ...generatorLines(now, view),
    ...tables.flatMap((table) => ['', ...table]),
    '',
    ...listenerLines(now, view),
    ...fleetLines(now, view),
    ...configurationLines(now, width),
  ];
}

function headLines(
  { name, state, uptimeMs, software, pid, residentMemoryBytes }: NodeStatus,
  view: StatusView,
): string[] {
  const head = `${name}  ${state}`;
  const rest = `up ${durationWords(uptimeMs)}, ${software}, process ${pid}, ${sizeWords(residentMemoryBytes)} of memory, ${view.where}`;
  const [first = '', ...more] = wrapped(`${head}  ${rest}`, view.width - 2);
  return [
    first.replace(`  ${state}`, () => `  ${view.paint(STATE_TONES[state], state)}`),
    ...more.map((line) => `  ${line}`),
  ];
}

function reasonLines({ message, code, hint }: Reason, width: number): string[] {
  return [
    ...wrapped(`${message} [${code}]`, width - 4).map((line, i) => `${i === 0 ? '  - ' : '    '}${line}`),
    ...(hint === undefined ? [] : wrapped(`hint: ${hint}`, width - 4).map((line) => `    ${line}`)),
  ];
}

function generatorLines(now: NodeStatus, { width, nowMs }: StatusView): string[] {
  const { generator, basis, rest, hedge, resume } = now;
  const { schedule, seeded, directReseeds, lastReseed, pools } = generator;
  const parts = [
    schedule,
    seeded ? 'seeded' : 'not seeded',
    `${countWords(generator.reseeds)} reseeds (${countWords(directReseeds)} direct)`,
    ...(lastReseed === undefined ? [] : [`last ${agoWords(lastReseed, nowMs)}`]),
  ];
  const names = (isSecret: boolean): string =>
    rest
      .filter((one) => one.isSecret === isSecret)
      .map(({ name }) => name)
      .join(', ');
  const known = names(false);
  const restText = `${names(true) || 'nothing secret yet'}${known === '' ? '' : `; known to others: ${known}`}`;
  return [
    ...labelledLines('basis', basis.length === 0 ? 'nothing claimed' : basis.join(', '), width),
    ...labelledLines('rests on', restText, width),
    ...labelledLines('generator', parts.join(', '), width),
    ...labelledLines('pools', poolText(pools), width),
    ...labelledLines(
      'hedge',
      hedge.reason === undefined ? hedge.state : `${hedge.state}: ${hedge.reason.message}`,
      width,
    ),
    ...(resume === undefined
      ? []
      : labelledLines(
          'resumed',
          `${timesWords(resume.count)}, last ${agoWords(resume.at, nowMs)} (${resume.sign}); the OS RNG: ${resume.os}`,
          width,
        )),
  ];
}

function poolText(pools: NodeStatus['generator']['pools']): string {
  if (pools.length === 0) return 'none in use yet';
  return `${pools.map(({ bytes }) => sizeWords(bytes).replace(' ', '')).join(' ')} (since drained, pool 0 first)`;
}

function sourceTable(
  { sources }: NodeStatus,
  rates: StatusRates,
  { width, paint, nowMs }: StatusView,
): string[] {
  const rows = sources.map((source): Cell[] => {
    const rate = rates.sources.get(source.name);
    return [
      { text: source.name },
      { text: source.kind },
      { text: stateOf(source), tone: PART_TONES[source.state] },
      { text: sizeWords(source.bytes) },
      { text: sizeRateWords(rate?.bytes) },
      { text: rateWords(rate?.events) },
      { text: source.lastHeard === undefined ? 'never' : agoWords(source.lastHeard, nowMs) },
    ];
  });
  return tableLines(
    [
      { title: 'source', rank: 0, align: 'left' },
      { title: 'kind', rank: 3, align: 'left' },
      { title: 'state', rank: 0, align: 'left' },
      { title: 'heard', rank: 2, align: 'right' },
      { title: 'bytes', rank: 1, align: 'right' },
      { title: 'events', rank: 1, align: 'right' },
      { title: 'last', rank: 4, align: 'right' },
    ],
    rows,
    { width, paint },
  );
}

function outletTable({ outlets }: NodeStatus, rates: StatusRates, { width, paint }: StatusView): string[] {
  const rows = outlets.map((outlet): Cell[] => [
    { text: outlet.name },
    { text: outlet.kind },
    { text: outlet.state, tone: PART_TONES[outlet.state] },
    { text: sizeWords(outlet.bytes) },
    { text: sizeRateWords(rates.outlets.get(outlet.name)?.bytes) },
    { text: numbersOf(outlet) },
  ]);
  return tableLines(
    [
      { title: 'outlet', rank: 0, align: 'left' },
      { title: 'kind', rank: 3, align: 'left' },
      { title: 'state', rank: 0, align: 'left' },
      { title: 'given', rank: 2, align: 'right' },
      { title: 'bytes', rank: 1, align: 'right' },
      { title: 'counts', rank: 4, align: 'left' },
    ],
    rows,
    { width, paint },
  );
}

/** Some say what they earn no credit for, which is not a fault. */
const stateOf = ({ state, basis }: SourceStatus): string =>
  state === 'ok' && basis.simulated ? 'ok, simulated' : state;

const numbersOf = ({ details }: OutletStatus): string =>
  Object.entries(details)
    .filter(([, value]) => typeof value === 'number' && value !== 0)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');

function configurationLines(
  { configuration: { file, reloads, reloadError } }: NodeStatus,
  width: number,
): string[] {
  const again = reloads === 0 ? '' : `, read again ${timesWords(reloads)}`;
  const fault = reloadError === undefined ? '' : `; the new one is not followed: ${reloadError.message}`;
  return labelledLines('configured', `${file}${again}${fault}`, width);
}

const STATE_TONES: Readonly<Record<NodeStatus['state'], Tone>> = {
  starting: 'weak',
  ready: 'good',
  degraded: 'weak',
  stopping: 'bad',
};

const PART_TONES: Readonly<Record<SourceStatus['state'] | OutletStatus['state'], Tone>> = {
  starting: 'weak',
  waiting: 'weak',
  ok: 'good',
  degraded: 'weak',
  failed: 'bad',
  absent: 'dim',
  ended: 'dim',
  stopped: 'dim',
};
