import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { ByteBudget } from './byte-budget.js';

const never = new AbortController().signal;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('ByteBudget', () => {
  it('gives at once what it holds, and the rest as it grows', async () => {
    const environment = fixedEnvironment();
    const budget = new ByteBudget(1_000, environment);
    await budget.take(1_000, never);
    let given = false;
    const waiting = budget.take(500, never).then(() => (given = true));
    environment.advance(499);
    await settle();
    expect(given).toBe(false);
    environment.advance(1);
    await waiting;
  });

  it('keeps at most one second’s worth', async () => {
    const environment = fixedEnvironment();
    const budget = new ByteBudget(1_000, environment);
    environment.advance(60_000);
    await budget.take(1_000, never);
    void budget.take(1, never);
    expect(budget.waiting).toBe(1);
  });

  it('serves in the order of asking: a small one does not pass a large one', async () => {
    const environment = fixedEnvironment();
    const budget = new ByteBudget(1_000, environment);
    await budget.take(1_000, never);
    const order: string[] = [];
    void budget.take(900, never).then(() => order.push('large'));
    void budget.take(1, never).then(() => order.push('small'));
    environment.advance(500);
    await settle();
    expect(order).toEqual([]);
    environment.advance(500);
    await settle();
    expect(order).toEqual(['large', 'small']);
  });

  it('spends nothing for who leaves, and lets the next one through', async () => {
    const environment = fixedEnvironment();
    const budget = new ByteBudget(1_000, environment);
    await budget.take(500, never);
    const leaving = new AbortController();
    const left = budget.take(900, leaving.signal);
    const next = budget.take(500, never);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await next;
    expect(budget.waiting).toBe(0);
  });

  it('refuses who is already gone, and what can never be paid', async () => {
    const budget = new ByteBudget(100, fixedEnvironment());
    await expect(budget.take(1, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(() => budget.take(101, never)).toThrow(RangeError);
    expect(() => budget.take(-1, never)).toThrow(RangeError);
    expect(() => new ByteBudget(0, fixedEnvironment())).toThrow(RangeError);
  });

  it('lets everybody go in order once it is lifted, and nobody wait after that', async () => {
    const budget = new ByteBudget(100, fixedEnvironment());
    await budget.take(100, never);
    const order: string[] = [];
    const waiting = ['first', 'second'].map((name) => budget.take(100, never).then(() => order.push(name)));
    budget.lift();
    await Promise.all(waiting);
    expect(order).toEqual(['first', 'second']);
    for (let i = 0; i < 10; i += 1) await budget.take(100, never);
    expect(budget.waiting).toBe(0);
  });

  it('never gives more than one second’s worth and its rate', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 400 })), {
          maxLength: 40,
        }),
        async (steps) => {
          const environment = fixedEnvironment();
          const budget = new ByteBudget(300, environment);
          let given = 0;
          let asked = 0;
          let elapsedMs = 0;
          for (const [cost, pauseMs] of steps) {
            asked += cost;
            void budget.take(cost, never).then(() => (given += cost));
            environment.advance(pauseMs);
            elapsedMs += pauseMs;
            await settle();
            expect(given).toBeLessThanOrEqual(300 + (elapsedMs * 300) / 1_000 + 1e-6);
          }
          // A rate of 300 a second pays for everything in the end.
          environment.advance(1_000 + Math.ceil((asked / 300) * 1_000) + steps.length);
          await settle();
          expect(given).toBe(asked);
        },
      ),
      { numRuns: 50 },
    );
  });
});
