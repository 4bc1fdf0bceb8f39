import { type Logger, pino } from 'pino';
import type { NodeEvent } from '../wire/event.js';
import type { EventLog } from './event-log.js';

export type Log = Logger;

/**
 * Structured logs, one JSON object a line, on standard error (standard output is for answers).
 * @param level - the least severe level written
 * @param name - which node speaks
 */
export function openLog(level: string, name: string): Log {
  return pino(
    {
      level,
      base: { node: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

/** What of a log events are written with. */
export type EventWriter = Record<NodeEvent['level'], (fields: object, text: string) => void>;

/** Writes every event to a log from now on. @returns the way to write no more */
export function logEvents(events: EventLog, log: EventWriter): () => void {
  return events.onEvent(({ level, part, text, reason }) =>
    log[level]({ part, ...(reason && { reason }) }, text),
  );
}
