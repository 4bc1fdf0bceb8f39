import { uptime } from 'node:os';
import { setImmediate, setTimeout } from 'node:timers';
import { threadId } from 'node:worker_threads';
import { type Ability, able, unable } from './ability.js';

/** What the library asks of its own process and thread, beside `Environment`. One door, for the same reason. */
export interface ProcessEnvironment {
  /** This process's number: another one after a fork, or in a process restored from a start-up snapshot. */
  pid(): number;
  /** 0 in the main thread; no two live threads of a process share one. */
  readonly threadId: number;
  /** How many roots this thread has made so far, this one included: two copies of the library still differ. */
  nextRoot(): number;
  /** Nanoseconds since boot, time asleep included, in steps of 10 ms or so. Cost: some 10 µs. */
  bootTimeNs(): Ability<bigint>;
  /** Runs something once in this turn of the event loop, before the process waits for anything. */
  atEndOfTurn(run: () => void): void;
  /** Runs something once, later. Does not keep the process alive. */
  later(delayMs: number, run: () => void): { cancel(): void };
}

/** Under `Symbol.for`, so that two copies of this package in one thread count together. */
const ROOTS = Symbol.for('lamplighter.roots');

/** The real process. */
export function systemProcess(): ProcessEnvironment {
  return {
    pid: () => process.pid,
    threadId,
    nextRoot: () => {
      const before: unknown = Reflect.get(globalThis, ROOTS);
      const number = (typeof before === 'number' ? before : 0) + 1;
      Reflect.set(globalThis, ROOTS, number);
      return number;
    },
    bootTimeNs: () => {
      try {
        return able(BigInt(Math.round(uptime() * 1_000)) * 1_000_000n);
      } catch {
        return unable('the system does not tell its uptime');
      }
    },
    // Not unref'd: an immediate that does not count lets the process sleep first, with the bytes still in memory.
    atEndOfTurn: (run) => void setImmediate(run),
    later: (delayMs, run) => {
      const timer = setTimeout(run, delayMs).unref();
      return { cancel: () => clearTimeout(timer) };
    },
  };
}
