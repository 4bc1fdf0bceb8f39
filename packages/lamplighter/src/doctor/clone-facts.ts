import type { Environment } from '../local/environment.js';
import { cpuInfo } from './cpu-info.js';
import type { Fact } from './fact.js';
import { currentHwrng } from './kernel-facts.js';
import { isThere, namesIn, textOf } from './machine-files.js';
import type { Subject } from './subject.js';

const ACPI_DEVICES = '/sys/bus/acpi/devices';
const MAX_ACPI_DEVICES = 512;
/** Where a bound driver shows its devices; before Linux 6.10 it was an ACPI driver. */
const VMGENID_DRIVERS = ['/sys/bus/platform/drivers/vmgenid', '/sys/bus/acpi/drivers/vmgenid'] as const;
const DRIVER_FILES: readonly string[] = ['bind', 'unbind', 'uevent', 'module', 'new_id', 'remove_id'];
/** What hypervisors call themselves in DMI, for CPUs that have no flag for it. */
const VIRTUAL_PRODUCT =
  /kvm|qemu|vmware|virtualbox|virtual machine|bochs|xen|hvm domu|google compute engine/i;

/** Whether this is a virtual machine, and what its copies would have in common (DESIGN section 2, promise 2). */
export async function cloneFacts({ environment }: Subject): Promise<readonly Fact[]> {
  const machine = await lookAtMachine(environment);
  return [machineFact(machine), ...(await separatorFacts(environment, machine))];
}

interface MachineLook {
  /** Undefined when nothing tells. */
  readonly isVirtual: boolean | undefined;
  readonly name: string | undefined;
  readonly container: boolean;
}

async function lookAtMachine(environment: Environment): Promise<MachineLook> {
  const info = await cpuInfo(environment);
  const hypervisor = await textOf(environment, '/sys/hypervisor/type');
  const dmi = [
    await textOf(environment, '/sys/class/dmi/id/sys_vendor'),
    await textOf(environment, '/sys/class/dmi/id/product_name'),
  ].filter((text) => text !== undefined && text !== '');
  const deviceTree = await isThere(environment, '/proc/device-tree/hypervisor');
  const name = dmi.length > 0 ? dmi.join(' ') : hypervisor;
  const isVirtual =
    info?.flags.has('hypervisor') === true ||
    hypervisor !== undefined ||
    deviceTree ||
    VIRTUAL_PRODUCT.test(dmi.join(' '));
  const container =
    (await isThere(environment, '/.dockerenv')) || (await isThere(environment, '/run/.containerenv'));
  return { isVirtual: isVirtual || info !== undefined ? isVirtual : undefined, name, container };
}

function machineFact({ isVirtual, name, container }: MachineLook): Fact {
  const what =
    isVirtual === undefined
      ? 'nothing tells what this is'
      : isVirtual
        ? 'a virtual machine'
        : 'no hypervisor seen';
  const called = name === undefined ? '' : ` (${name})`;
  const inside = container ? ', and we are in a container' : '';
  return {
    id: 'machine.kind',
    level: 'info',
    text: `${what}${called}${inside}`,
    values: {
      virtual: isVirtual ?? 'unknown',
      container,
      ...(name !== undefined && { product: name }),
    },
  };
}

/** What is always there, and the least. */
const TIMERS = {
  name: 'timers',
  what: 'timers differ by tens of bits',
  repeats: 'a few clones part, among thousands some will not, and repeat the OS RNG, streams, seeds and keys',
} as const;

/** What parts copies of a machine, the surest first, and what such a copy can repeat when it is the surest there is. */
const SEPARATORS = [
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
      'the kernel’s RNG parts at once, but no process is told: OpenSSL and live TLS connections repeat until the clocks jump or `lamplighter agent resume`',
  },
  {
    name: 'host',
    what: 'the host gives bytes (virtio-rng)',
    repeats:
      'the OS RNG repeats up to a minute, OpenSSL and live TLS connections until the clocks jump or `lamplighter agent resume`; from then on a burst of the host parts them',
  },
  {
    name: 'cpu',
    what: 'the CPU has a random instruction',
    repeats:
      'the OS RNG repeats up to a minute, OpenSSL and live TLS connections until the clocks jump or `lamplighter agent resume`; streams part at their next refill, if the CPU is honest',
  },
  TIMERS,
] as const;

type SeparatorName = (typeof SEPARATORS)[number]['name'];

async function separatorFacts(environment: Environment, machine: MachineLook): Promise<readonly Fact[]> {
  const clock = await vmClock(environment);
  const generation = await vmGenerationId(environment);
  const here: Readonly<Record<SeparatorName, boolean>> = {
    vmclock: clock === 'works',
    vmgenid: generation === 'works',
    host: (await currentHwrng(environment))?.startsWith('virtio_rng') === true,
    cpu: drawsFromCpu(environment),
    timers: true,
  };
  const found = SEPARATORS.filter(({ name }) => here[name]);
  const surest = found[0] ?? TIMERS;
  const isWeak = machine.isVirtual === true && surest.name === 'timers';
  const unused = clock === 'offered' ? '; the hypervisor offers a VM clock, and no driver has it' : '';
  return [
    {
      id: 'machine.separators',
      level: isWeak ? 'weak' : 'ok',
      text: `${found.map(({ what }) => what).join(', ')}${unused}`,
      values: { ...here, vmclock: clock, vmgenid: generation, surest: surest.name },
      ...(isWeak && { action: actionFor(clock, generation) }),
    },
    {
      id: 'machine.clones',
      level: 'info',
      text:
        machine.isVirtual === false
          ? `only its disk can be copied: a copied seed file is told by the machine’s own numbers`
          : `in a clone or restored snapshot ${surest.repeats}`,
    },
  ];
}

/** `works`: read. `unread`: there, and we cannot read it. `offered`: the hypervisor has it, the kernel no driver. */
type Visibility = 'works' | 'unread' | 'offered' | 'absent';

async function vmClock(environment: Environment): Promise<Visibility> {
  if (environment.vmGeneration().supported) return 'works';
  if (await isThere(environment, '/dev/vmclock0')) return 'unread';
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

function actionFor(clock: Visibility, generation: Visibility): string {
  if (clock === 'unread') {
    return 'Let this user read the VM clock, with the native addon built: `chmod 0444 /dev/vmclock0`.';
  }
  if (clock === 'offered') return 'Load the driver of the VM clock: `modprobe ptp_vmclock`.';
  if (generation === 'offered') {
    return 'Run a kernel of 5.18 or later with CONFIG_VMGENID, which this hypervisor supports: `apt-get install linux-image-amd64`.';
  }
  return 'Ask the VM host for something that parts clones: for QEMU `-device vmgenid,guid=auto` or `-device virtio-rng-pci`.';
}
