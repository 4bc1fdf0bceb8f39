import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { descendants } from './proc.fixture.js';
import { eventually } from './processes.fixture.js';

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url));
/** The units that we ship. */
export const UNITS = path.join(REPOSITORY, 'deploy/systemd');
const RUN_DEADLINE_MS = 60_000;

/** A file of the machine: its path there, and what is in it. */
export type MachineFiles = Readonly<Record<string, string>>;

/**
 * Makes the machine out of this one, in namespaces of its own: nothing it mounts, starts, writes or connects to is seen here, and all of
 * it is gone with its first process. `/proc/sys` and `/sys` are not to be written: they are this machine's.
 * Arguments: an empty folder, a folder of files to put over the root, the repository, this Node, and the unit to start.
 */
const MAKE_MACHINE = `
set -eu
here=$1 files=$2 repository=$3 node=$4 unit=$5
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$here"
root=$here/root
mkdir -p "$here/upper" "$here/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$here/upper,workdir=$here/work" overlay "$root"
rm -rf "$root/etc/systemd/system" "$root/etc/lamplighter" "$root/var/lib/lamplighter" "$root/var/lib/private"
rm -rf "$root"/etc/ssh/ssh_host_*
cp -r "$files/." "$root/"
mkdir -p "$root/opt/lamplighter"
mount --bind "$repository" "$root/opt/lamplighter"
mount -o remount,bind,ro "$root/opt/lamplighter"
ln -sf /opt/lamplighter/packages/lamplighter/bin/lamplighter.js "$root/usr/local/bin/lamplighter"
rm -f "$root/usr/local/bin/node"
touch "$root/usr/local/bin/node"
mount --bind "$node" "$root/usr/local/bin/node"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$here/root/old"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
cd "$root"
pivot_root . old
umount -l /old
exec env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin container=lxc /usr/lib/systemd/systemd --unit="$unit" --show-status=no \\
  --log-target=journal </dev/null
`;

/** The namespaces that the machine has of its own. */
const NAMESPACES = ['--mount', '--pid', '--cgroup', '--uts', '--ipc', '--net'];

/** For tests: systemd itself, started as the first process of a machine that is a copy of this one. Root only. */
export class SystemdMachine {
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #pid: number;

  /**
   * @param files - put over the root
   * @param wants - the units that this boot starts, beside those that every boot does
   */
  static async boot(files: MachineFiles, wants: readonly string[]): Promise<SystemdMachine> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-systemd-'));
    const target = `[Unit]\nRequires=basic.target\nAfter=basic.target ${wants.join(' ')}\nWants=${wants.join(' ')}\nAllowIsolate=yes\n`;
    const all = {
      ...files,
      '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
      '/etc/systemd/system/trial.target': target,
    };
    for (const [file, content] of Object.entries(all)) {
      const at = path.join(folder, 'files', file);
      mkdirSync(path.dirname(at), { recursive: true });
      writeFileSync(at, content, { mode: file.endsWith('.key') || file.endsWith('/token') ? 0o600 : 0o644 });
    }
    mkdirSync(path.join(folder, 'machine'));
    const at = (name: string): string => path.join(folder, name);
    const make = [at('machine'), at('files'), REPOSITORY, process.execPath, 'trial.target'];
    const unshare = [
      'unshare',
      '--fork',
      '--kill-child',
      ...NAMESPACES,
      'sh',
      '-c',
      MAKE_MACHINE,
      'sh',
      ...make,
    ];
    // It ends with us, whatever becomes of us.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...unshare], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const pid = await eventually('systemd is the first process', () => {
      if (child.exitCode !== null) throw new Error('the machine could not be made');
      // Before that its root is ours.
      return descendants(child.pid ?? 0).find((first) => commandOf(first) === 'systemd');
    });
    const machine = new SystemdMachine(folder, child, pid);
    await eventually('systemd listens', async () => (await machine.run('systemctl', 'list-jobs')).code === 0);
    return machine;
  }

  private constructor(folder: string, child: ChildProcess, pid: number) {
    this.#folder = folder;
    this.#child = child;
    this.#pid = pid;
  }

  /** Runs a command in the machine to its end. */
  run(...command: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const args = ['--target', String(this.#pid), ...NAMESPACES, '--', ...command];
    return new Promise((resolve) => {
      const env = { PATH: '/usr/local/bin:/usr/sbin:/usr/bin' };
      execFile('nsenter', args, { env, timeout: RUN_DEADLINE_MS }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
    });
  }

  /** Runs a command that has to succeed. @returns what it answered @throws Error when it fails */
  async succeed(...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(' ')}: ${stdout}${stderr}\n${await this.journal()}`);
    return stdout.trim();
  }

  /** What systemd knows of a unit. */
  async unit(name: string): Promise<Readonly<Record<string, string>>> {
    const shown = await this.succeed('systemctl', 'show', name);
    return Object.fromEntries(
      shown.split('\n').map((line) => {
        const end = line.indexOf('=');
        return [line.slice(0, end), line.slice(end + 1)];
      }),
    );
  }

  /** Waits until a unit is as it should be, and gives what systemd knows of it. */
  untilUnit(
    name: string,
    what: string,
    holds: (unit: Readonly<Record<string, string>>) => boolean,
  ): Promise<Readonly<Record<string, string>>> {
    return eventually(`${name} ${what}`, async () => {
      const unit = await this.unit(name);
      return holds(unit) && unit;
    }).catch(async (error: unknown) => {
      const { ActiveState, SubState, Result, StatusText } = await this.unit(name);
      const state = [ActiveState, SubState, Result, StatusText].join(' / ');
      throw new Error(`${String(error)}\n${state}\n${await this.journal()}`, { cause: error });
    });
  }

  async journal(): Promise<string> {
    return (await this.run('journalctl', '--no-pager', '-n', '60', '-o', 'cat')).stdout;
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

/** For tests: the units that we ship, where a package would put them. */
export function shippedUnits(): MachineFiles {
  const units = readdirSync(UNITS).filter((name) => /\.(?:service|timer)$/.test(name));
  return Object.fromEntries(units.map((name) => [`/usr/lib/systemd/system/${name}`, shipped(name)]));
}

/** For tests: one of the files that we ship for systemd. */
export function shipped(name: string): string {
  return readFileSync(path.join(UNITS, name), 'utf8');
}
