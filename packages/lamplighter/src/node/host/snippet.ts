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
