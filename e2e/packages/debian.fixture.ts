import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { describe } from 'vitest';
import { isFull, needs } from '../../packages/lamplighter/src/needs.fixture.js';
import { descendants } from '../proc.fixture.js';
import { eventually } from '../processes.fixture.js';
import { ran, ROOT } from './packed.fixture.js';

const RUN_DEADLINE_MS = 120_000;

/**
 * Makes a bare Debian in namespaces of its own, over one that is never written to; gone with its first process. It has no network.
 * Arguments: an empty folder, the Debian, and a folder that it sees as /mnt.
 */
const MAKE_DEBIAN = `
set -eu
here=$1 debian=$2 shared=$3
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$here"
root=$here/root
mkdir -p "$here/upper" "$here/work" "$root"
mount -t overlay -o "lowerdir=$debian,upperdir=$here/upper,workdir=$here/work" overlay "$root"
mount --bind "$shared" "$root/mnt"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
for device in null zero full random urandom; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ip link set lo up
mkdir "$root/tmp/old"
cd "$root"
pivot_root . tmp/old
umount -l /tmp/old
rmdir /tmp/old
exec sleep infinity
`;

const NAMESPACES = ['--mount', '--pid', '--uts', '--ipc', '--net'];

/** How a command in a machine ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** For tests: a bare Debian 12, as debootstrap makes it, with systemd installed and not running. Root only. */
export class Debian {
  readonly #child: ChildProcess;
  readonly #pid: number;

  /**
   * @param folder - for its files; made if need be
   * @param files - what it finds in its /mnt, by name
   */
  static async boot(folder: string, files: Readonly<Record<string, string>>): Promise<Debian> {
    const debian = ran('sh', [path.join(ROOT, 'packaging/debian-base.sh')]).stdout.trim();
    const [here, shared] = [path.join(folder, 'machine'), path.join(folder, 'shared')];
    for (const name of [here, shared]) mkdirSync(name, { recursive: true });
    for (const [name, file] of Object.entries(files)) copyFileSync(file, path.join(shared, name));
    const unshare = ['unshare', '--fork', '--kill-child', ...NAMESPACES, 'sh', '-c', MAKE_DEBIAN, 'sh'];
    // It ends with us, whatever becomes of us.
    const args = ['--pdeathsig', 'KILL', '--', ...unshare, here, debian, shared];
    const child = spawn('setpriv', args, { stdio: ['ignore', 'inherit', 'inherit'] });
    const machine = await eventually('there is a Debian', async () => {
      if (child.exitCode !== null) throw new Error('the machine could not be made');
      const [first] = descendants(child.pid ?? 0);
      if (first === undefined) return undefined;
      const made = new Debian(child, first);
      // Before that its root is ours.
      return (await made.run('cat', '/proc/1/comm')).stdout === 'sleep\n' ? made : undefined;
    });
    return machine;
  }

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.#pid = pid;
  }

  /** Runs a command in it to its end. */
  run(...command: readonly string[]): Promise<Ended> {
    const args = ['--target', String(this.#pid), ...NAMESPACES, '--', ...command];
    const env = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      DEBIAN_FRONTEND: 'noninteractive',
      LC_ALL: 'C.UTF-8',
    };
    const options = { env, timeout: RUN_DEADLINE_MS, maxBuffer: 64 * 1024 * 1024 };
    return new Promise((resolve) => {
      execFile('nsenter', args, options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
      });
    });
  }

  /** Runs a shell script that has to succeed. @returns what it printed @throws Error when it fails */
  async succeed(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run('sh', '-ec', script);
    if (code !== 0) throw new Error(`${script}: ${code}\n${stdout}${stderr}`);
    return stdout.trim();
  }

  async end(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}

/** A `describe` for tests in a Debian of their own: in full runs, because each takes a minute. */
export function needsDebian(name: string, body: () => void): void {
  describe.skipIf(process.getuid?.() !== 0 || !isFull)('(needs root, in full runs)', () => {
    needs('unshare', 'setpriv', 'nsenter', 'mount', 'ip', 'debootstrap', 'dpkg-deb')(name, body);
  });
}
