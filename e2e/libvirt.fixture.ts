import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { closure } from './guest/closure.fixture.js';
import { Control, type GuestOutput } from './guest/control.fixture.js';
import { initramfs } from './guest/initramfs.fixture.js';
import { guestFolder } from './guest/kernel.fixture.js';
import { eventually } from './processes.fixture.js';

/** Debian's and others' nobody: libvirt runs guests without privilege only for who has none. */
const NOBODY = 65_534;
const VIRSH_MS = 60_000;

/** A guest that libvirt started. */
export interface LibvirtGuest {
  run(script: string, limitMs: number): Promise<GuestOutput>;
}

/**
 * For tests: libvirt's daemon for a user without privileges, with all of its folders below one of the test's, and guests of it,
 * emulated, with what e2e/guest boots.
 */
export class LibvirtSession {
  readonly groupId: number;
  readonly #folder: string;
  readonly #daemon: ChildProcess;
  readonly #as: { uid: number; gid: number } | undefined;
  readonly #env: NodeJS.ProcessEnv;
  #log = '';
  #control: Control | undefined;

  private constructor(folder: string) {
    this.#folder = path.join(folder, 'libvirt');
    const isRoot = process.geteuid?.() === 0;
    this.#as = isRoot ? { uid: NOBODY, gid: NOBODY } : undefined;
    this.groupId = this.#as?.gid ?? process.getegid?.() ?? 0;
    this.#env = { PATH: process.env['PATH'], LIBVIRT_DEFAULT_URI: 'qemu:///session' };
    // The guest's user has to come through the test's folder, which is private.
    chmodSync(folder, 0o711);
    for (const [name, variable] of [
      ['run', 'XDG_RUNTIME_DIR'],
      ['config', 'XDG_CONFIG_HOME'],
      ['cache', 'XDG_CACHE_HOME'],
      ['home', 'HOME'],
    ] as const) {
      this.#env[variable] = path.join(this.#folder, name);
      mkdirSync(path.join(this.#folder, name), { recursive: true });
      if (this.#as !== undefined) chownSync(path.join(this.#folder, name), this.#as.uid, this.#as.gid);
    }
    if (this.#as !== undefined) chownSync(this.#folder, this.#as.uid, this.#as.gid);
    this.#daemon = spawn('libvirtd', [], { ...this.#options(), stdio: ['ignore', 'ignore', 'pipe'] });
    this.#daemon.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#log += text));
  }

  static async start(folder: string): Promise<LibvirtSession> {
    const session = new LibvirtSession(folder);
    await eventually('libvirtd answers', () => session.#virsh(['version']).status === 0, VIRSH_MS);
    return session;
  }

  /** `<os>` and whatever else a domain needs to boot. */
  bootXml(): string {
    const folder = guestFolder();
    if (folder === undefined) throw new Error('run scripts/guest-kernel.sh first');
    const at = (name: string): string => path.join(this.#folder, name);
    copyFileSync(path.join(folder, 'kernel'), at('kernel'));
    writeFileSync(at('initramfs'), initramfs(folder, closure([])));
    for (const name of ['kernel', 'initramfs']) chmodSync(at(name), 0o644);
    return `<os><type arch='x86_64' machine='q35'>hvm</type><kernel>${at('kernel')}</kernel>
      <initrd>${at('initramfs')}</initrd><cmdline>quiet panic=-1 no_timer_check GUEST_ROOT=copied</cmdline></os>
      <cpu mode='maximum'/><on_reboot>destroy</on_reboot>`;
  }

  /** The line over which this test speaks to the guest. */
  get controlDevice(): string {
    return `<channel type='unix'><source mode='bind' path='${this.#controlSocket}'/>
      <target type='virtio' name='lamplighter.control'/></channel>`;
  }

  /** Starts a domain. @throws Error with what libvirt said */
  async create(xml: string): Promise<LibvirtGuest> {
    const file = path.join(this.#folder, 'domain.xml');
    writeFileSync(file, xml, { mode: 0o644 });
    const { status, stderr } = this.#virsh(['create', file]);
    if (status !== 0) throw new Error(`${stderr}\n${this.#log}`);
    const socket = net.connect(this.#controlSocket);
    await once(socket, 'connect');
    const control = new Control(socket, { patience: 2 });
    this.#control = control;
    await control.run('true', 60_000);
    return control;
  }

  /** Ends the guests and the daemon. */
  async end(): Promise<void> {
    this.#control?.close(new Error('the session is over'));
    for (const name of this.#running()) this.#virsh(['destroy', name]);
    if (this.#daemon.exitCode === null) {
      const ended = once(this.#daemon, 'close');
      this.#daemon.kill('SIGTERM');
      await ended;
    }
    for (const pid of this.#leftOver()) process.kill(pid, 'SIGKILL');
  }

  get #controlSocket(): string {
    return path.join(this.#folder, 'run', 'control.sock');
  }

  #running(): string[] {
    return this.#virsh(['list', '--name'])
      .stdout.split('\n')
      .filter((name) => name !== '');
  }

  /** QEMUs whose end libvirt did not see to, by the files in which it keeps their numbers. */
  #leftOver(): number[] {
    const folder = path.join(this.#folder, 'run', 'libvirt', 'qemu', 'run');
    let names: string[] = [];
    try {
      names = readdirSync(folder).filter((name) => name.endsWith('.pid'));
    } catch {
      return [];
    }
    const pids = names.map((name) => Number(readFileSync(path.join(folder, name), 'utf8')));
    return pids.filter((pid) => pid > 1 && this.#isOurs(pid));
  }

  #isOurs(pid: number): boolean {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(this.#folder);
    } catch {
      return false;
    }
  }

  #virsh(args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('virsh', args, { ...this.#options(), encoding: 'utf8', timeout: VIRSH_MS });
  }

  #options(): { env: NodeJS.ProcessEnv; cwd: string; uid?: number; gid?: number } {
    return { env: this.#env, cwd: '/', ...this.#as };
  }
}
