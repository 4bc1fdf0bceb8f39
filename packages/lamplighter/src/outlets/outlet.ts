import type { Stream } from '../local/stream.js';
import type { Basis } from '../wire/basis.js';
import type { NodeState, OutletReport } from '../wire/status.js';

/** What an outlet is given: it draws only from a stream, and holds no source. */
export interface OutletContext {
  /**
   * A stream of this outlet's own, keyed from the root. Reading before the node is seeded throws ERR_NOT_SEEDED.
   * @param label - names the use: one stream, one purpose
   */
  stream(label: string): Stream;
  /** Whether to serve, and what the output rests on, now. */
  readiness(): { readonly state: NodeState; readonly basis: Basis };
  /** Resolves when the node is first seeded; rejects with ERR_STOPPED when it stops before that. */
  ready(): Promise<void>;
  /** Bytes a client pushed in: mixed, never credited, never enough to make a node seeded. */
  hear(uncreditedBytes: Uint8Array): void;
}

/**
 * Something a node speaks through.
 *
 * Lifecycle: `start` once, `stop` once. An outlet serves nothing before the node is seeded and says "not ready"
 * instead; it makes no bytes ahead; it drains before it stops, and could run in another process.
 */
export interface Outlet {
  readonly name: string;
  readonly kind: string;

  /**
   * Registers routes, opens sockets or starts timers.
   * @param signal - aborted when the node stops at once
   * @throws LamplighterError `fix-configuration` when it can never work as configured
   */
  start(context: OutletContext, signal: AbortSignal): Promise<void>;

  status(): OutletReport;

  /**
   * Of an outlet with lines to guests: a burst, now. Does nothing before the node is seeded.
   * @param guest - the one that was restored or cloned; all of them, because this host was, when absent
   * @returns on how many lines
   */
  resume?(guest?: string): number;

  /** Of an outlet that listens for itself: destroys its connections without another byte. @returns how many there were */
  cut?(): number;

  /**
   * Of an outlet that listens for itself: its certificate as it is now, for handshakes from now on.
   * @throws LamplighterError; the old one stays in use
   */
  reloadTls?(): Promise<void>;

  /**
   * Finishes what is owed and releases everything. Idempotent.
   * @param deadlineMs - monotonic milliseconds from now after which whatever is left is cut
   */
  stop(deadlineMs: number): Promise<void>;
}
