import type { NodeStatus } from '../wire/status.js';

/** How fast a node goes, per second, between two looks at it. A part that one of the looks does not have has no rate. */
export interface StatusRates {
  readonly sources: ReadonlyMap<string, { readonly bytes: number; readonly events: number }>;
  readonly outlets: ReadonlyMap<string, { readonly bytes: number }>;
}

const NONE: StatusRates = { sources: new Map(), outlets: new Map() };

/**
 * Rates by the node's own clock.
 * @param before - the earlier look; undefined when there was none
 */
export function ratesBetween(before: NodeStatus | undefined, now: NodeStatus): StatusRates {
  // Another process counts anew.
  if (before === undefined || before.pid !== now.pid || before.uptimeMs >= now.uptimeMs) return NONE;
  const seconds = (now.uptimeMs - before.uptimeMs) / 1_000;
  return {
    sources: growth(before.sources, now.sources, (then, part) => ({
      bytes: (part.bytes - then.bytes) / seconds,
      events: (part.events - then.events) / seconds,
    })),
    outlets: growth(before.outlets, now.outlets, (then, part) => ({
      bytes: (part.bytes - then.bytes) / seconds,
    })),
  };
}

/** A part that was taken away and made anew by a reload began again at nothing: it has no rate this time. */
function growth<P extends { readonly name: string; readonly bytes: number }, R>(
  before: readonly P[],
  now: readonly P[],
  rate: (then: P, part: P) => R,
): ReadonlyMap<string, R> {
  const known = new Map(before.map((part) => [part.name, part]));
  return new Map(
    now.flatMap((part): [string, R][] => {
      const then = known.get(part.name);
      return then === undefined || part.bytes < then.bytes ? [] : [[part.name, rate(then, part)]];
    }),
  );
}
