import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import * as native from '@lamplighter/native';
import { type Ability, able, unable } from './ability.js';

/** Where a connection goes: a host and port, or a unix socket. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

/** Timers, so that a test can hold the clock still. */
export interface Timers {
  after(delayMs: number, run: () => void): { cancel(): void };
  every(periodMs: number, run: () => void): { cancel(): void };
  /** @throws AbortError when the signal fires first */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /** Resolves in the next turn of the event loop. */
  turn(): Promise<void>;
}

/** Moments at which something came in from outside: whoever hears a packet notes it, `timing` listens. */
export interface Arrivals {
  /** Listeners may hear one of several that are noted within one turn of the event loop. */
  note(): void;
  subscribe(listener: () => void): { cancel(): void };
}

/**
 * The only door to anything that is not deterministic, so that every promise can be tested with all of it fixed.
 */
export interface Environment {
  /** Nanoseconds of a clock that is never set back. Arbitrary origin. */
  monotonicNs(): bigint;
  /** Nanoseconds since 1970, as this machine believes. A separator, never a secret; may jump. */
  realtimeNs(): bigint;
  /** The CPU's cycle counter. */
  cycleCounter(): Ability<bigint>;
  /**
   * Bytes fresh from the operating system's RNG.
   * @throws LamplighterError ERR_OS_RNG when it cannot be read in full
   */
  osRandom(lengthBytes: number): Uint8Array;
  /** Bytes from this process's own OpenSSL generator. */
  runtimeRandom(lengthBytes: number): Uint8Array;
  /**
   * Bytes from the CPU's own generator.
   * @param use - `seed`: RDSEED, else RDRAND with its generator reseeded in between; up to milliseconds. `separator`:
   *   RDRAND as it comes, 0.3 µs
   */
  cpuRandom(lengthBytes: number, use: 'seed' | 'separator'): Ability<Uint8Array>;
  /** The kernel's boot id: 16 bytes. The same in clones of one snapshot. */
  bootId(): Ability<Uint8Array>;
  /** Changes when this VM was cloned or restored. */
  vmGeneration(): Ability<Uint8Array>;
  /**
   * Bytes of a character device that may stay silent, read by a child that is killed when it does. Nothing else happens in this
   * process meanwhile: for a resume, where nothing else may.
   * @returns exactly so many; unsupported with a reason when there are not so many in time
   */
  readDevice(path: string, lengthBytes: number, deadlineMs: number): Ability<Uint8Array>;
  readonly timers: Timers;
  readonly arrivals: Arrivals;
  readonly fs: typeof fs;
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
  connect(endpoint: Endpoint): Duplex;
}

/** The monotonic clock in milliseconds, with what lies below them. Arbitrary origin. */
export function monotonicMs(environment: Pick<Environment, 'monotonicNs'>): number {
  return Number(environment.monotonicNs() / 1_000n) / 1_000;
}

/** The real machine. */
export function systemEnvironment(): Environment {
  return {
    monotonicNs: () => process.hrtime.bigint(),
    // Date.now has milliseconds; the monotonic clock adds what lies below them. Nothing relies on their relation.
    realtimeNs: () => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n),
    cycleCounter: native.cycleCounter,
    osRandom: native.nativeAddon().supported ? osRandomBySystemCall : osRandomByDevice,
    runtimeRandom: (lengthBytes) => randomBytes(lengthBytes),
    cpuRandom: (lengthBytes, use) =>
      use === 'seed' ? native.cpuRandom(lengthBytes) : native.rdrand(lengthBytes),
    bootId: readBootId,
    vmGeneration: () => native.vmGeneration(),
    readDevice,
    timers: systemTimers,
    arrivals: newArrivals(),
    fs,
    spawn: (command, args, options) => spawn(command, args, options),
    connect: (endpoint) => net.connect(endpoint),
  };
}

function readDevice(path: string, lengthBytes: number, deadlineMs: number): Ability<Uint8Array> {
  if (statSync(path, { throwIfNoEntry: false })?.isCharacterDevice() !== true)
    return unable(`there is no ${path}`);
  const { stdout, status, error } = spawnSync('head', ['-c', String(lengthBytes), '--', path], {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
    maxBuffer: lengthBytes,
  });
  if (error === undefined && status === 0 && stdout.length === lengthBytes) {
    const bytes = Uint8Array.from(stdout);
    stdout.fill(0);
    return able(bytes);
  }
  return unable(`${path} gave nothing within ${deadlineMs} ms, or may not be read`);
}

const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, run) {
    const timer = setInterval(run, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
  sleep: (delayMs, signal) => sleep(delayMs, undefined, signal === undefined ? {} : { signal }),
  turn: () => immediate(),
};

/**
 * Arrivals that this process notes itself: the first of each turn of the event loop. What else the turn finds was there before
 * it; when we come to that tells of our own work alone.
 * @param atEndOfTurn - runs something then
 */
export function newArrivals(atEndOfTurn: (run: () => void) => void = setImmediate): Arrivals {
  const listeners = new Set<() => void>();
  let isNoted = false;
  const endTurn = (): void => {
    isNoted = false;
  };
  return {
    note: () => {
      if (isNoted) return;
      isNoted = true;
      atEndOfTurn(endTurn);
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return { cancel: () => void listeners.delete(listener) };
    },
  };
}

/** getrandom without waiting: needs no file, so neither a full table of files nor a missing /dev can stop it. */
function osRandomBySystemCall(lengthBytes: number): Uint8Array {
  const drawn = native.getrandom(lengthBytes);
  if (drawn.supported) return drawn.value;
  throw new LamplighterError('ERR_OS_RNG', drawn.reason);
}

/** /dev/urandom never blocks once the kernel's RNG is ready, and Node itself has waited for that before our first line. */
function osRandomByDevice(lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let read = 0;
  try {
    const device = openSync('/dev/urandom', 'r');
    try {
      while (read < lengthBytes) {
        const got = readSync(device, bytes, read, lengthBytes - read, null);
        if (got === 0) throw new Error('end of file');
        read += got;
      }
    } finally {
      closeSync(device);
    }
  } catch (cause) {
    bytes.fill(0);
    throw new LamplighterError('ERR_OS_RNG', '/dev/urandom cannot be read', { cause });
  }
  return bytes;
}

function readBootId(): Ability<Uint8Array> {
  try {
    const hex = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replace(/[^0-9a-f]/g, '');
    return hex.length === 32
      ? able(Buffer.from(hex, 'hex'))
      : unable('the kernel gave an unreadable boot id');
  } catch {
    return unable('/proc/sys/kernel/random/boot_id cannot be read');
  }
}
