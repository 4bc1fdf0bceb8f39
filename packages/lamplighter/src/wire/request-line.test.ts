import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { RequestLine, type RequestLineLimits } from './request-line.js';

/** Keeps the event loop busy, as answering does. */
function burn(forMs: number): void {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs);
}

/** A line, and what becomes of those in it: `a` for an answer to a, `!a` for a refusal. */
function line(limits: Partial<RequestLineLimits> = {}) {
  const requests = new RequestLine({ answerBudgetMs: 5, maxLagMs: 60_000, maxQueued: 0, ...limits });
  const done: string[] = [];
  const errors: LamplighterError[] = [];
  const take = (who: string, burnMs = 0): void =>
    requests.take(who, {
      answer: () => {
        done.push(who);
        burn(burnMs);
      },
      refuse: (error) => {
        done.push(`!${who}`);
        errors.push(error);
      },
    });
  return { take, done, errors };
}

describe('RequestLine', () => {
  it('answers at once while its turn of the loop has time', () => {
    const { take, done } = line({ answerBudgetMs: 60_000 });
    take('a');
    expect(done).toEqual(['a']);
    take('b');
    expect(done).toEqual(['a', 'b']);
  });

  it('lets everybody take turns when there is none left', async () => {
    const { take, done } = line();
    take('a', 30);
    for (const who of ['a', 'a', 'a', 'b', 'b', 'c']) take(who);
    expect(done).toEqual(['a']);
    while (done.length < 7) await nextTurn();
    expect(done).toEqual(['a', 'a', 'b', 'c', 'a', 'b', 'a']);
    // Nothing is left over: the next one is answered at once again, in a turn of its own.
    await nextTurn();
    take('d');
    expect(done.at(-1)).toBe('d');
  });

  it('answers no more in one turn than it has time for, and keeps the order over several', async () => {
    const { take, done } = line();
    take('a', 30);
    for (let count = 0; count < 40; count += 1) take('b', 1);
    await nextTurn();
    const first = done.length;
    expect(first).toBeGreaterThanOrEqual(5);
    expect(first).toBeLessThan(41);
    // Who comes now does not pass those who wait.
    take('b');
    take('c');
    expect(done).toHaveLength(first);
    while (done.length < 43) await nextTurn();
    expect(done.indexOf('c')).toBeLessThan(first + 2);
  });

  it('refuses who has waited too long and has more waiting, never a single request', async () => {
    const { take, done, errors } = line({ maxLagMs: 20 });
    take('greedy', 30);
    for (const who of ['greedy', 'greedy', 'greedy', 'quiet']) take(who);
    burn(40);
    while (done.length < 5) await nextTurn();
    expect(done).toEqual(['greedy', '!greedy', 'quiet', '!greedy', 'greedy']);
    for (const { code, retryAfterMs } of errors) {
      expect(code).toBe('ERR_OVERLOADED');
      expect(retryAfterMs).toBeGreaterThanOrEqual(1_000);
      expect(retryAfterMs).toBeLessThanOrEqual(5_000);
    }
  });

  it('refuses nobody while few wait, whatever has kept the loop', async () => {
    const { take, done } = line({ maxLagMs: 20, maxQueued: 10 });
    take('a', 30);
    for (let count = 0; count < 10; count += 1) take('a');
    burn(40);
    while (done.length < 11) await nextTurn();
    expect(done).toEqual(Array.from({ length: 11 }, () => 'a'));
  });

  it('asks those sent away to come back after a turn that leaves it short, turn by turn as long as there are some', async () => {
    const seen: number[] = [];
    const requests = new RequestLine({ answerBudgetMs: 0, maxLagMs: 60_000, maxQueued: 20 }, () => {
      seen.push(requests.size);
      return seen.length < 8;
    });
    const turn = { answer: () => undefined, refuse: () => expect.unreachable('nobody waits for long') };
    for (let count = 0; count < 40; count += 1) requests.take('a', turn);
    while (requests.size > 10) {
      expect(seen).toEqual([]);
      await nextTurn();
    }
    for (let turns = 0; turns < 30; turns += 1) await nextTurn();
    expect(seen).toHaveLength(8);
    expect(Math.max(...seen)).toBeLessThanOrEqual(10);
  });
});
