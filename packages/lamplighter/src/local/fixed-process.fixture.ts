import { able } from './ability.js';
import type { Environment } from './environment.js';
import { type NativeDoors, systemNative } from './native-doors.js';
import type { ProcessEnvironment } from './process-environment.js';

/** A process and thread in which nothing moves unless the test moves it. */
export interface FixedProcess extends ProcessEnvironment {
  /** What `pid()` gives. */
  number: number;
  /** Nanoseconds by which boot time is ahead of monotonic time: time asleep. */
  asleepNs: bigint;
  /** Ends the turn of the event loop: runs what waits for it. */
  endTurn(): void;
  /** How many callbacks wait for the end of the turn. */
  readonly waiting: number;
}

/** @param environment - boot time follows its monotonic clock */
export function fixedProcess(environment: Environment): FixedProcess {
  let endOfTurn: (() => void)[] = [];
  return {
    number: 1000,
    asleepNs: 0n,
    pid() {
      return this.number;
    },
    threadId: 0,
    nextRoot: () => 1,
    bootTimeNs() {
      return able(environment.monotonicNs() + this.asleepNs);
    },
    atEndOfTurn: (run) => void endOfTurn.push(run),
    later: (delayMs, run) => environment.timers.after(delayMs, run),
    endTurn() {
      const now = endOfTurn;
      endOfTurn = [];
      for (const run of now) run();
    },
    get waiting() {
      return endOfTurn.length;
    },
  };
}

/** An addon that changes nothing, but locks files, and notes what it was asked, in order. */
export function notingNative(notes: { call: string; bytes: string }[] = []): NativeDoors {
  const note = (call: string, bytes?: Uint8Array) => {
    notes.push({ call, bytes: Buffer.from(bytes ?? []).toString('hex') });
    return able(true);
  };
  return {
    available: () => able('noting'),
    reseedOpenssl: (bytes) => note('reseedOpenssl', bytes),
    addEntropy: (bytes, creditBits) => note(`addEntropy(${creditBits})`, bytes),
    reseedKernel: () => note('reseedKernel'),
    disableCoreDumps: () => note('disableCoreDumps'),
    lockFile: (fd, options) => systemNative.lockFile(fd, options),
  };
}
