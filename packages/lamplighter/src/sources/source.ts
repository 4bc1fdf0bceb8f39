import type { SourceReport } from '../wire/status.js';

/**
 * When a round asks a source (DESIGN "Order of asking"): outside inputs first, closed by the deadline; only then what
 * this machine alone can see, so that nobody outside can choose his input last.
 */
export type SourcePosition = 'outside' | 'local';

/** Where a source puts what it hears. */
export interface SourceSink {
  /**
   * Takes bytes of any length ≥ 1 as one event. They are hashed or copied before this returns; the source may wipe
   * or reuse its buffer at once. Never throws for a full or stopped node.
   */
  hear(bytes: Uint8Array): void;
}

/**
 * Something a node hears from. It pushes events as they come, answers `sample` when a round asks, and knows nothing
 * of pools, credit or outlets.
 *
 * Lifecycle: `start` once, `stop` once. A source may not assume that it is ever sampled, that the node is seeded, or
 * that any other source exists. A fault of its peer, device or child is a state in `status()`, never a rejection or a
 * crash; it recovers by itself, with back-off and jitter. Memory is bounded whatever the peer does.
 */
export interface Source {
  readonly name: string;
  readonly kind: string;
  readonly position: SourcePosition;

  /**
   * Begins to listen and returns when the first attempt is under way (not when it has succeeded).
   * @param sink - where events go
   * @param signal - aborted when the node stops: everything held is let go, as by `stop`
   */
  start(sink: SourceSink, signal: AbortSignal): Promise<void>;

  /**
   * One answer for one round: bytes that were not in an earlier answer, or absent.
   * @param signal - aborted at the round's deadline; resolves to undefined then
   * @returns fresh bytes, length ≥ 1, owned by the caller; or undefined when there are none
   */
  sample(signal: AbortSignal): Promise<Uint8Array | undefined>;

  /** The truth, now. Cheap: called for every status request and scrape. */
  status(): SourceReport;

  /** Releases every socket, child, timer and listener; resolves when they are gone. Idempotent. */
  stop(): Promise<void>;
}
