import { type Logger, pino } from 'pino';

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
