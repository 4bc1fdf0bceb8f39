/** The spans for which a node remembers its numbers. */
export const HISTORY_SPANS = ['hour', 'day'] as const;

export type HistorySpan = (typeof HISTORY_SPANS)[number];

/**
 * What a node has measured lately, sample by sample.
 *
 * Series are rates a second over the time before their sample, or gauges: `source/NAME/bytes`, `source/NAME/events`,
 * `outlet/NAME/bytes`, `beacons`, `refused`, `reseeds`, `clients/ROLE/NAME` (beacons of the busiest identities, at most 32)
 * as rates; `memory` (resident bytes) as a gauge. Each has as many values as there are samples; null where the part was
 * not there, or had just begun.
 */
export interface HistoryReport {
  readonly version: 1;
  /** Between two samples. */
  readonly stepMs: number;
  /** Real time of each sample, Unix ms, oldest first; a clock that was set back shows as a step back. */
  readonly atMs: readonly number[];
  readonly series: Readonly<Record<string, readonly (number | null)[]>>;
}
