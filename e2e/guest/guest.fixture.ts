import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Console } from './console.fixture.js';
import { Control, type GuestOutput } from './control.fixture.js';
import { initramfs } from './initramfs.fixture.js';
import { guestFolder } from './kernel.fixture.js';
import { Qmp, type QmpEvent } from './qmp.fixture.js';

export interface GuestOptions {
  /** 512 unless told: enough for Node and ffmpeg. */
  readonly memoryMb?: number;
  /**
   * The guest's clock goes on with its instructions, 2 ns each, and with real time only while it is idle (`-icount`). On a busy
   * host it is then slow and does not know it: for tests of anything with a deadline. False unless told.
   */
  readonly ownTime?: boolean;
  /** `max` unless told: everything TCG has, RDRAND and RDSEED among it. */
  readonly cpu?: string;
  /** More for the kernel's command line. */
  readonly append?: string;
  /** More arguments for QEMU: `-device`, `-drive`, `-netdev`, `-loadvm` … */
  readonly devices?: readonly string[];
  /** Whether there is a virtio-rng that the host's /dev/urandom feeds; true unless told. */
  readonly hostRandom?: boolean;
  /** A folder that the guest sees as /share and may write to. Not together with {@link Guest.saveTo}. */
  readonly share?: string;
  /**
   * Files and folders of the host, absolute, that are copied into the guest's memory (see `closure.fixture.ts`); it then has
   * these and busybox, and nothing else of the host, and its state can be saved. The whole host, read-only, unless told.
   */
  readonly copied?: readonly string[];
  /** A file that {@link Guest.saveTo} wrote, from a guest with the same options: it goes on there instead of booting. */
  readonly savedState?: string;
}

/** File descriptors of QEMU beside stdin, stdout and stderr: one end each of a socket pair. */
const CONTROL_FD = 3;
const QMP_FD = 4;
/** Some six seconds on an idle machine. */
const BOOT_MS = 60_000;
const RUN_MS = 30_000;
const POWER_OFF_MS = 15_000;
/** How much slower than the host's a guest's own time may pass. */
const OWN_TIME_PATIENCE = 8;
const SAVE_MS = 60_000;
const SAVE_BYTES_PER_SECOND = 4 * 1024 ** 3;

const running = new Set<Guest>();

/**
 * For tests: boots a virtual machine with Debian's full kernel, emulated (TCG), with one processor and no network. Its root
 * is the host's, read-only, with memory laid over it: it has the host's programs and this source tree where the host has
 * them, and what it writes is gone with it.
 *
 * @returns when the guest has run its first command
 * @throws Error with the last lines of its console when it does not come up within a minute
 */
export async function bootGuest(options: GuestOptions = {}): Promise<Guest> {
  const guest = new Guest(options);
  running.add(guest);
  try {
    await guest.run('true', { timeoutMs: BOOT_MS });
    return guest;
  } catch (error) {
    const said = String(error);
    const console = said.includes('QEMU ended') ? '' : guest.console.tail();
    await guest.kill();
    throw new Error(`the guest did not come up: ${said}\n${console}`, { cause: error });
  }
}

/** For tests, in `afterAll` or `afterEach`: ends every guest that still runs. */
export async function endGuests(): Promise<void> {
  await Promise.all([...running].map((guest) => guest.kill()));
}

/** For tests: a running virtual machine. */
export class Guest {
  readonly console: Console;
  readonly #child: ChildProcess;
  readonly #control: Control;
  readonly #qmp: Qmp;
  readonly #over: Promise<void>;

