import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { loadNodeConfig, type NodeConfig } from '../config.js';
import type { HostMachine } from './host-machine.js';
import { hostPreset, HOST_PLACES, parseHostPreset } from './host-preset.js';

const BARE: HostMachine = {
  name: 'vm-host',
  hwrng: undefined,
  qemuGroup: undefined,
  xen: false,
  proxmox: false,
};
const group = { name: 'libvirt-qemu', id: 64_055, because: 'it says so' };
const FULL: HostMachine = { name: 'rack-7', hwrng: 'tpm-rng-0', qemuGroup: group, xen: true, proxmox: false };
const MACHINES: Record<string, HostMachine> = {
  bare: BARE,
  full: FULL,
  proxmox: { ...BARE, proxmox: true },
  'with a name that YAML would take for a number': { ...BARE, name: '007' },
};

let folder: string;
beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'host-preset-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

async function written(text: string): Promise<NodeConfig> {
  const file = path.join(folder, 'host.yaml');
  await fs.writeFile(file, text);
  return loadNodeConfig(systemEnvironment(), file);
}

const kinds = (parts: readonly { readonly kind: string }[]): string[] => parts.map(({ kind }) => kind);

describe('the preset of a VM host', () => {
  it.each(Object.entries(MACHINES))('is a good configuration: %s', async (_, machine) => {
    const text = hostPreset(machine);
    const config = parseHostPreset(text);
    // What `lamplighter host` runs and what `host init` writes are the same.
    expect(await written(text)).toEqual(config);
    expect(config).toMatchObject({ name: machine.name, state: HOST_PLACES.state });
    expect(kinds(config.outlets)).toEqual(['egd', 'kernel', ...(machine.xen ? ['xenstore'] : [])]);
    expect(kinds(config.sources).slice(0, 4)).toEqual(['os', 'cpu', 'timing', 'whirlwind']);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(130);
  });

  it('has a hardware source where the machine has one', () => {
    expect(kinds(parseHostPreset(hostPreset(FULL)).sources)).toContain('hwrng');
    expect(kinds(parseHostPreset(hostPreset(BARE)).sources)).not.toContain('hwrng');
  });

  it('lets a group in only where it found one', () => {
    const mode = (machine: HostMachine): unknown =>
      parseHostPreset(hostPreset(machine)).outlets.find(({ kind }) => kind === 'egd');
    expect(mode(FULL)).toMatchObject({ folderMode: '0750', listen: `unix:${HOST_PLACES.socket}` });
    expect(mode(BARE)).toMatchObject({ folderMode: '0700' });
  });

  it('asks the relays it was told of, and says where the certificate has to be', async () => {
    const relays = [new URL('https://relay-1.example:9443'), new URL('https://[2001:db8::1]:9443/')];
    const text = hostPreset(FULL, { relays });
    const config = await written(text);
    expect(config.sources.filter(({ kind }) => kind === 'beacon')).toMatchObject([
      { name: 'relay-1', url: 'https://relay-1.example:9443' },
      { name: 'relay-2', url: 'https://[2001:db8::1]:9443' },
    ]);
    expect(config.tls).toEqual({
      ca: `${HOST_PLACES.state}/ca.pem`,
      cert: `${HOST_PLACES.state}/rack-7.pem`,
      key: `${HOST_PLACES.state}/rack-7.key`,
    });
  });

  it('proposes as comments what is good too', async () => {
    const relays = hostPreset(FULL).replaceAll(
      /^( *)# (tls:|  (?:ca|cert|key):|- \{ kind: beacon|guests:|carriers:| {2}- \{ name: guests)/gm,
      '$1$2',
    );
    const config = await written(relays);
    expect(config.tls).toBeDefined();
    expect(config.guests).toMatchObject({ socket: '/run/lamplighter-host/news/resumed.sock' });
    expect(config.carriers).toMatchObject([{ listen: HOST_PLACES.carrier, folderMode: '0750' }]);
    expect(kinds(config.sources)).toContain('beacon');
  });

  it('is refused without a file when it would need one', () => {
    const text = hostPreset(FULL, { relays: [new URL('https://relay.example')] });
    expect(() => parseHostPreset(text)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });
});
