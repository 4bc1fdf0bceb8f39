import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { readHostMachine, readQemuVersion } from './host-machine.js';

let root: string;

beforeEach(async () => {
  root = await fs.mkdtemp(path.join(os.tmpdir(), 'host-machine-'));
});
afterEach(() => fs.rm(root, { recursive: true }));

/** A machine that has these files and nothing else; /dev/hwrng, if named, is a character device as /dev/null is. */
async function machine(files: Record<string, string>): Promise<Pick<Environment, 'fs'>> {
  for (const [file, text] of Object.entries(files)) {
    await fs.mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await fs.writeFile(path.join(root, file), text);
  }
  const there = (file: unknown): string =>
    file === '/dev/hwrng' && file in files ? '/dev/null' : path.join(root, String(file));
  const stat = ((file: string) => fs.stat(there(file))) as typeof fs.stat;
  const lstat = ((file: string) => fs.lstat(there(file))) as typeof fs.lstat;
  const readFile = ((file: string) => fs.readFile(there(file), 'utf8')) as typeof fs.readFile;
  return { fs: { ...fs, stat, lstat, readFile } };
}

const GROUPS = 'root:x:0:\nkvm:x:107:libvirt-qemu\nlibvirt-qemu:x:64055:\n';

describe('readHostMachine', () => {
  it('finds nothing where nothing is', async () => {
    expect(await readHostMachine(await machine({}))).toEqual({
      name: 'vm-host',
      hwrng: undefined,
      qemuGroup: undefined,
      xen: false,
      proxmox: false,
    });
  });

  it('knows a Debian with libvirt', async () => {
    const found = await readHostMachine(
      await machine({
        '/proc/sys/kernel/hostname': 'Rack_7.example.org\n',
        '/dev/hwrng': '',
        '/sys/class/misc/hw_random/rng_current': 'tpm-rng-0\n',
        '/etc/group': GROUPS,
      }),
    );
    expect(found).toMatchObject({ name: 'rack-7', hwrng: 'tpm-rng-0' });
    expect(found.qemuGroup).toMatchObject({ name: 'libvirt-qemu', id: 64_055 });
  });

  it('believes libvirt’s configuration before anything usual', async () => {
    const said = async (text: string) => {
      const files = { '/etc/group': GROUPS, '/etc/libvirt/qemu.conf': text };
      return (await readHostMachine(await machine(files))).qemuGroup;
    };
    expect(await said('user = "x"\ngroup = "kvm"\n')).toMatchObject({ name: 'kvm', id: 107 });
    expect(await said('group = "+990"\n')).toMatchObject({ id: 990 });
    expect(await said('#group = "kvm"\n')).toMatchObject({ name: 'libvirt-qemu' });
    // Guests that run as root need nobody to let them in; a group that nobody knows is not guessed at.
    expect(await said('group = "root"\n')).toBeUndefined();
    expect(await said('group = "nobody-knows"\n')).toBeUndefined();
  });

  it('takes a device with nothing behind it for none', async () => {
    const behind = async (text: string) => {
      const files = { '/dev/hwrng': '', '/sys/class/misc/hw_random/rng_current': text };
      return (await readHostMachine(await machine(files))).hwrng;
    };
    expect(await behind('none\n')).toBeUndefined();
    expect(await behind('\n')).toBeUndefined();
    expect(await behind('amd\u0000\n# x')).toBe('amd # x');
  });

  it('knows Xen’s domain 0 and Proxmox, where nobody has to be let in', async () => {
    expect(await readHostMachine(await machine({ '/run/xenstored/socket': '' }))).toMatchObject({
      xen: true,
    });
    const files = { '/etc/pve/qemu-server/100.conf': '', '/etc/group': GROUPS };
    expect(await readHostMachine(await machine(files))).toMatchObject({
      proxmox: true,
      qemuGroup: undefined,
    });
  });

  it('makes any host name one that a configuration takes', async () => {
    const named = async (text: string) =>
      (await readHostMachine(await machine({ '/proc/sys/kernel/hostname': text }))).name;
    expect(await named('(none)')).toBe('none-');
    expect(await named('---')).toBe('vm-host');
    expect(await named('ÄÖ')).toBe('vm-host');
    expect(await named('a'.repeat(64))).toBe('a'.repeat(63));
  });

  it('looks at this machine without a fault', async () => {
    expect((await readHostMachine(systemEnvironment())).name).toMatch(/^[a-z0-9][a-z0-9-]{0,62}$/);
  });
});

describe('readQemuVersion', () => {
  /** A machine whose programs print what is told here. */
  const printing = (texts: Record<string, string>): Pick<Environment, 'spawn'> => ({
    spawn: (program: string, _args: readonly string[], options: SpawnOptions): ChildProcess =>
      program in texts
        ? spawn('printf', ['%s', texts[program] ?? ''], options)
        : spawn('/nowhere/to/be/found', [], options),
  });

  it('reads it from the first that is there', async () => {
    const texts = { kvm: 'QEMU emulator version 9.2.0 (pve-qemu-kvm_9.2.0-5)\nCopyright' };
    expect(await readQemuVersion(printing(texts))).toEqual({ major: 9, minor: 2 });
  });

  it('does not know it where there is none, or something else is called so', async () => {
    expect(await readQemuVersion(printing({}))).toBeUndefined();
    expect(await readQemuVersion(printing({ kvm: 'kvm version 9.2' }))).toBeUndefined();
  });
});
