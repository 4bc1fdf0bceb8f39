/** An AbortController that another signal aborts too. */
export interface LinkedAbort {
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  /** Ends the link. Whoever made it calls this, or the outer signal would hold on to it for as long as it lives. */
  release(): void;
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
