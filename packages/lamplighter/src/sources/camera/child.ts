import type { ChildProcess } from 'node:child_process';
import { LamplighterError } from '@lamplighter/core';

/**
 * Waits until a child and its pipes are gone; kills it when the signal fires.
 * @param child - just spawned; killed with SIGKILL: it holds nothing that could be lost
 * @returns how it ended, for a person: `code 1`, `signal SIGKILL`
 * @throws the signal's reason when that is why it ended; LamplighterError ERR_CHILD_FAILED when it could not be started
 */
export function childOver(child: ChildProcess, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const kill = () => void child.kill('SIGKILL');
    signal.addEventListener('abort', kill, { once: true });
    if (signal.aborted) kill();
    // A pipe whose other end died reports it here; that the child is gone is reported below.
    for (const stream of child.stdio) stream?.on('error', () => undefined);
    child.once('error', (cause) => {
      // Also emitted when a kill fails, and then the child is not over.
      if (child.pid !== undefined) return;
      signal.removeEventListener('abort', kill);
      reject(new LamplighterError('ERR_CHILD_FAILED', `${child.spawnfile} could not be started`, { cause }));
    });
    child.once('close', (code, endSignal) => {
      signal.removeEventListener('abort', kill);
      if (signal.aborted) reject(asError(signal.reason));
      else resolve(endSignal === null ? `code ${code ?? 'unknown'}` : `signal ${endSignal}`);
    });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
