/*
 * The rule of this terminal:
 *   standard output holds answers and nothing else, so that it can be piped;
 *   standard error holds everything said to a person: progress, warnings, errors, logs. What takes over a second says so, on a
 *   terminal only (progress.ts).
 *   Messages are lower-case and have no full stop. An error is its message and code, then `hint:` with the next action.
 *   No stack trace is ever shown unless LAMPLIGHTER_DEBUG is set.
 */
import { LamplighterError } from '@lamplighter/core';
import { clearProgress } from './progress.js';

/** sysexits.h: the command was used wrongly. */
export const EXIT_USAGE = 64;
/** sysexits.h: something is wrong with a configuration file. */
export const EXIT_CONFIG = 78;

/** Writes one answer line to standard output. */
export function answer(line: string): void {
  clearProgress();
  process.stdout.write(`${line}\n`);
}

/** Says one line to the person. */
export function say(line: string): void {
  clearProgress();
  process.stderr.write(`${line}\n`);
}

/** Tells the person what went wrong and what to do, and what exit code that is. */
export function explain(error: unknown): number {
  if (!(error instanceof LamplighterError)) {
    say('lamplighter: an unexpected error: this is a defect in lamplighter');
    say(
      process.env['LAMPLIGHTER_DEBUG']
        ? String((error as Error).stack)
        : 'hint: set LAMPLIGHTER_DEBUG=1 to see where',
    );
    return 1;
  }
  say(`lamplighter: ${error.message} [${error.code}]`);
  if (error.hint !== undefined) say(`hint: ${error.hint}`);
  if (process.env['LAMPLIGHTER_DEBUG']) say(String(error.stack));
  return exitCode(error);
}

function exitCode({ code }: LamplighterError): number {
  switch (code) {
    case 'ERR_USAGE':
      return EXIT_USAGE;
    case 'ERR_CONFIG':
    case 'ERR_CONFIG_FILE':
    case 'ERR_KEY_FILE':
    case 'ERR_CERTIFICATE_FILE':
    case 'ERR_CERTIFICATE_EXPIRED':
      return EXIT_CONFIG;
    default:
      return 1;
  }
}

/** Resolves when a signal of {@link untilStopped} is aborted. */
export function stopped(stopping: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stopping.aborted) resolve();
    else stopping.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * A signal for a command that runs until it is told to stop: aborted at the first SIGINT or SIGTERM. A second one ends
 * the process at once.
 * @param more - signals that mean the same to this command
 */
export function untilStopped(...more: readonly NodeJS.Signals[]): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', ...more] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(130);
      stopping.abort();
    });
  }
  return stopping.signal;
}
