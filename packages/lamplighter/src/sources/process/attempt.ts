import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { FileDoor } from './file-door.js';
import type { Hear } from './hearing.js';

/** What kind of thing spoke last. */
export type OriginForm =
  'command' | 'fifo' | 'character device' | 'regular file' | 'unix socket' | 'tcp socket';

/** What an attempt needs. */
export interface Attempt {
  readonly hear: Hear;
  /** Told as soon as it is known what it is. */
  readonly onForm: (form: OriginForm) => void;
  /** When it fires everything is let go, and the attempt rejects with its reason. */
  readonly signal: AbortSignal;
  readonly door: FileDoor;
  readonly environment: Environment;
}

/** What a failed system call means, by its name. The text of the error is not ours and is not shown. */
export function gone(shown: string, cause: unknown): LamplighterError {
  const name = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
  if (name === 'EACCES' || name === 'EPERM') {
    return new LamplighterError('ERR_PROCESS_REFUSED', `we may not read ${shown} (${name})`, {
      hint: 'let the user of this service read it: by its group, for a serial port "dialout"',
      cause,
    });
  }
  return new LamplighterError('ERR_PROCESS_GONE', `${shown} cannot be reached (${name})`, { cause });
}
