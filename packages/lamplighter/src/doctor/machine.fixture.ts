import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { able, unable } from '../local/ability.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { type Subject, systemRuntime } from './subject.js';

/** Another machine, as its files and instructions show it. Written by hand after such machines. */
export interface RecordedMachine {
  /** Absolute paths and what stands there. */
  readonly files: Readonly<Record<string, string>>;
  /** What its CPU, clocks and hypervisor do otherwise than those under the test. */
  readonly environment: Partial<Environment>;
  readonly userId: number;
}

const X86_FLAGS = 'fpu vme de pse tsc msr pae mce cx8 apic sep sse sse2 syscall nx rdtscp lm constant_tsc';

const cpu = (flags: string, model = 'Intel(R) Xeon(R) Processor'): string =>
  [0, 1]
    .map((n) => `processor\t: ${n}\nmodel name\t: ${model}\nflags\t\t: ${X86_FLAGS} ${flags}\n`)
    .join('\n');

const user = (effective: string, map = '         0          0 4294967295'): Record<string, string> => ({
  '/proc/self/status': `Name:\tnode\nUid:\t0\t0\t0\t0\nCapPrm:\t${effective}\nCapEff:\t${effective}\n`,
  '/proc/self/uid_map': `${map}\n`,
});

const limits = (soft: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax core file size        ${soft.padEnd(20)} unlimited            bytes     \n`;

const ROOT = '000001ffffffffff';

export const MACHINES = {
  /** A microVM of an old CPU: no random instruction, no hardware RNG, a kernel before VM generations. */
  microvm: {
    files: {
      '/proc/cpuinfo': cpu('hypervisor'),
      '/proc/sys/kernel/osrelease': '5.10.217\n',
      '/proc/sys/kernel/random/entropy_avail': '37\n',
      '/proc/sys/kernel/core_pattern': 'core\n',
      '/proc/self/limits': limits('0'),
      '/proc/swaps': 'Filename\tType\tSize\tUsed\tPriority\n',
      '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'kvm-clock\n',
      ...user(ROOT),
    },
    environment: {
      cpuRandom: () => unable('this CPU has neither RDSEED nor RDRAND'),
      vmGeneration: () => unable('no device'),
    },
    userId: 0,
  },
  /** A server by itself. */
  metal: {
    files: {
      '/proc/cpuinfo': cpu('rdrand rdseed nonstop_tsc', 'AMD EPYC 7402P'),
      '/proc/sys/kernel/osrelease': '6.1.0-30-amd64\n',
      '/proc/sys/kernel/random/entropy_avail': '256\n',
      '/proc/sys/kernel/core_pattern': '|/lib/systemd/systemd-coredump %P %u\n',
      '/proc/self/limits': limits('0'),
      '/proc/swaps': 'Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 8388604 0 -2\n',
      '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'tsc\n',
      '/sys/class/dmi/id/sys_vendor': 'Dell Inc.\n',
      '/sys/class/dmi/id/product_name': 'PowerEdge R6515\n',
      '/sys/class/misc/hw_random/rng_current': 'tpm-rng-0\n',
      '/dev/hwrng': '',
      '/run/systemd/timesync/synchronized': '',
      ...user(ROOT),
    },
    environment: {
      cpuRandom: (length: number) => able(new Uint8Array(length).fill(7)),
      vmGeneration: () => unable('no device'),
    },
    userId: 0,
  },
  /** A guest of QEMU with an old kernel, and a user without privilege in a container. */
  old: {
    files: {
      '/proc/cpuinfo': cpu('hypervisor rdrand'),
      '/proc/sys/kernel/osrelease': '3.10.0-1160.el7.x86_64\n',
      '/proc/sys/kernel/random/entropy_avail': '3011\n',
      '/proc/sys/kernel/core_pattern': 'core\n',
      '/proc/self/limits': limits('unlimited'),
      '/sys/class/dmi/id/sys_vendor': 'QEMU\n',
      '/sys/class/dmi/id/product_name': 'Standard PC (Q35 + ICH9, 2009)\n',
      '/sys/class/misc/hw_random/rng_current': 'none\n',
      '/sys/bus/acpi/devices/QEMUVGID:00/hid': 'QEMUVGID\n',
      '/.dockerenv': '',
      ...user('00000000a80425fb', '0 100000 65536'),
    },
    environment: {
      cpuRandom: () => unable('RDRAND gives one word again and again'),
      vmGeneration: () => unable('no device'),
    },
    userId: 1000,
  },
  /** A guest whose host tells everything. */
  told: {
    files: {
      '/proc/cpuinfo': cpu('hypervisor rdrand rdseed nonstop_tsc'),
      '/proc/sys/kernel/osrelease': '6.12.9\n',
      '/sys/class/misc/hw_random/rng_current': 'virtio_rng.0\n',
      '/dev/hwrng': '',
      '/dev/vmclock0': '',
      '/sys/bus/platform/drivers/vmgenid/VMGENCTR:00/modalias': '',
      '/sys/bus/platform/drivers/vmgenid/bind': '',
      ...user(ROOT),
    },
    environment: {
      cpuRandom: (length: number) => able(new Uint8Array(length).fill(7)),
      vmGeneration: () => able(new Uint8Array(8)),
    },
    userId: 0,
  },
} as const satisfies Record<string, RecordedMachine>;

/** A machine laid out in a temporary folder. */
export class LaidOutMachine {
  readonly root = mkdtempSync(path.join(tmpdir(), 'lamplighter-machine-'));
  readonly subject: Subject;

  constructor({ files, environment, userId }: RecordedMachine) {
    for (const [file, text] of Object.entries(files)) this.write(file, text);
    this.subject = {
      environment: { ...systemEnvironment(), fs: rootedFs(this.root), ...environment },
      native: systemNative,
      runtime: { ...systemRuntime(), userId },
    };
  }

  write(file: string, text: string): void {
    mkdirSync(path.dirname(this.at(file)), { recursive: true });
    writeFileSync(this.at(file), text);
  }

  at(file: string): string {
    return path.join(this.root, file);
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What a doctor asks of files, all of it below a folder. */
function rootedFs(root: string): Environment['fs'] {
  const { fs } = systemEnvironment();
  const under =
    <P extends readonly unknown[], R>(call: (...given: [string, ...P]) => R) =>
    (file: unknown, ...rest: P): R =>
      call(path.join(root, String(file)), ...rest);
  return {
    ...fs,
    open: under(fs.open),
    readFile: under(fs.readFile) as typeof fs.readFile,
    readdir: under(fs.readdir) as typeof fs.readdir,
    stat: under(fs.stat) as typeof fs.stat,
    lstat: under(fs.lstat) as typeof fs.lstat,
    statfs: under(fs.statfs) as typeof fs.statfs,
    access: under(fs.access),
  };
}
