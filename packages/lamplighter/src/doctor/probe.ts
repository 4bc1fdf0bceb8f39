import { LamplighterError } from '@lamplighter/core';
import type { Fact } from './fact.js';
import type { Subject } from './subject.js';

/** One way of looking at a machine: a function and the family of facts it finds. */
export interface Probe {
  /** What stands for the family when it cannot be looked at. */
  readonly id: string;
  /** How long it may take; 3,000 ms unless told. */
  readonly deadlineMs?: number;
  /**
   * Looks. Changes nothing that outlives this process, and uses up nothing.
   * @param signal - aborted at the deadline, or when nobody wants to know any more
   */
  look(subject: Subject, signal: AbortSignal): Promise<readonly Fact[]> | readonly Fact[];
}

const DEFAULT_DEADLINE_MS = 3_000;

/**
 * Looks with one probe. Whatever it does, this ends by its deadline and never rejects: what throws or hangs becomes a fact.
 * What hangs in the kernel itself cannot be ended, only left behind.
 */
export async function lookWith(
  probe: Probe,
  subject: Subject,
  signal: AbortSignal,
): Promise<readonly Fact[]> {
  const { id, deadlineMs = DEFAULT_DEADLINE_MS } = probe;
  const late = new AbortController();
  const either = AbortSignal.any([signal, late.signal]);
  const timer = subject.environment.timers.after(deadlineMs, () => late.abort());
  const ended = new Promise<readonly Fact[]>((resolve) => {
    const give = (): void =>
      resolve([unseen(id, signal.aborted ? 'told to stop' : `no answer within ${deadlineMs} ms`)]);
    if (either.aborted) give();
    else either.addEventListener('abort', give, { once: true });
  });
  try {
    return await Promise.race([Promise.resolve().then(() => probe.look(subject, either)), ended]);
  } catch (error) {
    return [unseen(id, whyNot(error))];
  } finally {
    timer.cancel();
    late.abort();
  }
}

/** A fact about something that could not be looked at: nothing may be believed of it. */
export function unseen(id: string, why: string, action?: string): Fact {
  return {
    id,
    level: 'weak',
    text: `could not be looked at: ${why}`,
    ...(action !== undefined && { action }),
  };
}

/** An error in words that nobody's secrets can stand in: ours whole, of any other its code alone. */
export function whyNot(error: unknown): string {
  if (error instanceof LamplighterError) return `${error.message} [${error.code}]`;
  return error instanceof Error && 'code' in error ? String(error.code) : 'an unexpected error';
}
