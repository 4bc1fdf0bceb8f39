import type { FileHandle } from 'node:fs/promises';
import fs from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from './environment.js';
import { type RestoreSign, RestoreWatch } from './restore-watch.js';

const FORKED = '5,321,9000000,-;random: crng reseeded due to virtual machine fork\n';

/** A machine with a log and clocks that do what a test says. */
class Machine {
  readonly signs: RestoreSign[] = [];
  readonly watch: RestoreWatch;
  /** Records, or the code with which a read fails. */
  log: (string | { code: string })[] | undefined = [];
  isDevice = true;
  hardwareS: number | undefined = 1_700_000_000;
  monotonicMs = 5_000;
  isClosed = false;
  #wake: (() => void) | undefined;

  constructor() {
    const environment = systemEnvironment();
    const handle = {
      stat: () => Promise.resolve({ isCharacterDevice: () => this.isDevice }),
      read: (buffer: Buffer) => this.#read(buffer),
      close: () => Promise.resolve(void (this.isClosed = true)),
    };
    this.watch = new RestoreWatch({
      environment: {
        ...environment,
        monotonicNs: () => BigInt(Math.round(this.monotonicMs * 1e6)),
        timers: { ...environment.timers, sleep: (_delayMs, signal) => this.#sleep(signal) },
        fs: {
          ...fs,
          open: () =>
            this.log === undefined
              ? Promise.reject(coded('EPERM'))
              : Promise.resolve(handle as unknown as FileHandle),
          readFile: (() =>
            this.hardwareS === undefined
              ? Promise.reject(coded('ENOENT'))
              : Promise.resolve(`${this.hardwareS}\n`)) as unknown as typeof fs.readFile,
        },
      },
      onSign: (sign) => this.signs.push(sign),
    });
  }

  /** One look, after so much time by either clock. */
  async look(monotonicMs = 1_000, hardwareS = 1): Promise<void> {
    this.monotonicMs += monotonicMs;
    if (this.hardwareS !== undefined) this.hardwareS += hardwareS;
    this.#wake?.();
    this.#wake = undefined;
    while (this.#wake === undefined) await new Promise(setImmediate);
  }

  #sleep(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  #read(buffer: Buffer): Promise<{ bytesRead: number }> {
    const next = this.log?.shift() ?? { code: 'EAGAIN' };
    if (typeof next !== 'string') return Promise.reject(coded(next.code));
    return Promise.resolve({ bytesRead: buffer.write(next, 'latin1') });
  }
}

const coded = (code: string): Error => Object.assign(new Error(code), { code });

let machine = new Machine();
afterEach(async () => {
  await machine.watch.stop();
  machine = new Machine();
});

describe('a watch for restores', () => {
  it('says nothing of what was before it, and nothing while nothing happens', async () => {
    machine.log = ['6,1,0,-;Linux version 6.1\n', FORKED];
    await machine.watch.start();
    for (let look = 0; look < 5; look += 1) await machine.look();
    expect(machine.signs).toEqual([]);
    expect(machine.watch.status()).toEqual([
      { sign: 'kernel-fork', supported: true },
      { sign: 'hardware-clock', supported: true },
    ]);
  });

  it('hears the kernel, once for each fork, through noise and lost records', async () => {
    await machine.watch.start();
    machine.log = [{ code: 'EPIPE' }, '6,320,1,-;usb 1-1: new\n', FORKED, '6,322,1,-;usb 1-2: new\n'];
    await machine.look();
    expect(machine.signs).toEqual(['kernel-fork']);
    await machine.look();
    expect(machine.signs).toEqual(['kernel-fork']);
    machine.log = [FORKED, FORKED];
    await machine.look();
    expect(machine.signs).toEqual(['kernel-fork', 'kernel-fork']);
  });

  it('believes nobody but the kernel', async () => {
    await machine.watch.start();
    machine.log = [
      FORKED.replace('5,', '13,'),
      `6,400,1,-;audit: ${FORKED}`,
      '4,401,1,-;random: crng reseeded due to virtual machine fork, says he\n',
    ];
    await machine.look();
    expect(machine.signs).toEqual([]);
  });

  it('sees the hardware clock part from the monotonic one, either way, once', async () => {
    await machine.watch.start();
    await machine.look(1_000, 17);
    expect(machine.signs).toEqual(['hardware-clock']);
    await machine.look();
    await machine.look(1_000, -30);
    await machine.look();
    expect(machine.signs).toEqual(['hardware-clock', 'hardware-clock']);
  });

  it('takes seconds that tick late, a busy machine and the drift of days for what they are', async () => {
    await machine.watch.start();
    await machine.look(1_000, 0);
    await machine.look(1_000, 2);
    await machine.look(60_000, 61);
    await machine.look(86_400_000, 86_443);
    for (let look = 0; look < 5_000; look += 1) await machine.look(1_000.5, 1);
    expect(machine.signs).toEqual([]);
  });

  it('gives one sign for one restore, the surer one', async () => {
    await machine.watch.start();
    machine.log = [FORKED];
    await machine.look(1_000, 3_600);
    expect(machine.signs).toEqual(['kernel-fork']);
  });

  it('says what it cannot see, and sees the rest', async () => {
    machine.log = undefined;
    await machine.watch.start();
    await machine.look(1_000, 100);
    expect(machine.signs).toEqual(['hardware-clock']);
    expect(machine.watch.status()[0]).toEqual({
      sign: 'kernel-fork',
      supported: false,
      reason: '/dev/kmsg cannot be opened: EPERM',
    });
    machine.hardwareS = undefined;
    await machine.look();
    expect(machine.watch.status()[1]).toMatchObject({ supported: false });
    machine.hardwareS = 1_800_000_000;
    await machine.look();
    expect(machine.watch.status()[1]).toEqual({ sign: 'hardware-clock', supported: true });
  });

  it('refuses a log that is a file, and ends a log that fails', async () => {
    machine.isDevice = false;
    await machine.watch.start();
    expect(machine.watch.status()[0]).toMatchObject({ supported: false, reason: '/dev/kmsg is no device' });
    expect(machine.isClosed).toBe(true);
  });

  it('lets go of the log when it stops', async () => {
    await machine.watch.start();
    expect(machine.isClosed).toBe(false);
    await machine.watch.stop();
    expect(machine.isClosed).toBe(true);
  });

  it('stops also before it was started', async () => {
    await machine.watch.stop();
    expect(machine.signs).toEqual([]);
  });
});
