/** The hypervisors there is advice for: what `lamplighter host snippets --for` takes. */
export const HYPERVISORS = ['libvirt', 'qemu', 'proxmox', 'firecracker', 'cloud-hypervisor', 'xen'] as const;

export type Hypervisor = (typeof HYPERVISORS)[number];
