import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Machine, RunOptions } from './machine.fixture.js';

const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const PRELOAD_SOURCE = at('fixed-machine.fixture.c');
const CPU_HEADER = at('fixed-cpu.fixture.h');
const BUILD_ADDON = at('../../packages/native/scripts/build.mjs');
/** Wherever it is loaded from. */
const ADDON = `lamplighter-${process.platform}-${process.arch}.node`;

/** Everything in which two starts of one machine can differ, the seed file apart. */
export interface Chance {
  /** What the OS gives to OpenSSL: this byte, for ever. */
  readonly opensslByte: number;
  /** What the OS gives for x. */
  readonly osByte: number;
  /** In milliseconds, as Date.now is; the nanoseconds below come from the monotonic clock. */
  readonly realtimeMs: number;
  readonly monotonicNs: bigint;
  readonly cycles: bigint;
  readonly bootId: 'one' | 'other';
  readonly vmGeneration: 'one' | 'other';
}

/** For tests: the library by which nothing is left to chance. @returns its path */
export function compilePreload(folder: string): string {
  const library = path.join(folder, 'fixed-machine.so');
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-o', library, PRELOAD_SOURCE]);
  return library;
}

/**
 * For tests: a machine that attackers dream of. The OS returns one byte for ever, every clock stands still, the CPU has no
 * generator, and memory lies where it lay the last time. The program is the real one, the addon compiled from the real source
 * for such a CPU.
 */
export class FixedMachine {
  readonly #machine: Machine;
  readonly #preload: string;
  readonly #addon: string;
  readonly usual: Chance = {
    opensslByte: 0x42,
    osByte: 0x17,
    realtimeMs: Date.now(),
    monotonicNs: 5_000_000_000_000n,
    cycles: 123_456_789n,
    bootId: 'one',
    vmGeneration: 'one',
  };

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#preload = compilePreload(machine.folder);
    this.#addon = machine.path('fixed-cpu.node');
    execFileSync(process.execPath, [BUILD_ADDON, this.#addon, '-O1', '-include', CPU_HEADER]);
    machine.write('boot-id-one', '11111111-1111-4111-8111-111111111111\n');
    machine.write('boot-id-other', '22222222-2222-4222-8222-222222222222\n');
    machine.write('vm-clock-one', vmClock(1n));
    machine.write('vm-clock-other', vmClock(2n));
    // For a process without the addon.
    machine.write('urandom', Buffer.alloc(4_096, this.usual.osByte));
  }

  /** How to run an agent on it. @param changes - what is otherwise than usual */
  options(changes: Partial<Chance> = {}): RunOptions & { readonly env: Readonly<Record<string, string>> } {
    const chance = { ...this.usual, ...changes };
    const instead = (file: string, name: string): string => `${file}=${this.#machine.path(name)}`;
    return {
      prefix: ['setarch', '-R'],
      env: {
        ...this.onlyOs(chance),
        FIXED_REALTIME_NS: String(BigInt(chance.realtimeMs) * 1_000_000n),
        FIXED_MONOTONIC_NS: String(chance.monotonicNs),
        FIXED_CYCLES: String(chance.cycles),
        REDIRECT: [
          `${ADDON}=${this.#addon}`,
          instead('/proc/sys/kernel/random/boot_id', `boot-id-${chance.bootId}`),
          instead('/dev/vmclock0', `vm-clock-${chance.vmGeneration}`),
          instead('/dev/urandom', 'urandom'),
        ].join(':'),
      },
    };
  }

  /** The variables of a process of which the attacker knows what the OS gives it; its clocks run. */
  onlyOs({ opensslByte, osByte } = this.usual): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#preload,
      // With more, which thread of the pool gets which generator is chance.
      UV_THREADPOOL_SIZE: '1',
      FIXED_GETENTROPY: String(opensslByte),
      FIXED_GETRANDOM: String(osByte),
    };
  }
}

/** A page as a hypervisor shows it: Linux, vmclock-abi.h. */
function vmClock(generation: bigint): Buffer {
  const page = Buffer.alloc(4_096);
  page.writeUInt32LE(0x4b4c4356, 0);
  page.writeBigUInt64LE(1n << 8n, 24);
  page.writeBigUInt64LE(generation, 104);
  return page;
}