  constructor(options: GuestOptions) {
    const folder = guestFolder();
    if (folder === undefined) throw new Error('run scripts/guest-kernel.sh first');
    const temporary = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-guest-'));
    const initrd = path.join(temporary, 'initramfs');
    writeFileSync(initrd, initramfs(folder, options.copied));
    const args = qemuArguments(options, { kernel: path.join(folder, 'kernel'), initrd });
    // The kernel ends QEMU with us, even when we are killed.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new TypeError('stdout and stderr are pipes');
    this.console = new Console(stdout, stderr);
    this.#control = new Control(socket(this.#child.stdio[CONTROL_FD]), {
      patience: options.ownTime === true ? OWN_TIME_PATIENCE : 1,
    });
    this.#qmp = new Qmp(socket(this.#child.stdio[QMP_FD]));
    this.#over = once(this.#child, 'close').then(
      () => this.#end(temporary, new Error(`QEMU ended\n${this.console.tail()}`)),
      (error: unknown) => this.#end(temporary, new Error('QEMU did not start', { cause: error })),
    );
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What QEMU told by itself so far, oldest first. */
  get events(): readonly QmpEvent[] {
    return this.#qmp.events;
  }

  /**
   * Runs a shell script as root, beside any other. What it leaves running in the background goes on.
   * @param options - `timeoutMs`: in the guest's time; 30 s unless told
   * @throws Error when it was not done in time, wrote more than 1 MiB, or the guest is gone; not for its exit code
   */
  run(script: string, { timeoutMs = RUN_MS }: { timeoutMs?: number } = {}): Promise<GuestOutput> {
    return this.#control.run(script, timeoutMs);
  }

  /** Runs a script that has to succeed. @returns its stdout, without white space at its ends */
  async succeed(script: string, options?: { timeoutMs?: number }): Promise<string> {
    const { code, stdout, stderr } = await this.run(script, options);
    if (code !== 0) throw new Error(`code ${code} in the guest: ${script}\n${stdout}\n${stderr}`);
    return stdout.trim();
  }

  /** One command to QEMU itself, such as `stop` or `query-status`. */
  qmp(command: string, given?: object): Promise<unknown> {
    return this.#qmp.command(command, given);
  }

  /** One line for QEMU's human monitor, such as `savevm NAME`. @returns what it printed; empty when it liked it */
  async monitor(line: string): Promise<string> {
    return String(await this.qmp('human-monitor-command', { 'command-line': line }));
  }

  /**
   * Stops the guest and writes all of its state to a file, from which any number of guests can go on. This one goes on with
   * `qmp('cont')`, if it shall. Only for a guest with `copied`.
   */
  async saveTo(file: string): Promise<void> {
    await this.qmp('migrate-set-parameters', { 'max-bandwidth': SAVE_BYTES_PER_SECOND });
    // Not stopped before: a guest that was saved running goes on by itself when it is restored.
    await this.qmp('migrate', { uri: `exec:cat >${quoted(file)}` });
    const deadline = performance.now() + SAVE_MS;
    for (;;) {
      const answer = JSON.stringify(await this.qmp('query-migrate'));
      if (answer.includes('"completed"')) return;
      if (answer.includes('"failed"')) throw new Error(`cannot save the guest: ${answer}`);
      if (performance.now() > deadline) throw new Error(`not saved within ${SAVE_MS} ms: ${answer}`);
      await sleep(50);
    }
  }

  /** Switches the guest off from inside. @throws Error when it still runs 15 s later */
  async powerOff(): Promise<void> {
    this.#control.send('sync; poweroff -f', POWER_OFF_MS);
    const late = AbortSignal.timeout(POWER_OFF_MS);
    await Promise.race([this.#over, once(late, 'abort')]);
    if (!late.aborted) return;
    const said = this.console.tail();
    await this.kill();
    throw new Error(`the guest did not switch off\n${said}`);
  }

  /** Ends it as a power cut does. Idempotent. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#over;
  }

  #end(temporary: string, reason: Error): void {
    running.delete(this);
    rmSync(temporary, { recursive: true, force: true });
    this.#control.close(reason);
    this.#qmp.close(reason);
  }
}

function qemuArguments(options: GuestOptions, files: { kernel: string; initrd: string }): string[] {
  const { memoryMb = 512, ownTime = false, cpu = 'max', append = '', devices = [] } = options;
  const { hostRandom = true, share, savedState } = options;
  const root = options.copied === undefined ? 'host' : 'copied';
  const shared = share === undefined ? [] : ['GUEST_SHARE=1'];
  // On a busy host ticks of an emulated timer come too late for the kernel's check of it, and it gives up.
  const base = 'console=ttyS0 quiet panic=-1 no_timer_check';
  const line = [base, `GUEST_ROOT=${root}`, ...shared, append].join(' ').trim();
  return [
    '-accel tcg -nodefaults -display none -no-reboot -nic none -serial stdio'.split(' '),
    ['-m', String(memoryMb), '-smp', '1', '-cpu', cpu],
    ownTime ? ['-icount', 'shift=1,sleep=on'] : [],
    ['-kernel', files.kernel, '-initrd', files.initrd, '-append', line],
    ['-chardev', `socket,id=qmp,fd=${QMP_FD}`, '-mon', 'chardev=qmp,mode=control'],
    ['-device', 'virtio-serial-pci,id=ports', '-chardev', `socket,id=control,fd=${CONTROL_FD}`],
    ['-device', 'virtserialport,bus=ports.0,nr=1,chardev=control,name=lamplighter.control'],
    hostRandom ? '-object rng-random,id=urandom,filename=/dev/urandom'.split(' ') : [],
    hostRandom ? '-device virtio-rng-pci,rng=urandom'.split(' ') : [],
    root === 'host' ? folder('root', '/', 'readonly=on') : [],
    share === undefined ? [] : folder('share', share, 'readonly=off'),
    savedState === undefined ? [] : ['-incoming', `exec:cat ${quoted(savedState)}`],
    devices,
  ].flat();
}

/** A folder over 9p. `remap`: the host's root may be several file systems. */
function folder(tag: string, where: string, mode: string): string[] {
  const backend = `local,id=${tag},path=${where},security_model=none,multidevs=remap,${mode}`;
  return ['-fsdev', backend, '-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`];
}

/** For the shell that QEMU starts. */
const quoted = (file: string): string => `'${file.replaceAll("'", `'\\''`)}'`;

/** Node makes its extra pipes as unix socket pairs. */
function socket(stream: unknown): net.Socket {
  if (!(stream instanceof net.Socket)) throw new TypeError('not a pipe');
  return stream;
}
