import type { Reason } from './reason.js';

/** Something that happened in a node, and why: what its log, its page and its terminal tell alike. Never a secret byte. */
export interface NodeEvent {
  /** Counts up from 1 since the start; no two are alike. */
  readonly id: number;
  /** Real time, Unix ms. */
  readonly atMs: number;
  /** `warn`: somebody should look; `error`: what somebody asked for was not done, or the node cannot do its work. */
  readonly level: 'info' | 'warn' | 'error';
  /** What it is about: `node`, `source NAME`, `outlet NAME`, `certificate`, `policy`, `listener`, `configuration` … */
  readonly part: string;
  readonly text: string;
  readonly reason?: Reason;
}
