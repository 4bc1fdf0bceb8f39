import type { NodeEvent } from '../../lamplighter/src/wire/event.js';
import type { HistoryReport } from '../../lamplighter/src/wire/history.js';
import type { NodeStatus } from '../../lamplighter/src/wire/status.js';

/** Of the status that this page knows how to show. */
const STATUS_VERSION = 1;

/** `/v1/session`. */
export interface Session {
  readonly loggedIn: boolean;
  readonly loopback: boolean;
  readonly secure: boolean;
  readonly csrf?: string;
}

/**
 * Page and node are of one build, so these look only whether something else answered: another program, or a node that was
 * replaced by another version while the page was open.
 */
export function statusIn(text: string): NodeStatus | undefined {
  const value = jsonIn(text);
  return isStatus(value) ? value : undefined;
}

export function eventIn(text: string): NodeEvent | undefined {
  const value = jsonIn(text);
  return isEvent(value) ? value : undefined;
}

export function isHistory(value: unknown): value is HistoryReport {
  return (
    isRecord(value) && value['version'] === 1 && Array.isArray(value['atMs']) && isRecord(value['series'])
  );
}

export function isSession(value: unknown): value is Session {
  return isRecord(value) && typeof value['loggedIn'] === 'boolean' && typeof value['secure'] === 'boolean';
}

function isStatus(value: unknown): value is NodeStatus {
  if (!isRecord(value) || value['version'] !== STATUS_VERSION || !isRecord(value['generator'])) return false;
  const lists = [
    value['sources'],
    value['outlets'],
    value['rest'],
    value['reasons'],
    value['generator']['pools'],
  ];
  return lists.every((list) => Array.isArray(list));
}

function isEvent(value: unknown): value is NodeEvent {
  return isRecord(value) && typeof value['id'] === 'number' && typeof value['text'] === 'string';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
