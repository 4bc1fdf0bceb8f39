import { guestWays, type SnippetSubject } from './guest-ways.js';
import type { Hypervisor } from './hypervisors.js';
import { libvirtAdvice } from './libvirt-advice.js';
import { cloudHypervisorAdvice, firecrackerAdvice } from './micro-vm-advice.js';
import { proxmoxAdvice, qemuAdvice, xenAdvice } from './qemu-advice.js';
import type { Advice, Adviser } from './snippet.js';

const ADVISERS = {
  libvirt: libvirtAdvice,
  qemu: qemuAdvice,
  proxmox: proxmoxAdvice,
  firecracker: firecrackerAdvice,
  'cloud-hypervisor': cloudHypervisorAdvice,
  xen: xenAdvice,
} as const satisfies Record<Hypervisor, Adviser>;

/**
 * What a guest needs in the configuration of its hypervisor, to get what this node's outlets have for it.
 * @throws LamplighterError ERR_USAGE for what is no name of a guest
 */
export function adviceFor(hypervisor: Hypervisor, subject: SnippetSubject): Advice {
  return ADVISERS[hypervisor](guestWays(subject));
}
