import { LamplighterError } from '@lamplighter/core';
import type { Reason } from './status.js';

/**
 * An error as a status shows it: its code, its message, its hint. Anything that is not ours becomes ERR_INTERNAL
 * without its text, which nobody has checked for secrets.
 */
export function reasonOf(error: unknown): Reason {
  if (!(error instanceof LamplighterError)) return { code: 'ERR_INTERNAL', message: 'an unexpected error' };
  const { code, message, hint } = error;
  return hint === undefined ? { code, message } : { code, message, hint };
}
