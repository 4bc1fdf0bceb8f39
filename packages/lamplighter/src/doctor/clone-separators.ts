import type { Environment } from '../local/environment.js';
import { TRICKLE_PORT } from '../wire/trickle.js';
import { isThere } from '../local/is-there.js';
import { currentHwrng } from './kernel-facts.js';
import { namesIn, textOf } from './machine-files.js';
import type { Subject } from './subject.js';

/** What parts copies of a machine, the surest first, and what such a copy can repeat when it is the surest there is. */
export const SEPARATORS = [
  {
    name: 'vmclock',
    what: 'the VM clock tells of every clone',
    repeats:
      'what a clone sends before it looks, within a millisecond of its start, may repeat; from then on it parts',
  },
  {
    name: 'vmgenid',
    what: 'the kernel is told of clones (vmgenid)',
    repeats:
      'the kernel’s RNG parts at once; OpenSSL and live TLS connections repeat until a process sees a sign, or `lamplighter agent resume`',
  },
  {
    name: 'line',
    what: 'the host has a line for bursts, and the agent listens',
    repeats:
      'the OS RNG repeats up to a minute, OpenSSL and live TLS connections until `lamplighter host burst` at its host; from then on it parts, for certain',
  },
  {
    name: 'host',
    what: 'the host gives bytes (virtio-rng)',
    repeats:
      'the OS RNG repeats up to a minute, OpenSSL and live TLS connections until a process sees a sign, or `lamplighter agent resume`; from then on bytes of the host part them',
  },
  {
    name: 'cpu',
    what: 'the CPU has a random instruction',
    repeats:
      'the OS RNG repeats up to a minute, OpenSSL and live TLS connections until a process sees a sign, or `lamplighter agent resume`; streams part at their next refill, if the CPU is honest',
  },
  {
    name: 'timers',
    what: 'timers differ by tens of bits',
    repeats:
      'a few clones part, among thousands some will not, and repeat the OS RNG, streams, seeds and keys',
  },
] as const;

export type SeparatorName = (typeof SEPARATORS)[number]['name'];

/**
 * `works`: read. `unread`: there, and we cannot read it. `no generation`: there, and it tells of no clone. `offered`: the
 * hypervisor has it, the kernel no driver.
 */
export type Visibility = 'works' | 'unread' | 'no generation' | 'offered' | 'absent';

/** Whether the host has a line for bursts, and whether the agent here listens to it. */
export type Line = 'listened to' | 'there' | 'absent';

/** What of {@link SEPARATORS} a machine has; timers are everywhere. */
export interface SeparatorLook {
  readonly vmclock: Visibility;
  readonly vmgenid: Visibility;
  readonly line: Line;
  readonly host: boolean;
  readonly cpu: boolean;
}

const ACPI_DEVICES = '/sys/bus/acpi/devices';
const MAX_ACPI_DEVICES = 512;
/** Where a bound driver shows its devices; before Linux 6.10 it was an ACPI driver. */
const VMGENID_DRIVERS = ['/sys/bus/platform/drivers/vmgenid', '/sys/bus/acpi/drivers/vmgenid'] as const;
const DRIVER_FILES: readonly string[] = ['bind', 'unbind', 'uevent', 'module', 'new_id', 'remove_id'];
const VIRTIO_PORTS = '/sys/class/virtio-ports';
const MAX_VIRTIO_PORTS = 512;

/** Looks for everything that parts copies of this machine. */
export async function lookForSeparators(subject: Subject): Promise<SeparatorLook> {
  const { environment } = subject;
  return {
    vmclock: await vmClock(environment),
    vmgenid: await vmGenerationId(environment),
    line: await hostLine(subject),
    host: (await currentHwrng(environment))?.startsWith('virtio_rng') === true,
    cpu: drawsFromCpu(environment),
  };
}

async function vmClock(environment: Environment): Promise<Visibility> {
  const generation = environment.vmGeneration();
  if (generation.supported) return 'works';
  if (await isThere(environment, '/dev/vmclock0')) {
    // The addon's words for a clock that it could read.
    return generation.reason.endsWith('has no VM generation') ? 'no generation' : 'unread';
  }
  return (await hasAcpiDevice(environment, /VMCLOCK|AMZNC10C/i)) ? 'offered' : 'absent';
}

async function vmGenerationId(environment: Environment): Promise<Visibility> {
  for (const driver of VMGENID_DRIVERS) {
    const bound = (await namesIn(environment, driver)).some((name) => !DRIVER_FILES.includes(name));
    if (bound) return 'works';
  }
  return (await hasAcpiDevice(environment, /VMGENCTR|VM_GEN_COUNTER|QEMUVGID|FCVMGID/i))
    ? 'offered'
    : 'absent';
}

async function hostLine({ environment, agent }: Subject): Promise<Line> {
  const listens = agent?.config.host;
  const named = listens?.device !== undefined && (await isThere(environment, listens.device));
  if (!named && !(await hasTricklePort(environment))) return 'absent';
  return listens === undefined ? 'there' : 'listened to';
}

async function hasTricklePort(environment: Environment): Promise<boolean> {
  for (const port of (await namesIn(environment, VIRTIO_PORTS)).slice(0, MAX_VIRTIO_PORTS)) {
    if ((await textOf(environment, `${VIRTIO_PORTS}/${port}/name`)) === TRICKLE_PORT) return true;
  }
  return false;
}

/** Whether the firmware lists a device whose name or identifiers look like this. */
async function hasAcpiDevice(environment: Environment, pattern: RegExp): Promise<boolean> {
  const names = (await namesIn(environment, ACPI_DEVICES)).slice(0, MAX_ACPI_DEVICES);
  if (names.some((name) => pattern.test(name))) return true;
  for (const name of names) {
    const identifiers = await textOf(environment, `${ACPI_DEVICES}/${name}/modalias`);
    if (identifiers !== undefined && pattern.test(identifiers)) return true;
  }
  return false;
}

function drawsFromCpu(environment: Environment): boolean {
  const drawn = environment.cpuRandom(16, 'separator');
  if (drawn.supported) drawn.value.fill(0);
  return drawn.supported;
}
