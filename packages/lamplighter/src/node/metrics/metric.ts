import type { NodeStatus } from '../../wire/status.js';

/** One value, and the values of its metric's labels in their order. */
export type Sample = readonly [value: number, ...labels: string[]];

/** One metric: what it is called, what it means, and how it is read from a status. */
export interface Metric {
  /** With prefix, unit and `_total`. */
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
  /** As many as there are now; none where the node has no such part. */
  readonly read: (status: NodeStatus) => readonly Sample[];
}

/** What goes up and down. `name` is without prefix. */
export function gauge(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name: `lamplighter_${name}`, type: 'gauge', help, labels, read };
}

/** What only goes up, until the node or the part begins anew. `name` is without prefix and `_total`. */
export function counter(name: string, help: string, labels: readonly string[], read: Metric['read']): Metric {
  return { name: `lamplighter_${name}_total`, type: 'counter', help, labels, read };
}

/** The one sample of a metric without labels; none when there is nothing to say. */
export const one = (value: number | boolean | undefined): readonly Sample[] =>
  value === undefined ? [] : [[Number(value)]];

/** Unix seconds of an ISO 8601 time; undefined of none. */
export const secondsOf = (time: string | undefined): number | undefined =>
  time === undefined ? undefined : Date.parse(time) / 1_000;
