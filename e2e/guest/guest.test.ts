import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runs } from '../proc.fixture.js';
import { type Guest, bootGuest, endGuests } from './guest.fixture.js';
import { inFull } from '../../packages/lamplighter/dist/needs.fixture.js';
import { needsGuest } from './kernel.fixture.js';

const PROGRAM = fileURLToPath(new URL('../../packages/lamplighter/bin/lamplighter.js', import.meta.url));

inFull(() => needsGuest())('a guest', () => {
  let guest: Guest;
  let share: string;

  beforeAll(async () => {
    share = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-share-'));
    guest = await bootGuest({ share });
  });

  afterAll(async () => {
    await endGuests();
    rmSync(share, { recursive: true, force: true });
  });

  it('has a kernel of its own, and random numbers from the host', async () => {
    expect(await guest.succeed('uname -n')).toBe('guest');
    expect(await guest.succeed('cat /sys/class/misc/hw_random/rng_current')).toMatch(/^virtio_rng/);
    expect(await guest.succeed('head -c 64 /dev/hwrng | wc -c')).toBe('64');
    // As any machine, and unlike a chroot: programs can be shut in.
    expect(await guest.run('unshare --net --user true')).toMatchObject({ code: 0 });
  });

  it('tells exit code, stdout and stderr apart, whatever bytes they are', async () => {
    const { code, stdout, stderr } = await guest.run(
      `printf '\\001no answer 0 1 1\\n\\0é'; echo no >&2; exit 7`,
    );
    expect({ code, stdout, stderr }).toEqual({
      code: 7,
      stdout: '\u0001no answer 0 1 1\n\0é',
      stderr: 'no\n',
    });
  });

  it('runs commands beside each other, through a noisy console', async () => {
    const noise = guest.run(
      'for i in $(seq 200); do echo "noise $i" >/dev/kmsg; echo "noise $i" >/dev/ttyS0; done',
    );
    const answers = await Promise.all([1, 2, 3, 4].map((n) => guest.succeed(`seq ${n}000 | tail -n 1`)));
    expect(answers).toEqual(['1000', '2000', '3000', '4000']);
    expect(await noise).toMatchObject({ code: 0 });
    expect(guest.console.lines.map(({ text }) => text)).toContain('noise 200');
  });

  it('ends a command at its limit, and everything the command started', async () => {
    await expect(guest.run('sleep 600 & sleep 600', { timeoutMs: 1_000 })).rejects.toThrow(/time limit/);
    expect(await guest.succeed('cat /proc/[0-9]*/comm | grep -c ^sleep || true')).toBe('0');
  });

  it('refuses output that is too long, and goes on', async () => {
    await expect(guest.run('head -c 2000000 /dev/zero')).rejects.toThrow(/wrote 2000000/);
    expect(await guest.succeed('head -c 1000000 /dev/zero | tr "\\0" x')).toHaveLength(1_000_000);
  });

  it('shares a folder, and leaves the host alone', async () => {
    writeFileSync(path.join(share, 'from-host'), 'hello');
    expect(await guest.succeed('cat /share/from-host && echo hi >/share/from-guest')).toBe('hello');
    expect(readFileSync(path.join(share, 'from-guest'), 'utf8')).toBe('hi\n');
    const file = path.join(os.tmpdir(), `lamplighter-guest-${process.pid}`);
    expect(await guest.succeed(`echo hi >${file} && cat ${file}`)).toBe('hi');
    expect(() => readFileSync(file)).toThrow(/ENOENT/);
  });

  it('runs this Node and the built program', async () => {
    expect(await guest.succeed(`'${process.execPath}' '${PROGRAM}' --version`)).toMatch(/^lamplighter \d/);
  });

  it('is asked over QMP', async () => {
    expect(await guest.qmp('query-status')).toMatchObject({ status: 'running' });
    await expect(guest.qmp('no-such-command')).rejects.toThrow(/CommandNotFound/);
    expect(await guest.monitor('info name')).toBe('');
  });

  it('switches off, and nothing of it is left', async () => {
    const { pid } = guest;
    expect(runs(pid)).toBe(true);
    await guest.powerOff();
    expect(runs(pid)).toBe(false);
    await expect(guest.run('true')).rejects.toThrow(/QEMU ended/);
  });
});

inFull(() => needsGuest())('a guest that cannot boot', () => {
  it('is an error that quotes its console', async () => {
    await expect(bootGuest({ append: 'rdinit=/nowhere' })).rejects.toThrow(/not syncing/);
  });

  it('is an error that quotes QEMU', async () => {
    await expect(bootGuest({ devices: ['-device', 'no-such-device'] })).rejects.toThrow(/no-such-device/);
  });
});
