import type { CameraDoor } from '../../wire/camera-door.js';
import type { HistoryReport, HistorySpan } from '../../wire/history.js';
import type { NodeStatus } from '../../wire/status.js';
import type { EventLog } from '../event-log.js';

/** What the admin listener knows of its node: its only door to it. */
export interface AdminParts {
  /** The whole truth, now. */
  status(): NodeStatus;
  history(span: HistorySpan): HistoryReport;
  readonly events: Pick<EventLog, 'since' | 'onEvent' | 'add'>;
  /**
   * Output of a stream that is the draw box's own. Secret; the caller wipes it.
   * @throws LamplighterError ERR_NOT_SEEDED
   */
  draw(lengthBytes: number): Uint8Array;
  /** The camera of a name; undefined when there is none. */
  camera(name: string): CameraDoor | undefined;
}
