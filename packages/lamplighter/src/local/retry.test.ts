import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import type { RetryOptions } from './retry.js';
import { ENDED, keepTrying } from './retry.js';

/** A clock that only moves when somebody sleeps or a run says how long it took, and jitter that is always `draw`. */
function stillTime(draw = 0xffffffff) {
  let nowMs = 0;
  const sleeps: number[] = [];
  const jitter = new Uint8Array(4);
  new DataView(jitter.buffer).setUint32(0, draw);
  const environment: RetryOptions['environment'] = {
    monotonicNs: () => BigInt(Math.round(nowMs * 1e6)),
    runtimeRandom: () => jitter,
    timers: {
      after: () => ({ cancel: () => undefined }),
      every: () => ({ cancel: () => undefined }),
      turn: async () => undefined,
      sleep: async (delayMs, signal) => {
        signal?.throwIfAborted();
        sleeps.push(Math.round(delayMs));
        nowMs += delayMs;
      },
    },
  };
  return {
    environment,
    sleeps,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe('keepTrying', () => {
  it('doubles the wait up to its bound, names every fault, and stops when the run has ended', async () => {
    const { environment, sleeps } = stillTime();
    const faults: unknown[] = [];
    let runs = 0;
    await keepTrying(
      async () => {
        runs += 1;
        if (runs === 8) return ENDED;
        throw new Error(`fault ${runs}`);
      },
      {
        environment,
        signal: new AbortController().signal,
        onFault: (e) => faults.push(e),
        minMs: 100,
        maxMs: 1000,
      },
    );
    expect(sleeps).toEqual([100, 200, 400, 800, 1000, 1000, 1000]);
    expect(faults.map(String)).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `Error: fault ${n}`));
  });

  it('draws the whole range of the jitter', async () => {
    const lowest = stillTime(0);
    const middle = stillTime(0x80000000);
    for (const { environment } of [lowest, middle]) {
      let runs = 0;
      await keepTrying(async () => (++runs === 3 ? ENDED : undefined), {
        environment,
        signal: new AbortController().signal,
        onFault: () => expect.unreachable('a run that resolves is not a fault'),
        minMs: 100,
      });
    }
    expect(lowest.sleeps).toEqual([0, 0]);
    expect(middle.sleeps).toEqual([50, 100]);
  });

  it('begins again from the shortest wait after a healthy while', async () => {
    const { environment, sleeps, pass } = stillTime();
    let runs = 0;
    await keepTrying(
      async () => {
        runs += 1;
        if (runs === 6) return ENDED;
        if (runs === 4) pass(5000);
        throw new Error('fault');
      },
      {
        environment,
        signal: new AbortController().signal,
        onFault: () => undefined,
        minMs: 100,
        healthyAfterMs: 5000,
      },
    );
    expect(sleeps).toEqual([100, 200, 400, 100, 100]);
  });

  it('does not hurry when a person has to act first', async () => {
    const { environment, sleeps } = stillTime();
    let runs = 0;
    await keepTrying(
      async () => {
        runs += 1;
        if (runs === 2) return ENDED;
        throw new LamplighterError('ERR_FFMPEG_MISSING', 'ffmpeg is not installed');
      },
      { environment, signal: new AbortController().signal, onFault: () => undefined, maxMs: 9000 },
    );
    expect(sleeps).toEqual([9000]);
  });

  it('comes back no earlier than it was told to, spread by the jitter, and does not wait for ever', async () => {
    const { environment, sleeps } = stillTime(0x80000000);
    const asked = [700, 5_000, 86_400_000, undefined];
    await keepTrying(
      async () => {
        if (asked.length === 0) return ENDED;
        throw new LamplighterError('ERR_OVERLOADED', 'later', { retryAfterMs: asked.shift() });
      },
      {
        environment,
        signal: new AbortController().signal,
        onFault: () => undefined,
        minMs: 100,
        maxMs: 10_000,
      },
    );
    expect(sleeps).toEqual([750, 5_100, 10_200, 400]);
  });

  it('ends on abort: before a run, during one and during a wait, without calling that a fault', async () => {
    const { environment } = stillTime();
    const onFault = () => expect.unreachable('an abort is not a fault');
    let runs = 0;
    await keepTrying(async () => void (runs += 1), { environment, signal: AbortSignal.abort(), onFault });
    expect(runs).toBe(0);

    const during = new AbortController();
    await keepTrying(
      async (signal) => {
        during.abort();
        signal.throwIfAborted();
      },
      { environment, signal: during.signal, onFault },
    );

    const waiting = new AbortController();
    const { monotonicNs, runtimeRandom, timers } = environment;
    await keepTrying(async () => undefined, {
      environment: {
        monotonicNs,
        runtimeRandom,
        timers: {
          ...timers,
          sleep: async (_delayMs, signal) => {
            waiting.abort();
            signal?.throwIfAborted();
          },
        },
      },
      signal: waiting.signal,
      onFault,
    });
  });
});
