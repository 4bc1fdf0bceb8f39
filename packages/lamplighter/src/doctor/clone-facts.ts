import type { Environment } from '../local/environment.js';
import { isThere } from '../local/is-there.js';
import { cpuInfo } from './cpu-info.js';
import { lookForSeparators, SEPARATORS, type SeparatorLook, type SeparatorName } from './clone-separators.js';
import { signsFact } from './clone-signs.js';
import type { Fact } from './fact.js';
import { textOf } from './machine-files.js';
import type { Subject } from './subject.js';

/** What hypervisors call themselves in DMI, for CPUs that have no flag for it. */
const VIRTUAL_PRODUCT =
  /kvm|qemu|vmware|virtualbox|virtual machine|bochs|xen|hvm domu|google compute engine/i;

/** Whether this is a virtual machine, and what its copies would have in common (DESIGN section 2, promise 2). */
export async function cloneFacts(subject: Subject): Promise<readonly Fact[]> {
  const machine = await lookAtMachine(subject.environment);
  const look = await lookForSeparators(subject);
  const found = SEPARATORS.filter(({ name }) => isThereIn(look, name));
  return [
    machineFact(machine),
    separatorsFact(look, found, machine),
    await signsFact(subject, look, machine.isVirtual),
    clonesFact(found, machine),
  ];
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

type Separator = (typeof SEPARATORS)[number];

function isThereIn(look: SeparatorLook, name: SeparatorName): boolean {
  if (name === 'timers') return true;
  const seen = look[name];
  return seen === true || seen === 'works' || seen === 'listened to';
}

function separatorsFact(look: SeparatorLook, found: readonly Separator[], { isVirtual }: MachineLook): Fact {
  const surest = found[0]?.name ?? 'timers';
  const isWeak = isVirtual === true && surest === 'timers';
  const some = found.map(({ what }) => what).join(', ');
  return {
    id: 'machine.separators',
    level: isWeak ? 'weak' : 'ok',
    text: `${surest === 'timers' ? `nothing certain: ${some}` : some}${unusedIn(look)}`,
    values: { ...look, surest },
    ...(isWeak && { action: actionFor(look) }),
  };
}

/** What is offered here and parts nothing. */
function unusedIn({ vmclock, line }: SeparatorLook): string {
  const clock =
    vmclock === 'offered'
      ? '; the hypervisor offers a VM clock, and no driver has it'
      : vmclock === 'no generation'
        ? '; the VM clock has no generation, and so tells of no clone'
        : '';
  return `${clock}${line === 'there' ? '; the host has a line for bursts, and no agent listens' : ''}`;
}

function clonesFact([surest]: readonly Separator[], { isVirtual }: MachineLook): Fact {
  return {
    id: 'machine.clones',
    level: 'info',
    text:
      isVirtual === false || surest === undefined
        ? `only its disk can be copied: a copied seed file is told by the machine’s own numbers`
        : `in a clone or restored snapshot ${surest.repeats}`,
  };
}

function actionFor({ vmclock, vmgenid, line }: SeparatorLook): string {
  if (vmclock === 'unread') {
    return 'Let this user read the VM clock, with the native addon built: `chmod 0444 /dev/vmclock0`.';
  }
  if (vmclock === 'offered') return 'Load the driver of the VM clock: `modprobe ptp_vmclock`.';
  if (vmgenid === 'offered') {
    return 'Run a kernel of 5.18 or later with CONFIG_VMGENID, which this hypervisor supports: `apt-get install linux-image-amd64`.';
  }
  if (line === 'there') return 'Let the agent listen to its host: `host: {}` in its configuration.';
  return 'Ask the VM host for something that parts clones: for QEMU `-device vmgenid,guid=auto` or `-device virtio-rng-pci`.';
}
