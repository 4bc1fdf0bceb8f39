import type { NodeStatus } from '../../lamplighter/src/wire/status.js';

/** How fast a count grows over the last seconds, by the node's own monotonic clock. */
export function rateOf(
  recent: readonly NodeStatus[],
  count: (status: NodeStatus) => number | undefined,
): number {
  const [first] = recent;
  const last = recent.at(-1);
  if (first === undefined || last === undefined || last.uptimeMs <= first.uptimeMs) return 0;
  const before = count(first);
  const now = count(last);
  // A part that was made anew by a reload counts from 0 again.
  if (before === undefined || now === undefined || now < before) return 0;
  return ((now - before) * 1_000) / (last.uptimeMs - first.uptimeMs);
}

/** A source by its name. */
export const sourceNamed = (status: NodeStatus, name: string): NodeStatus['sources'][number] | undefined =>
  status.sources.find((source) => source.name === name);

/** An outlet by its name. */
export const outletNamed = (status: NodeStatus, name: string): NodeStatus['outlets'][number] | undefined =>
  status.outlets.find((outlet) => outlet.name === name);

/** A number among the details of a part; 0 when it is not there. */
export function detail(
  part: { readonly details: Readonly<Record<string, unknown>> } | undefined,
  name: string,
): number {
  const value = part?.details[name];
  return typeof value === 'number' ? value : 0;
}
