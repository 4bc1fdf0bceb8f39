import { LamplighterError } from '@lamplighter/core';
import { type Environment, monotonicMs } from '../../local/environment.js';
import { HISTORY_SPANS, type HistorySpan } from '../../wire/history.js';
import type { Answer } from './answer.js';
import type { AdminParts } from './parts.js';

/** For which an answer is given again: samples are taken more seldom. */
const FRESH_MS = 1_000;

/**
 * What a node has measured lately, as answers. They may be megabytes, so one is made at most every second and shared: a thousand who
 * ask and do not read hold few of them.
 */
export class HistoryAnswers {
  readonly #history: AdminParts['history'];
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #made = new Map<HistorySpan, { readonly atMs: number; readonly answer: Answer }>();

  constructor(history: AdminParts['history'], environment: Pick<Environment, 'monotonicNs'>) {
    this.#history = history;
    this.#environment = environment;
  }

  /**
   * @param asked - the span, from outside; an hour unless told
   * @throws LamplighterError ERR_BAD_REQUEST
   */
  answer(asked: string | null): Answer {
    const span = HISTORY_SPANS.find((known) => known === (asked ?? 'hour'));
    if (span === undefined) {
      throw new LamplighterError('ERR_BAD_REQUEST', `span is one of ${HISTORY_SPANS.join(', ')}`);
    }
    const nowMs = monotonicMs(this.#environment);
    const last = this.#made.get(span);
    if (last !== undefined && nowMs - last.atMs < FRESH_MS) return last.answer;
    // For a program: without spaces.
    const body = Buffer.from(JSON.stringify(this.#history(span)));
    const answer = { status: 200, headers: { 'content-type': 'application/json' }, body };
    this.#made.set(span, { atMs: nowMs, answer });
    return answer;
  }
}
