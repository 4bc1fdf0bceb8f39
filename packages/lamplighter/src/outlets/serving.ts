import { LamplighterError } from '@lamplighter/core';
import type { Basis } from '../wire/basis.js';
import type { OutletContext } from './outlet.js';

/** Whether a node answers its clients now: a degraded one does. */
export function isServing(context: OutletContext | undefined): boolean {
  const state = context?.readiness().state;
  return state === 'ready' || state === 'degraded';
}

/** Whether the node became ready before the outlet was stopped. */
export async function readyUnlessStopped(context: OutletContext, signal: AbortSignal): Promise<boolean> {
  const stopped = new Promise<false>((resolve) => {
    if (signal.aborted) resolve(false);
    signal.addEventListener('abort', () => resolve(false), { once: true });
  });
  const ready = context.ready().then(
    () => true,
    () => false,
  );
  return Promise.race([ready, stopped]);
}

/**
 * What an answer made now rests on, or "not ready" instead of an answer (DESIGN section 2).
 * @throws LamplighterError ERR_NOT_SEEDED before the first seeding, ERR_STOPPED when the node is going away
 */
export function basisForAnswer(context: OutletContext): Basis {
  const { state, basis } = context.readiness();
  if (state === 'starting') throw new LamplighterError('ERR_NOT_SEEDED', 'the node is not seeded yet');
  if (state === 'stopping') throw new LamplighterError('ERR_STOPPED', 'the node is stopping');
  return basis;
}
