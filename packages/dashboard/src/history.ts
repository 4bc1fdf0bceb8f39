import type { HistoryReport, HistorySpan } from '../../lamplighter/src/wire/history.js';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';
import { isHistory } from './decoders.js';
import { detail, outletNamed, rateOf, sourceNamed } from './rates.js';

/** How many samples each span keeps. */
const SPAN_MS: Readonly<Record<HistorySpan, number>> = { hour: 3_600_000, day: 86_400_000 };

/** Asks the node what it has measured. @returns undefined when it does not say */
export async function fetchHistory(
  span: HistorySpan,
  signal: AbortSignal,
): Promise<HistoryReport | undefined> {
  try {
    const response = await fetch(`/v1/history?span=${span}`, { signal, cache: 'no-store' });
    const value: unknown = await response.json();
    return isHistory(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A history with one more sample, made of the statuses since the last one, if a step has passed since then by the node's own
 * monotonic clock; the same history if not. What is older than the span goes.
 * @param since - the status at the last sample, and the one of now
 */
export function extended(
  history: HistoryReport,
  span: HistorySpan,
  since: readonly NodeStatus[],
): HistoryReport {
  const { stepMs, atMs } = history;
  const elapsedMs = (since.at(-1)?.uptimeMs ?? 0) - (since[0]?.uptimeMs ?? 0);
  if (elapsedMs < stepMs) return history;
  // The reader's clock may be another than the node's: only the node's counts.
  const nowMs = (atMs.at(-1) ?? Date.now() - elapsedMs) + elapsedMs;
  const kept = atMs.findIndex((at) => at >= nowMs - SPAN_MS[span]);
  const from = kept === -1 ? atMs.length : kept;
  const sample = sampleOf(since);
  const series: Record<string, readonly (number | null)[]> = {};
  for (const name of new Set([...Object.keys(history.series), ...Object.keys(sample)])) {
    const before = history.series[name] ?? atMs.map(() => null);
    series[name] = [...before.slice(from), sample[name] ?? null];
  }
  return { version: 1, stepMs, atMs: [...atMs.slice(from), nowMs], series };
}

/** The values of one sample: rates over these statuses, and gauges of the last; named as the node names them. */
export function sampleOf(since: readonly NodeStatus[]): Readonly<Record<string, number>> {
  const [first] = since;
  const last = since.at(-1);
  if (first === undefined || last === undefined || first === last) return {};
  const sample: Record<string, number> = {
    reseeds: rateOf(since, ({ generator }) => generator.reseeds),
    memory: last.residentMemoryBytes,
  };
  if (last.outlets.some(({ kind }) => kind === 'beacon')) sample['beacons'] = rateOf(since, beaconsServed);
  if (last.listener !== undefined) sample['refused'] = rateOf(since, refusedByListener);
  for (const { name } of last.sources) {
    if (sourceNamed(first, name) === undefined) continue;
    sample[`source/${name}/bytes`] = rateOf(since, (one) => sourceNamed(one, name)?.bytes);
    sample[`source/${name}/events`] = rateOf(since, (one) => sourceNamed(one, name)?.events);
  }
  for (const { name } of last.outlets) {
    if (outletNamed(first, name) === undefined) continue;
    sample[`outlet/${name}/bytes`] = rateOf(since, (one) => outletNamed(one, name)?.bytes);
  }
  for (const { role, name } of last.fleet?.peers.top ?? []) {
    const taken = (one: NodeStatus) =>
      one.fleet?.peers.top.find((peer) => peer.role === role && peer.name === name)?.beacons;
    if (taken(first) !== undefined) sample[`clients/${role}/${name}`] = rateOf(since, taken);
  }
  return sample;
}

/** By all beacon outlets since the start. */
export function beaconsServed({ outlets }: NodeStatus): number {
  return outlets.reduce((sum, outlet) => sum + (outlet.kind === 'beacon' ? detail(outlet, 'beacons') : 0), 0);
}

function refusedByListener({ listener }: NodeStatus): number {
  return Object.values(listener?.refused ?? {}).reduce((sum, count) => sum + count, 0);
}
