import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from './environment.js';
import { abortBy, linkedAbort } from './linked-abort.js';

describe('linkedAbort', () => {
  it('ends with the outer signal, and for its reason', () => {
    const outer = new AbortController();
    const linked = linkedAbort(outer.signal);
    outer.abort('outer');
    linked.abort('inner');
    expect(linked.signal.reason).toBe('outer');
    expect(linkedAbort(outer.signal).signal.reason).toBe('outer');
  });

  it('ends by itself, without the outer one', () => {
    const outer = new AbortController();
    const linked = linkedAbort(outer.signal);
    linked.abort('inner');
    expect(linked.signal.reason).toBe('inner');
    expect(outer.signal.aborted).toBe(false);
  });

  it('leaves nothing in the outer one once released', () => {
    const outer = new AbortController();
    const linked = linkedAbort(outer.signal);
    expect(getEventListeners(outer.signal, 'abort').length).toBe(1);
    linked.release();
    expect(getEventListeners(outer.signal, 'abort').length).toBe(0);
    outer.abort();
    expect(linked.signal.aborted).toBe(false);
  });
});

describe('abortBy', () => {
  const { timers } = systemEnvironment();
  const never = new AbortController().signal;

  it('fires at its time, whatever the collector takes away meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const fired = Array.from(
      { length: 20 },
      () =>
        new Promise<unknown>((resolve) => {
          const { signal } = abortBy(never, 50, timers);
          signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
        }),
    );
    collect();
    for (const reason of await Promise.all(fired)) expect(reason).toMatchObject({ name: 'TimeoutError' });
  });

  it('fires with the outer one, and not at all once released', async () => {
    const outer = new AbortController();
    const first = abortBy(outer.signal, 60_000, timers);
    const second = abortBy(outer.signal, 1, timers);
    second.release();
    outer.abort('outer');
    first.release();
    await timers.sleep(10);
    expect(first.signal.reason).toBe('outer');
    expect(second.signal.aborted).toBe(false);
    expect(getEventListeners(outer.signal, 'abort').length).toBe(0);
  });
});
