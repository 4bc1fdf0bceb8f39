import { type ErrorCode, LamplighterError } from '@lamplighter/core';

/** Why something is not as it should be. `code` is stable; `message` is for people and never holds a secret. */
export interface Reason {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/**
 * An error as a status shows it: its code, its message, its hint. Anything that is not ours becomes ERR_INTERNAL
 * without its text, which nobody has checked for secrets.
 */
export function reasonOf(error: unknown): Reason {
  if (!(error instanceof LamplighterError)) return { code: 'ERR_INTERNAL', message: 'an unexpected error' };
  const { code, message, hint } = error;
  return hint === undefined ? { code, message } : { code, message, hint };
}
