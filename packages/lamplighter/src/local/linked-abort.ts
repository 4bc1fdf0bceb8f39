import type { Timers } from './environment.js';

/** An AbortController that another signal aborts too. */
export interface LinkedAbort {
  readonly signal: AbortSignal;
  readonly abort: (reason: unknown) => void;
  /** Ends the link. Whoever made it calls this, or the outer signal would hold on to it for as long as it lives. */
  readonly release: () => void;
}

/**
 * One part of something longer that has its own reasons to end. Not AbortSignal.any: a source starts such parts for years, and what
 * `any` leaves in its outer signal goes only when the collector comes by, and not while anybody listens.
 */
export function linkedAbort(outer: AbortSignal): LinkedAbort {
  const inner = new AbortController();
  const follow = (): void => inner.abort(outer.reason);
  if (outer.aborted) follow();
  else outer.addEventListener('abort', follow, { once: true });
  return {
    signal: inner.signal,
    abort: (reason) => inner.abort(reason),
    release: () => outer.removeEventListener('abort', follow),
  };
}

/**
 * Fires when another signal does, and at the latest after so long. Not AbortSignal.timeout within AbortSignal.any: on Node 20 the
 * collector takes such a timeout away, and a deadline that never comes is none.
 * @param afterMs - monotonic milliseconds from now
 */
export function abortBy(outer: AbortSignal, afterMs: number, timers: Pick<Timers, 'after'>): LinkedAbort {
  const { signal, abort, release } = linkedAbort(outer);
  const timer = timers.after(afterMs, () =>
    abort(new DOMException('the deadline has passed', 'TimeoutError')),
  );
  return {
    signal,
    abort,
    release: () => {
      timer.cancel();
      release();
    },
  };
}
