import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { type PlacedSocket, listenOnUnixSocket } from './unix-socket.js';

let parent: string;
const servers: Server[] = [];

beforeEach(async () => {
  parent = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await fs.rm(parent, { recursive: true });
});

function newServer(): Server {
  const server = net.createServer((socket) => socket.on('error', () => undefined).end('hello'));
  servers.push(server);
  return server;
}

const place = (file: string, folderMode = 0o700, server = newServer()): Promise<PlacedSocket> =>
  listenOnUnixSocket(server, { path: file, folderMode }, systemEnvironment());

const modeOf = async (file: string): Promise<number> => (await fs.lstat(file)).mode & 0o777;

async function greeting(file: string): Promise<string> {
  const socket = net.connect(file);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return String(chunk);
}

/** A socket file that nobody listens on: what a killed process leaves. */
function staleSocket(file: string): void {
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  expect(spawnSync(process.execPath, ['-e', script, file]).signal).toBe('SIGKILL');
}

describe('listenOnUnixSocket', () => {
  it.each([
    [0o700, 0o600],
    [0o750, 0o660],
  ])(
    'makes a folder of mode %o, whatever the umask, before a socket of mode %o',
    async (folderMode, mode) => {
      const file = path.join(parent, 'egd', 'socket');
      const umask = process.umask(0o077);
      try {
        await place(file, folderMode);
      } finally {
        process.umask(umask);
      }
      expect(await modeOf(path.dirname(file))).toBe(folderMode);
      expect(await modeOf(file)).toBe(mode);
      expect(await greeting(file)).toBe('hello');
      expect(await fs.readdir(path.dirname(file))).toEqual(['socket']);
    },
  );

  it('is gone when removed, and only then', async () => {
    const file = path.join(parent, 'socket');
    const server = newServer();
    const placed = await place(file, 0o700, server);
    server.close();
    await once(server, 'close');
    expect((await fs.lstat(file)).isSocket()).toBe(true);
    await placed.remove();
    await placed.remove();
    expect(await fs.readdir(parent)).toEqual([]);
  });

  it('removes nothing that took its place', async () => {
    const file = path.join(parent, 'socket');
    const server = newServer();
    const first = await place(file, 0o700, server);
    server.close();
    const second = await place(file);
    await first.remove();
    expect(await greeting(file)).toBe('hello');
    await second.remove();
    await fs.writeFile(file, 'a file');
    await second.remove();
    expect(await fs.readFile(file, 'utf8')).toBe('a file');
  });

  it('replaces a socket that nobody answers on', async () => {
    const file = path.join(parent, 'socket');
    staleSocket(file);
    await place(file);
    expect(await greeting(file)).toBe('hello');
  });

  it('replaces what an earlier process of its own number left half done', async () => {
    staleSocket(path.join(parent, `.${process.pid}.new`));
    await place(path.join(parent, 'socket'));
    expect(await fs.readdir(parent)).toEqual(['socket']);
  });

  it('refuses to replace a socket that somebody answers on', async () => {
    const file = path.join(parent, 'socket');
    await place(file);
    await expect(place(file)).rejects.toMatchObject({ code: 'ERR_SOCKET_IN_USE' });
    expect(await greeting(file)).toBe('hello');
  });

  it.each([
    ['a file', (file: string) => fs.writeFile(file, 'precious')],
    ['a folder', (file: string) => fs.mkdir(file)],
    ['a link', (file: string) => fs.symlink('/dev/null', file)],
    ['a FIFO', (file: string) => void spawnSync('mkfifo', [file])],
  ])('never removes %s', async (_what, make) => {
    const file = path.join(parent, 'socket');
    await make(file);
    const before = await fs.lstat(file);
    await expect(place(file)).rejects.toMatchObject({ code: 'ERR_LISTEN' });
    const after = await fs.lstat(file);
    expect([after.ino, after.mode]).toEqual([before.ino, before.mode]);
  });

  it.each([
    ['anybody may enter', 0o755],
    ['anybody may look into', 0o704],
    ['the group may write', 0o770],
  ])('refuses a folder that %s', async (_what, mode) => {
    const folder = path.join(parent, 'open');
    await fs.mkdir(folder);
    await fs.chmod(folder, mode);
    await expect(place(path.join(folder, 'socket'))).rejects.toMatchObject({ code: 'ERR_SOCKET_FOLDER' });
    expect(await fs.readdir(folder)).toEqual([]);
    expect(await modeOf(folder)).toBe(mode);
  });

  it('refuses a folder that is a link, and one without a parent', async () => {
    await fs.mkdir(path.join(parent, 'real'), { mode: 0o700 });
    await fs.symlink('real', path.join(parent, 'link'));
    for (const folder of ['link', 'none/none']) {
      const placing = place(path.join(parent, folder, 'socket'));
      await expect(placing).rejects.toMatchObject({ code: 'ERR_SOCKET_FOLDER' });
    }
  });

  it.skipIf(process.geteuid?.() !== 0)('refuses a folder of another user (needs root)', async () => {
    const folder = path.join(parent, 'theirs');
    await fs.mkdir(folder, { mode: 0o700 });
    await fs.chown(folder, 65_534, 65_534);
    await expect(place(path.join(folder, 'socket'))).rejects.toMatchObject({ code: 'ERR_SOCKET_FOLDER' });
  });

  it('says so when the folder leaves no room for the name it binds first', async () => {
    const folder = path.join(parent, 'x'.repeat(100 - parent.length));
    const placing = place(path.join(folder, 's'));
    await expect(placing).rejects.toMatchObject({ code: 'ERR_LISTEN' });
  });
});
