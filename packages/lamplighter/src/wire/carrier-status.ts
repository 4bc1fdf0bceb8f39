import type { Reason } from './reason.js';

/** One entry of a node's carriers: the serial lines of guests. */
export interface CarrierStatus {
  readonly name: string;
  /** Guests whose end of a line is there. */
  readonly lines: number;
  /** Connections begun since the start. */
  readonly sessions: number;
  /** Bytes heard since the start that were in no frame. */
  readonly garbageBytes: number;
  /** Lines refused because there were too many. */
  readonly refused: number;
  /** Why a guest's socket cannot be reached, where one is configured. */
  readonly reason?: Reason;
}
