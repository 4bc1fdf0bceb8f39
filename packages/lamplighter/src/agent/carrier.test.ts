import fs from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import { findVirtioPort, wayTo } from './carrier.js';

const environment = systemEnvironment();
const DEVICE = '/dev/virtio-ports/io.lamplighter.beacon.1';

/** A machine with two virtio-serial ports, with or without what udev makes of them. */
function ports(udev: boolean): { fs: typeof fs } {
  const links: Record<string, string> = udev ? { [DEVICE]: '/dev/vport0p2' } : {};
  const files: Record<string, string> = {
    '/sys/class/virtio-ports/vport0p1/name': 'org.qemu.guest_agent.0\n',
    '/sys/class/virtio-ports/vport0p2/name': 'io.lamplighter.beacon.1\n',
  };
  const missing = (): never => {
    throw Object.assign(new Error('missing'), { code: 'ENOENT' });
  };
  const known = ['/dev/vport0p1', '/dev/vport0p2', '/dev/null'];
  return {
    fs: {
      ...fs,
      realpath: async (file: string) => links[file] ?? (known.includes(file) ? file : missing()),
      readdir: async () => ['vport0p1', 'vport0p2'],
      readFile: async (file: string) => files[file] ?? missing(),
      lstat: async (file: string) => (`${file}/name` in files ? {} : missing()),
    } as unknown as typeof fs,
  };
}

describe('a virtio-serial port', () => {
  it('is found by udev’s name, the kernel’s, and udev’s where there is no udev', async () => {
    expect(await findVirtioPort(DEVICE, ports(true))).toBe('/dev/vport0p2');
    expect(await findVirtioPort('/dev/vport0p1', ports(true))).toBe('/dev/vport0p1');
    expect(await findVirtioPort(DEVICE, ports(false))).toBe('/dev/vport0p2');
  });

  it('is no other device, which might block whoever opens it', async () => {
    await expect(findVirtioPort('/dev/null', ports(true))).rejects.toMatchObject({ code: 'ERR_DEVICE' });
    await expect(findVirtioPort('/dev/null', environment)).rejects.toMatchObject({ code: 'ERR_DEVICE' });
  });

  it('that is missing is told with those that are there', async () => {
    await expect(findVirtioPort('/dev/virtio-ports/other', ports(true))).rejects.toMatchObject({
      code: 'ERR_SOURCE_ABSENT',
      hint: expect.stringContaining(DEVICE) as string,
    });
  });
});

describe('the way to a relay', () => {
  const doors = { environment, outgoing: new OutgoingConnections(environment, () => undefined) };

  it('over a port names who has to answer, though nobody configured a name', () => {
    expect(wayTo({ url: 'https://relay', device: DEVICE }, doors).name).toBe('relay');
    expect(wayTo({ url: 'https://relay', peer: 'relay-7', device: DEVICE }, doors).name).toBe('relay-7');
    expect(wayTo({ url: 'https://relay' }, doors).name).toBe(undefined);
    expect(wayTo({ url: 'https://relay', peer: 'relay-7' }, doors).name).toBe('relay-7');
  });

  it('over a port is cut with all others', async () => {
    const before: string[] = [];
    const outgoing = new OutgoingConnections(environment, () => before.push('looked'));
    const { connect } = wayTo({ url: 'https://relay', device: '/dev/null' }, { environment, outgoing });
    const connection = connect?.({ host: 'relay', port: 443 });
    connection?.on('error', () => undefined);
    expect({ before, size: outgoing.size }).toEqual({ before: ['looked'], size: 1 });
    expect(outgoing.cut()).toBe(1);
    expect(connection?.destroyed).toBe(true);
  });
});
