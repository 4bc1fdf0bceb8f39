import { setMaxListeners } from 'node:events';
import { compareLabels, type Part } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import type { Source } from './source.js';

/** The label under which a source stands in a mix: its kind, and its name where that says more. */
export function labelOf(source: Pick<Source, 'kind' | 'name'>): string {
  return source.name === source.kind ? source.kind : `${source.kind}/${source.name}`;
}

/**
 * Asks every source once, in the order that defends against the last word (DESIGN section 5): the outside first, all
 * at once, closed by the deadline; only then what this machine alone can see, one after the other, the OS last.
 * Nothing enters later, and nobody is asked twice.
 *
 * @param sources - all that may answer
 * @param options - `deadlineMs`: monotonic milliseconds the outside is given; `signal`: gives up at once
 * @returns one part a source, absent ones included, in the order of the label table
 */
export async function round(
  sources: readonly Source[],
  options: { environment: Environment; deadlineMs: number; signal: AbortSignal },
): Promise<Part[]> {
  const outside = sources.filter((source) => source.position === 'outside');
  const local = sources
    .filter((source) => source.position === 'local')
    .sort((a, b) => compareLabels(labelOf(a), labelOf(b)));

  const parts = await askOutside(outside, options);
  for (const source of local)
    parts.push({ label: labelOf(source), bytes: await ask(source, options.signal) });
  return parts.sort((a, b) => compareLabels(a.label, b.label));
}

async function askOutside(
  sources: readonly Source[],
  { environment, deadlineMs, signal }: { environment: Environment; deadlineMs: number; signal: AbortSignal },
): Promise<Part[]> {
  const closing = new AbortController();
  const timer = environment.timers.after(deadlineMs, () => closing.abort());
  const closed = AbortSignal.any([closing.signal, signal]);
  // Every source listens to it, and there may be many.
  setMaxListeners(0, closed);
  try {
    return await Promise.all(
      sources.map(async (source) => ({ label: labelOf(source), bytes: await byDeadline(source, closed) })),
    );
  } finally {
    timer.cancel();
    closing.abort();
  }
}

/** A source that ignores its signal does not hold up the round: its answer comes too late and is not used. */
async function byDeadline(source: Source, closed: AbortSignal): Promise<Uint8Array | undefined> {
  if (closed.aborted) return undefined;
  let close: (() => void) | undefined;
  const late = new Promise<undefined>((resolve) => {
    close = () => resolve(undefined);
    closed.addEventListener('abort', close, { once: true });
  });
  try {
    return await Promise.race([ask(source, closed), late]);
  } finally {
    if (close !== undefined) closed.removeEventListener('abort', close);
  }
}

async function ask(source: Source, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await source.sample(signal);
  } catch {
    // Its status says why; a round only needs to know that there was no answer.
    return undefined;
  }
}
