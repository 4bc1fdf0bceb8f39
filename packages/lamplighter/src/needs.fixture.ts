import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';

/** Whether the counts are those that the promises name, as `npm run test:full` has them. */
export const isFull = (process.env['LAMPLIGHTER_FULL'] ?? '') !== '';

/**
 * A `describe` for tests that need programs npm does not bring. Where one is missing the block is skipped, and its name says
 * why; where the environment variable CI is set it fails instead, so that a forgotten package cannot hide a test.
 *
 * @param programs - names looked for on PATH
 * @throws Error in CI when one is missing: the test file fails
 */
export function needs(...programs: readonly string[]): (name: string, body: () => void) => void {
  const missing = programs.filter((program) => !isOnPath(program));
  if (missing.length > 0 && (process.env['CI'] ?? '') !== '') {
    throw new Error(`CI must have ${missing.join(', ')}`);
  }
  return (name, body) => {
    describe.skipIf(missing.length > 0)(`${name} (needs ${programs.join(', ')})`, body);
  };
}

/**
 * A `describe` for what only the full run has; elsewhere it is skipped, and what it needs is not looked for.
 * @param needed - makes the real one
 */
export function inFull(
  needed: () => (name: string, body: () => void) => void,
): (name: string, body: () => void) => void {
  return isFull ? needed() : describe.skip;
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(path.delimiter).some((folder) => {
    try {
      accessSync(path.join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
