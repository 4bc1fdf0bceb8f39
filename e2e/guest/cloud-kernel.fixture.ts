import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { Console } from './console.fixture.js';

const SCRIPT = fileURLToPath(new URL('../../scripts/cloud-kernel.sh', import.meta.url));

/** What scripts/cloud-kernel.sh left in the user's cache: `kernel`, `busybox`, `modules` and their `order`. */
function cloudFolder(): string | undefined {
  const { status, stdout } = spawnSync('sh', [SCRIPT, '--cached'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** A `describe` for tests with Debian's cloud kernel: skipped, and in CI an error, where it is not there. */
export function needsCloudKernel(): (name: string, body: () => void) => void {
  if (cloudFolder() !== undefined) return needs('qemu-system-x86_64', 'setpriv');
  if ((process.env['CI'] ?? '') !== '') throw new Error('CI must have run scripts/cloud-kernel.sh');
  return (name, body) => describe.skip(`${name} (needs scripts/cloud-kernel.sh)`, body);
}

/** For tests: a guest that is nothing but Debian's cloud kernel, busybox and one shell script, talking to its console. */
export class CloudGuest {
  readonly console: Console;
  readonly #child: ChildProcess;
  readonly #over: Promise<void>;

  /**
   * @param script - run as root when the modules are loaded; the guest switches off at its end
   * @param devices - more arguments for QEMU
   * @param append - more for the kernel's command line
   */
  constructor(script: string, devices: readonly string[], append: string) {
    const folder = cloudFolder();
    if (folder === undefined) throw new Error('run scripts/cloud-kernel.sh first');
    const temporary = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-cloud-'));
    const initrd = path.join(temporary, 'initramfs');
    makeInitramfs(folder, temporary, initrd, script);
    this.#child = spawn(
      'setpriv',
      [
        ['--pdeathsig', 'KILL', 'qemu-system-x86_64'],
        '-accel tcg -m 256 -smp 1 -nodefaults -display none -no-reboot -nic none -serial stdio'.split(' '),
        ['-cpu', 'qemu64,-rdrand,-rdseed', '-kernel', path.join(folder, 'kernel'), '-initrd', initrd],
        ['-append', `console=ttyS0 quiet panic=-1 no_timer_check random.trust_cpu=off ${append}`, ...devices],
      ].flat(),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new TypeError('stdout and stderr are pipes');
    this.console = new Console(stdout, stderr);
    this.#over = once(this.#child, 'close').then(() => rmSync(temporary, { recursive: true, force: true }));
  }

  /** What the guest wrote so far, line ends left out. */
  get said(): string[] {
    return this.console.lines.map(({ text }) => text);
  }

  /** Resolves when it has switched off. */
  get over(): Promise<void> {
    return this.#over;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#over;
  }
}

function makeInitramfs(folder: string, temporary: string, initrd: string, script: string): void {
  const root = path.join(temporary, 'root');
  for (const name of ['bin', 'dev', 'proc', 'sys', 'modules'])
    mkdirSync(path.join(root, name), { recursive: true });
  copyFileSync(path.join(folder, 'busybox'), path.join(root, 'bin/busybox'));
  const order = readFileSync(path.join(folder, 'order'), 'utf8').trim().split('\n');
  for (const name of order)
    copyFileSync(path.join(folder, 'modules', `${name}.ko`), path.join(root, 'modules', `${name}.ko`));
  const init = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for name in ${order.join(' ')}; do insmod /modules/$name.ko || echo "cannot load $name"; done
${script}
poweroff -f
`;
  writeFileSync(path.join(root, 'init'), init, { mode: 0o755 });
  const busybox = path.join(folder, 'busybox');
  const pack = `find . | '${busybox}' cpio -o -H newc >'${initrd}'`;
  const { status, stderr } = spawnSync('sh', ['-c', pack], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`no initramfs: ${stderr}`);
}
