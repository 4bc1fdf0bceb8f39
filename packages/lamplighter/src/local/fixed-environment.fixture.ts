import { able, unable } from './ability.js';
import { type Environment, systemEnvironment } from './environment.js';

/** An environment in which nothing moves unless the test moves it. */
export interface FixedEnvironment extends Environment {
  /** Lets monotonic and real time pass; timers that come due run, in order. */
  advance(milliseconds: number): void;
}

/**
 * A whole machine held still: clocks, RNGs, boot id and timers give the same in every run. Files, processes and
 * connections are the real ones. For tests only: everything it calls random is known.
 * @param osByte - what the OS RNG and the runtime's generator return, over and over
 */
export function fixedEnvironment(osByte = 0x5a): FixedEnvironment {
  const system = systemEnvironment();
  let nowNs = 1_000_000_000n;
  let timers: { dueNs: bigint; periodNs: bigint | undefined; run: () => void }[] = [];

  function add(delayMs: number, periodMs: number | undefined, run: () => void): { cancel(): void } {
    const ns = (ms: number): bigint => BigInt(Math.ceil(ms * 1_000_000));
    const timer = {
      dueNs: nowNs + ns(delayMs),
      periodNs: periodMs === undefined ? undefined : ns(periodMs),
      run,
    };
    timers.push(timer);
    return {
      cancel: () => {
        timers = timers.filter((other) => other !== timer);
      },
    };
  }

  function runNext(untilNs: bigint): boolean {
    const [next] = timers
      .filter(({ dueNs }) => dueNs <= untilNs)
      .sort((a, b) => (a.dueNs < b.dueNs ? -1 : 1));
    if (next === undefined) return false;
    if (next.dueNs > nowNs) nowNs = next.dueNs;
    if (next.periodNs === undefined) timers = timers.filter((other) => other !== next);
    else next.dueNs += next.periodNs;
    next.run();
    return true;
  }

  return {
    ...system,
    monotonicNs: () => nowNs,
    realtimeNs: () => 1_700_000_000_000_000_000n + nowNs,
    cycleCounter: () => able(nowNs),
    osRandom: (lengthBytes) => new Uint8Array(lengthBytes).fill(osByte),
    runtimeRandom: (lengthBytes) => new Uint8Array(lengthBytes).fill(osByte),
    cpuRandom: () => unable('fixed'),
    bootId: () => able(new Uint8Array(16)),
    vmGeneration: () => unable('fixed'),
    readDevice: () => unable('fixed'),
    // Packets come in as many pieces as the network likes; their moments are left out so that runs can be compared.
    arrivals: { note: () => undefined, subscribe: () => ({ cancel: () => undefined }) },
    timers: {
      after: (delayMs, run) => add(delayMs, undefined, run),
      every: (periodMs, run) => add(periodMs, periodMs, run),
      turn: () => Promise.resolve(),
      sleep: (delayMs, signal) =>
        new Promise((resolve, reject) => {
          const timer = add(delayMs, undefined, () => {
            signal?.removeEventListener('abort', onAbort);
            resolve();
          });
          const onAbort = (): void => {
            timer.cancel();
            reject(new DOMException('aborted', 'AbortError'));
          };
          if (signal?.aborted) onAbort();
          else signal?.addEventListener('abort', onAbort, { once: true });
        }),
    },
    advance(milliseconds) {
      const untilNs = nowNs + BigInt(milliseconds) * 1_000_000n;
      while (runNext(untilNs));
      nowNs = untilNs;
    },
  };
}
