import type { Environment } from '../../local/environment.js';
import { isThere } from '../../local/is-there.js';

/** What a VM host has, as far as the preset and the snippets depend on it. */
export interface HostMachine {
  /** A name that may stand in a configuration. */
  readonly name: string;
  /** What feeds /dev/hwrng; undefined when there is no such device, or nothing behind it. */
  readonly hwrng: string | undefined;
  /** The group that guests' QEMUs run as; undefined where nobody but root starts them, or nobody at all. */
  readonly qemuGroup: QemuGroup | undefined;
  /** Whether this is domain 0 of Xen. */
  readonly xen: boolean;
  readonly proxmox: boolean;
}

/** Of QEMU, as its first line says it. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
}

/** A group by name and number, and who says that QEMU runs as it. */
export interface QemuGroup {
  readonly name: string;
  readonly id: number;
  readonly because: string;
}

type Files = Pick<Environment, 'fs'>;

const LIBVIRT_CONFIGURATION = '/etc/libvirt/qemu.conf';
const XENSTORED_SOCKET = '/run/xenstored/socket';
const PROXMOX_FOLDER = '/etc/pve/qemu-server';
/** What distributions build into libvirt: Debian; Fedora, SUSE; Ubuntu. */
const USUAL_GROUPS = ['libvirt-qemu', 'qemu', 'kvm'] as const;
/** libvirt's own file, with every comment of its, has 40 KiB. */
const MAX_TEXT_BYTES = 1024 * 1024;

/**
 * Looks what this machine has. What cannot be read is taken for not there: a preset is a proposal, and the node itself says
 * what is absent.
 */
export async function readHostMachine(environment: Files): Promise<HostMachine> {
  const [name, hwrng, qemuGroup, xen, proxmox] = await Promise.all([
    textOf(environment, '/proc/sys/kernel/hostname'),
    readHwrng(environment),
    readQemuGroup(environment),
    isThere(environment, XENSTORED_SOCKET),
    isThere(environment, PROXMOX_FOLDER),
  ]);
  return { name: entryNameOf(name), hwrng, qemuGroup: proxmox ? undefined : qemuGroup, xen, proxmox };
}

/** The kernel has the device also where there is nothing behind it: then reading it fails. */
async function readHwrng(environment: Files): Promise<string | undefined> {
  const [device, current] = await Promise.all([
    environment.fs.stat('/dev/hwrng').catch(() => undefined),
    textOf(environment, '/sys/class/misc/hw_random/rng_current'),
  ]);
  if (device?.isCharacterDevice() !== true) return undefined;
  return current === undefined || current === '' || current === 'none' ? undefined : printable(current);
}

/** Under what names hosts have QEMU. */
const QEMU_PROGRAMS = ['qemu-system-x86_64', 'qemu-system-aarch64', 'kvm', '/usr/libexec/qemu-kvm'] as const;
const QEMU_ANSWER_MS = 5_000;
const MAX_VERSION_LENGTH = 4_096;

/** Asks this host's QEMU, whatever it emulates, for its version. @returns undefined when there is none that answers */
export async function readQemuVersion(
  environment: Pick<Environment, 'spawn'>,
): Promise<QemuVersion | undefined> {
  for (const program of QEMU_PROGRAMS) {
    const said = await firstWords(environment, program);
    const [, major, minor] = /^QEMU emulator version (\d{1,4})\.(\d{1,4})/.exec(said) ?? [];
    if (major !== undefined) return { major: Number(major), minor: Number(minor) };
  }
  return undefined;
}

function firstWords({ spawn }: Pick<Environment, 'spawn'>, program: string): Promise<string> {
  return new Promise((resolve) => {
    const child = spawn(program, ['--version'], {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: QEMU_ANSWER_MS,
      killSignal: 'SIGKILL',
    });
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(0, MAX_VERSION_LENGTH);
    });
    child.once('error', () => resolve(''));
    child.once('close', () => resolve(text));
  });
}

/** What libvirt's configuration says, if it says anything and we may read it; else the first of the usual groups there is. */
async function readQemuGroup(environment: Files): Promise<QemuGroup | undefined> {
  const [groups, configuration] = await Promise.all([
    textOf(environment, '/etc/group'),
    textOf(environment, LIBVIRT_CONFIGURATION),
  ]);
  const ids = groupIds(groups ?? '');
  const [, said] =
    /^\s*group\s*=\s*"\+?([a-z_][a-z0-9_-]{0,31}|\d{1,10})"\s*$/m.exec(configuration ?? '') ?? [];
  if (said !== undefined) {
    const id = /^\d/.test(said) ? Number(said) : ids.get(said);
    // 0 is what it says where guests run as root: nobody has to be let in.
    return id === undefined || id === 0
      ? undefined
      : { name: said, id, because: `${LIBVIRT_CONFIGURATION} says so` };
  }
  for (const name of USUAL_GROUPS) {
    const id = ids.get(name);
    if (id !== undefined) return { name, id, because: 'distributions have libvirt run QEMU as it' };
  }
  return undefined;
}

/** group(5): name, password, number, members. */
function groupIds(text: string): ReadonlyMap<string, number> {
  return new Map(
    [...text.matchAll(/^([^:#\n]+):[^:\n]*:(\d{1,10}):/gm)].map(([, name = '', id = '']) => [
      name,
      Number(id),
    ]),
  );
}

/** The first label of a host name, in the letters that a configuration allows. */
function entryNameOf(hostName: string | undefined): string {
  const [label = ''] = (hostName ?? '').toLowerCase().split('.', 1);
  const name = label
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 63);
  return name === '' ? 'vm-host' : name;
}

const printable = (text: string): string => text.replaceAll(/[^\x21-\x7e]+/g, ' ').slice(0, 100);

async function textOf({ fs }: Files, path: string): Promise<string | undefined> {
  try {
    const stat = await fs.stat(path);
    if (!stat.isFile() || stat.size > MAX_TEXT_BYTES) return undefined;
    return (await fs.readFile(path, 'utf8')).trim();
  } catch {
    return undefined;
  }
}
