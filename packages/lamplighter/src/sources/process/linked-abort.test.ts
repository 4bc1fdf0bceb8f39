import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { linkedAbort } from './linked-abort.js';

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
