import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { SourceLife } from './source-life.js';

const NEVER = new AbortController().signal;
const environment = fixedEnvironment();

/** Runs until it is told to end. */
const untilEnd = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

describe('the life of a source', () => {
  it('is begun once', async () => {
    const life = new SourceLife();
    await life.begin(untilEnd, NEVER, { environment });
    expect(() => life.begin(untilEnd, NEVER, { environment })).toThrow(TypeError);
    await life.end();
  });

  it('says how it is until its end, and after that only that it was stopped', async () => {
    const life = new SourceLife();
    expect(life.condition).toEqual({ state: 'starting' });
    expect(life.fail(new LamplighterError('ERR_DEVICE', 'gone'))).toBe('failed');
    expect(life.condition).toEqual({ state: 'failed', reason: { code: 'ERR_DEVICE', message: 'gone' } });
    expect(life.fail(new LamplighterError('ERR_SOURCE_ABSENT', 'none'))).toBe('absent');
    expect(life.state).toBe('absent');
    life.note('ok');
    expect(life.condition).toEqual({ state: 'ok' });
    await life.end();
    life.note('ok');
    life.fail(new Error('late'));
    expect(life.condition).toEqual({ state: 'stopped' });
  });

  it('ends with the signal of the node, waits for the run under way, and lets go', async () => {
    const node = new AbortController();
    const done: string[] = [];
    const life = new SourceLife(() => done.push('let go'));
    await life.begin(
      async (signal) => {
        await untilEnd(signal);
        await Promise.resolve();
        done.push('ran');
      },
      node.signal,
      { environment },
    );
    node.abort();
    expect(life.isOver).toBe(true);
    await life.end();
    expect(done).toContain('ran');
    expect(done[0]).toBe('let go');
  });

  it('does not run for a node that was stopped already', async () => {
    const life = new SourceLife();
    let runs = 0;
    await life.begin(async () => void (runs += 1), AbortSignal.abort(), { environment });
    await life.end();
    expect({ runs, state: life.state }).toEqual({ runs: 0, state: 'stopped' });
  });
});
