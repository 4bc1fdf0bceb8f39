import { CARRIER_PORT } from '../../wire/carrier.js';
import { TRICKLE_PORT } from '../../wire/trickle.js';
import type { GuestWays } from './guest-ways.js';

/** What stands in the configuration of one hypervisor, and what a person has to know beside it. */
export interface Advice {
  /** Where the text belongs, in a few words. */
  readonly where: string;
  /** To be pasted as it is, in the hypervisor's own language; undefined when the node has nothing that it could use. */
  readonly text: string | undefined;
  /** Sentences without their full stop. */
  readonly notes: readonly string[];
}

/** Says what a guest of one hypervisor needs. */
export type Adviser = (ways: GuestWays) => Advice;

/** What all hypervisors have in common whose own RNG device reads the host's kernel. */
export function kernelNote({ kernel }: GuestWays): string {
  return kernel
    ? 'the kernel outlet of this configuration is what reaches its guests: it mixes into what that device reads'
    : 'this configuration has no kernel outlet, which alone would reach its guests: add { kind: kernel }';
}

/** What the agent in a guest needs in its configuration for the ports it is given, and this node for its part. */
export function portNotes({ ports, node, beacons, hearsOfRestores }: GuestWays): string[] {
  const has = (name: string): boolean => ports.some((port) => port.name === name);
  const carrier = `{ name: host, url: "https://${node}", device: /dev/virtio-ports/${CARRIER_PORT} }`;
  return [
    ...(has(TRICKLE_PORT)
      ? [
          'in the guest’s agent.yaml: host: {}, which listens to the trickle and resumes when this host says so',
          hearsOfRestores
            ? 'after a restore: `lamplighter host burst GUEST`, from a hook such as deploy/libvirt/qemu'
            : 'to hear of restores this configuration needs guests: {}, and a hook such as deploy/libvirt/qemu',
        ]
      : []),
    ...(has(CARRIER_PORT)
      ? [
          `in the guest’s agent.yaml, as one of relays: ${carrier}; the name in its url is that of this node’s certificate`,
          ...(beacons ? [] : ['nobody answers there: add { kind: beacon } to the outlets']),
        ]
      : []),
  ];
}
