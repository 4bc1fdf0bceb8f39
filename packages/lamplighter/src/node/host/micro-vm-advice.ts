import type { GuestWays } from './guest-ways.js';
import { type Advice, kernelNote } from './snippet.js';

/** Without an egd outlet, whose budget says what is fair: what Firecracker's own documentation proposes. */
const USUAL_BYTES_PER_SECOND = 10_000;

/**
 * Firecracker's entropy device has no source to choose: it draws from the host's kernel.
 * Source: firecracker, docs/entropy.md and PUT /entropy of its API.
 */
export function firecrackerAdvice(ways: GuestWays): Advice {
  const size = ways.egd?.bytesPerSecond ?? USUAL_BYTES_PER_SECOND;
  const bandwidth = { size, one_time_burst: size, refill_time: 1_000 };
  const device = { rate_limiter: { bandwidth } };
  return {
    where: 'the configuration file',
    text: JSON.stringify({ entropy: device }, null, 2),
    notes: [
      'over its API the same goes to PUT /entropy, without the outer "entropy", before the guest starts',
      'its entropy device draws from the host’s kernel and knows no sockets',
      kernelNote(ways),
    ],
  };
}

/** Cloud Hypervisor reads a file or device for its guests. Source: cloud-hypervisor --help, --rng. */
export function cloudHypervisorAdvice(ways: GuestWays): Advice {
  return {
    where: 'arguments of cloud-hypervisor',
    text: '--rng src=/dev/urandom',
    notes: ['--rng reads a file or a device, and knows no sockets', kernelNote(ways)],
  };
}
