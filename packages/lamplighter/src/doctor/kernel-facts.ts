import type { Environment } from '../local/environment.js';
import { StuckBytes } from '../sources/stuck-bytes.js';
import { isThere } from '../local/is-there.js';
import { CAPABILITY, capabilitiesOf, hasCapability } from './capabilities.js';
import type { Fact } from './fact.js';
import { numberIn, textOf } from './machine-files.js';
import { whyNot } from './probe.js';
import type { Subject } from './subject.js';

const SAMPLE_BYTES = 64;

/** What the kernel's RNG does, and what this user may do to it. */
export async function kernelFacts(subject: Subject): Promise<readonly Fact[]> {
  const { environment } = subject;
  return [
    await rngFact(environment),
    await versionFact(environment),
    await handoverFact(subject),
    await hwrngFact(environment),
  ];
}

async function rngFact(environment: Environment): Promise<Fact> {
  const id = 'kernel.rng';
  const entropyBits = await numberIn(environment, '/proc/sys/kernel/random/entropy_avail');
  const values = entropyBits === undefined ? {} : { entropyBits };
  const watch = new StuckBytes();
  let fault: string | undefined;
  try {
    for (let draws = 0; draws < 2; draws += 1) {
      const bytes = environment.osRandom(SAMPLE_BYTES);
      fault ??= watch.fault(bytes);
      bytes.fill(0);
    }
  } catch (error) {
    return {
      id,
      level: 'broken',
      text: `gives nothing without waiting: ${whyNot(error)}`,
      values: { ...values, ready: false },
      action:
        'Give this machine a hardware RNG, so that its kernel gets ready: `modprobe virtio_rng`, or for a VM `-device virtio-rng-pci` at its host.',
    };
  }
  if (fault !== undefined) {
    return {
      id,
      level: 'broken',
      text: `the OS RNG ${fault}`,
      values: { ...values, ready: true, stuck: true },
      action: 'Find out what stands between this process and getrandom(2): `env | grep LD_PRELOAD`.',
    };
  }
  const held = entropyBits === undefined ? '' : `, counts ${entropyBits} bits`;
  return { id, level: 'ok', text: `ready${held}`, values: { ...values, ready: true, stuck: false } };
}

async function versionFact(environment: Environment): Promise<Fact> {
  const id = 'kernel.version';
  const release = await textOf(environment, '/proc/sys/kernel/osrelease');
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})/.exec(release ?? '') ?? [];
  if (release === undefined || major === undefined || minor === undefined) {
    return { id, level: 'info', text: 'this kernel does not say which it is' };
  }
  const isAtLeast = (least: readonly [number, number]): boolean =>
    Number(major) > least[0] || (Number(major) === least[0] && Number(minor) >= least[1]);
  const [lack] = LACKS.filter(({ since }) => !isAtLeast(since));
  return {
    id,
    level: lack?.level ?? 'ok',
    text: `Linux ${release}${lack === undefined ? '' : `: ${lack.text}`}`,
    values: { release },
    ...(lack?.action !== undefined && { action: lack.action }),
  };
}

/** What kernels before these versions lack, the worst first. Source: random(4), and the logs of drivers/char/random.c. */
const LACKS: readonly {
  readonly since: readonly [number, number];
  readonly level: 'weak' | 'info';
  readonly text: string;
  readonly action?: string;
}[] = [
  {
    since: [4, 17],
    level: 'weak',
    text: 'before 4.17 there is no RNDRESEEDCRNG: what is handed over is not used at once',
    action: 'Update this machine’s kernel to 5.18 or later: `apt-get install linux-image-amd64`.',
  },
  {
    since: [5, 18],
    level: 'info',
    text: 'before 5.18 the kernel’s RNG reseeds itself more seldom, and knows nothing of VM generations',
  },
];

async function handoverFact({ environment, agent, runtime }: Subject): Promise<Fact> {
  const id = 'kernel.handover';
  const capabilities = await capabilitiesOf(environment, 'self');
  if (capabilities === undefined) {
    return { id, level: 'info', text: 'what this user may do to the kernel’s RNG cannot be told' };
  }
  const isAdmin = hasCapability(capabilities, CAPABILITY.sysAdmin);
  // The kernel asks for the capability in the first user namespace, which maps every user to itself.
  const map = (await textOf(environment, '/proc/self/uid_map'))?.split(/\s+/);
  const isFirstNamespace = map === undefined || (map[0] === '0' && map[1] === '0' && map[2] === '4294967295');
  const allowed = isAdmin && isFirstNamespace;
  const values = { allowed };
  if (allowed) {
    return { id, level: 'ok', text: 'this user may RNDADDENTROPY and RNDRESEEDCRNG', values };
  }
  const isMeant = agent !== undefined || runtime.userId === 0;
  const why = isAdmin ? 'a user namespace of its own' : 'no CAP_SYS_ADMIN';
  return {
    id,
    level: isMeant ? 'weak' : 'info',
    text: `this user may only write(2) to the kernel’s RNG (${why}): mixed in, in effect up to a minute later`,
    values,
    ...(isMeant && {
      action:
        'Let the agent hand over by ioctl: run it as root, or with `AmbientCapabilities=CAP_SYS_ADMIN` in its unit.',
    }),
  };
}

async function hwrngFact(environment: Environment): Promise<Fact> {
  const id = 'kernel.hwrng';
  const device = await isThere(environment, '/dev/hwrng');
  const current = await currentHwrng(environment);
  const values = { device, current: current ?? 'none' };
  if (current === undefined) return { id, level: 'info', text: 'no hardware RNG has a driver here', values };
  const where = device ? '' : ', but there is no /dev/hwrng to read it by';
  return { id, level: 'ok', text: `${current} feeds the kernel’s RNG${where}`, values };
}

/** The hardware RNG that the kernel draws on, as its driver is called; undefined when there is none. */
export async function currentHwrng(environment: Pick<Environment, 'fs'>): Promise<string | undefined> {
  const current = await textOf(environment, '/sys/class/misc/hw_random/rng_current');
  return current === undefined || current === '' || current === 'none' ? undefined : current;
}
