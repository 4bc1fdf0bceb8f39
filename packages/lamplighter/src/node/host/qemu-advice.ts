import type { GuestWays } from './guest-ways.js';
import { qemuArguments, shellWord, VM_GENERATION } from './qemu-arguments.js';
import { type Advice, portNotes } from './snippet.js';

const RECONNECT_NOTE =
  'for this host’s QEMU; before 9.2 it is reconnect=1, from 11 on reconnect-ms=1000, and between them either';
const GENERATION_NOTE =
  'vmgenid needs a machine with ACPI, and gives the guest another number at every start and restore of QEMU';

/** QEMU by itself: lines for a shell. */
export function qemuAdvice(ways: GuestWays): Advice {
  const args = [...qemuArguments(ways), ...VM_GENERATION];
  return {
    where: 'arguments of qemu-system-*',
    text: lines(args),
    notes: [...missing(ways), ...portNotes(ways), RECONNECT_NOTE, GENERATION_NOTE],
  };
}

/**
 * Proxmox VE, whose own rng0 reads /dev/urandom, /dev/random or /dev/hwrng and nothing else: QEMU's arguments have to be given
 * by themselves. Source: qm(1), rng0, args and vmgenid.
 */
export function proxmoxAdvice(ways: GuestWays): Advice {
  const args = qemuArguments(ways);
  const kernel = ways.kernel
    ? 'with source=/dev/urandom the kernel outlet reaches it'
    : 'add { kind: kernel }, which reaches source=/dev/urandom';
  return {
    where: '/etc/pve/qemu-server/VMID.conf',
    text: args.length === 0 ? undefined : `args: ${args.map(shellWord).join(' ')}`,
    notes: [
      ...missing(ways),
      ...portNotes(ways),
      'rng0 of Proxmox itself knows only /dev/urandom, /dev/random and /dev/hwrng as its source: remove it where args has a virtio-rng',
      `where rng0 stays: ${kernel}`,
      'only root@pam may set args; they replace what args held; each node of a cluster needs a lamplighter of its own',
      'a VM generation: `qm set VMID --vmgenid 1`, which is usual for guests made with Proxmox 6 or later',
    ],
  };
}

/**
 * Xen: xenstore for every kind of guest; virtio-rng and a VM generation for those with a device model of QEMU (HVM).
 * Source: xl.cfg(5), device_model_args_hvm and ms_vm_genid.
 */
export function xenAdvice(ways: GuestWays): Advice {
  const args = qemuArguments(ways).map((word) => `  ${xlString(word)},`);
  const model = args.length === 0 ? [] : ['device_model_args_hvm = [', ...args, ']'];
  return {
    where: 'xl.cfg of an HVM guest',
    text: ['ms_vm_genid = "generate"', ...model].join('\n'),
    notes: [
      ...portNotes(ways),
      ...(ways.xenstore === undefined
        ? [
            'PV and PVH guests have no virtio-rng: add { kind: xenstore }, which gives every domain a few fresh bytes',
          ]
        : [
            'guests of every kind find their bytes in xenstore without any configuration; domain 0 can read them too',
            `in a guest \`xenstore-read ${shellWord(ways.xenstore)}\` shows them, in hexadecimal`,
          ]),
    ],
  };
}

function missing({ egd, ports }: GuestWays): string[] {
  if (egd !== undefined) return [];
  return [
    ports.length === 0
      ? 'this configuration has neither an egd nor a trickle outlet nor a carrier, so nothing here feeds guests'
      : 'this configuration has no egd outlet, so there is no virtio-rng for it',
  ];
}

/** An option and its value a line, joined for a shell. */
function lines(args: readonly string[]): string {
  const pairs = args.flatMap((word, i) => (i % 2 === 0 ? [`${word} ${shellWord(args[i + 1] ?? '')}`] : []));
  return pairs.join(' \\\n');
}

/** A string of xl.cfg: what is between double quotes, with a backslash before what would end it. */
const xlString = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
