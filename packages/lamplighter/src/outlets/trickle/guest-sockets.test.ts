import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { guestNameOf, isGuest, lookForGuests } from './guest-sockets.js';

let folder: string;
let servers: Server[] = [];

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'trickle-'));
});

afterEach(async () => {
  for (const server of servers) server.close();
  servers = [];
  await fs.rm(folder, { recursive: true });
});

async function socketAt(...names: string[]): Promise<string> {
  const file = path.join(folder, ...names);
  await fs.mkdir(path.dirname(file), { recursive: true });
  const server = net.createServer().listen(file);
  servers.push(server);
  await once(server, 'listening');
  return file;
}

const found = async (maxGuests = 10) => {
  const { guests, more } = await lookForGuests(folder, maxGuests, fs);
  return { guests: Object.fromEntries(guests), more };
};

describe('lookForGuests', () => {
  it('finds sockets named after their guests, and those of libvirt', async () => {
    const web = await socketAt('web.sock');
    const db = await socketAt('domain-7-db', 'org.openmirage.entropy.1');
    expect(await found()).toEqual({ guests: { web, 'domain-7-db': db }, more: false });
  });

  it('takes nothing else for a guest: links, files, FIFOs, other ports, odd names', async () => {
    const web = await socketAt('web.sock');
    await socketAt('domain-8-mail', 'org.qemu.guest_agent.0');
    await socketAt('other');
    await socketAt('.hidden.sock');
    await socketAt('line\nbreak.sock');
    await fs.symlink('web.sock', path.join(folder, 'link.sock'));
    await fs.writeFile(path.join(folder, 'file.sock'), '');
    spawnSync('mkfifo', [path.join(folder, 'fifo.sock')]);
    await fs.mkdir(path.join(folder, 'folder.sock'));
    expect(await found()).toEqual({ guests: { web }, more: false });
  });

  it('says so when there are more than it may look after', async () => {
    for (const name of ['a', 'b', 'c']) await socketAt(`${name}.sock`);
    const { guests, more } = await found(2);
    expect([Object.keys(guests).length, more]).toEqual([2, true]);
  });

  it('does not read a folder without end', async () => {
    for (let i = 0; i < 4_200; i += 1) await fs.symlink('nowhere', path.join(folder, `${i}`));
    expect((await found()).more).toBe(true);
  });

  it('is patient with a folder that is not there yet, and not with one that is none', async () => {
    const missing = await lookForGuests(path.join(folder, 'none'), 10, fs);
    expect(missing.guests.size).toBe(0);
    await fs.writeFile(path.join(folder, 'file'), '');
    await expect(lookForGuests(path.join(folder, 'file'), 10, fs)).rejects.toMatchObject({
      code: 'ERR_SOCKET_FOLDER',
    });
  });
});

describe('the name of a guest', () => {
  it.each([
    ['/run/trickle/web.sock', 'web'],
    ['/run/trickle/web', 'web'],
    ['/run/libvirt/qemu/channel/7-db/org.openmirage.entropy.1', '7-db'],
  ])('of %s is %s', (socket, name) => expect(guestNameOf(socket)).toBe(name));

  it.each([
    ['web', 'web', true],
    ['domain-7-web', 'web', true],
    ['7-web', 'web', true],
    ['7-web', '7-web', true],
    ['web', 'we', false],
    ['my-web', 'web', false],
    ['domain-7-8-web', 'web', false],
  ])('%s is meant by %s: %s', (name, said, is) => expect(isGuest(name, said)).toBe(is));
});
