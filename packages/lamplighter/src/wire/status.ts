import type { ResumeStatus } from '../local/resume.js';
import type { Basis } from './basis.js';
import type { CarrierStatus } from './carrier-status.js';
import type { FleetStatus } from './fleet-status.js';
import type { RefusedReason } from './listener-limits.js';
import type { Reason } from './reason.js';

export type { Reason, ResumeStatus };

/** The version of {@link NodeStatus}. Raised when a field changes its meaning or goes away. */
export const STATUS_VERSION = 1;

/**
 * - `starting`: nothing heard yet.
 * - `ok`: heard, and nothing is wrong.
 * - `degraded`: still heard and mixed, but earns no credit.
 * - `failed`: nothing is heard; it is tried again with back-off.
 * - `absent`: this machine does not have what it is heard with (a device, an instruction). Not a fault; it is looked for again.
 * - `ended`: the source had an end (a file) and reached it. Not a fault.
 * - `stopped`: told to stop.
 */
export type SourceState = 'starting' | 'ok' | 'degraded' | 'failed' | 'absent' | 'ended' | 'stopped';

/** What a source says of itself. */
export interface SourceReport {
  readonly state: SourceState;
  readonly reason?: Reason;
  /** What bytes from this source are worth now: `physical` only while a healthy physical noise source is heard. */
  readonly basis: Basis;
  /** Source-specific numbers, flat, for people and metrics: frames, frames a second, reconnects … */
  readonly details: Readonly<Record<string, number | string | boolean>>;
}

/** What an outlet says of itself. */
export interface OutletReport {
  readonly state: 'waiting' | 'ok' | 'failed' | 'stopped';
  readonly reason?: Reason;
  /** Bytes of output handed out since start. */
  readonly bytes: number;
  /** Outlet-specific numbers: beacons served, subscribers, refusals … */
  readonly details: Readonly<Record<string, number | string | boolean>>;
}

/** One source as the node sees it: what it says of itself, and what was really heard. */
export interface SourceStatus extends SourceReport {
  readonly name: string;
  readonly kind: string;
  readonly required: boolean;
  /** Bytes heard since start. */
  readonly bytes: number;
  /** Events that entered the pools since start. */
  readonly events: number;
  /** Real time of the last byte heard, ISO 8601; absent when nothing was heard. */
  readonly lastHeard?: string;
}

/** One outlet as the node sees it. */
export interface OutletStatus extends OutletReport {
  readonly name: string;
  readonly kind: string;
}

export type NodeState = 'starting' | 'ready' | 'degraded' | 'stopping';

/** What is known of the guests that a VM host's node looks after. */
export interface GuestsStatus {
  readonly socket: string;
  /** Times it was told of a guest, and times it was told nonsense. */
  readonly told: number;
  readonly refused: number;
  /** Monitors of QEMU that are followed. */
  readonly qmp: readonly {
    readonly guest: string;
    readonly following: boolean;
    readonly resumes: number;
    readonly fault?: Reason;
  }[];
}

/** One pool of the accumulator. */
export interface PoolStatus {
  /** Since it was last drained, two of header per event included. */
  readonly bytes: number;
  /** Times it was drained since the start. */
  readonly drains: number;
}

/** A source that the output rests on. */
export interface RestsOn {
  readonly name: string;
  readonly kind: string;
  /** The last reseed that had bytes of it, ISO 8601. */
  readonly reachedAt: string;
  /** Whether they may hold bits that an outsider does not know: not when simulated, public, sent in the clear, or stuck. */
  readonly isSecret: boolean;
}

/** A listener, and whom it keeps waiting or turns away. */
export interface ListenerStatus {
  /** Whose handshake is done. */
  readonly connections: number;
  readonly handshakes: {
    /** Since the start. */
    readonly done: number;
    /** Under way; beside them those that wait for a place, and those that have said nothing yet. */
    readonly begun: number;
    readonly waiting: number;
    readonly silent: number;
  };
  /** Requests that wait for their answer. */
  readonly queued: number;
  /** How often what was refused since the start. */
  readonly refused: Readonly<Record<RefusedReason, number>>;
}

/** The whole truth about one node: behind `/v1/status`, the terminal, the page and the metrics. */
export interface NodeStatus {
  readonly version: typeof STATUS_VERSION;
  readonly name: string;
  readonly software: string;
  readonly pid: number;
  readonly state: NodeState;
  readonly reasons: readonly Reason[];
  readonly uptimeMs: number;
  readonly basis: readonly string[];
  /** Where the feed and beacon outlets are reached; absent when it does not listen. */
  readonly listen?: { readonly host: string; readonly port: number };
  readonly generator: {
    readonly schedule: string;
    readonly seeded: boolean;
    /** Reseeds of any kind, including direct ones. */
    readonly reseeds: number;
    readonly directReseeds: number;
    /** Real time, ISO 8601; absent before the first. */
    readonly lastReseed?: string;
    /** The pools in use, pool 0 first: how full they are, never what of. */
    readonly pools: readonly PoolStatus[];
    /** Of the improved schedule only. */
    readonly tick?: number;
  };
  /**
   * The sources whose bytes have reached the generator since the start: what the output rests on. It is unpredictable to
   * whoever knows some of them as long as it is secret from him what one other said.
   */
  readonly rest: readonly RestsOn[];
  /** Of the listener of feed and beacon outlets; absent when there is none. */
  readonly listener?: ListenerStatus;
  /** Of the whole process. */
  readonly residentMemoryBytes: number;
  /** Whether this process's own TLS draws on the machine seed (DESIGN section 7); `reason` says why not. */
  readonly hedge: { readonly state: 'on' | 'degraded' | 'off'; readonly reason?: Reason };
  /** Absent when there was none. */
  readonly resume?: ResumeStatus;
  /** Absent where none is configured. */
  readonly carriers?: readonly CarrierStatus[];
  /** Absent without `tls`. */
  readonly fleet?: FleetStatus;
  /** How a VM host's node hears that a guest was restored; absent when it does not. */
  readonly guests?: GuestsStatus;
  readonly sources: readonly SourceStatus[];
  readonly outlets: readonly OutletStatus[];
  readonly configuration: { readonly file: string; readonly reloads: number; readonly reloadError?: Reason };
}
