import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { connectCarrier } from '../../wire/carrier-client.js';
import { readBounded, request } from '../../wire/client.js';
import { type Loopback, loopback } from '../../wire/loopback.fixture.js';
import { Carriers } from './carriers.js';
import { carrierEntry } from './config.js';

const environment = systemEnvironment();
let folder: string;
let served: Loopback;
let carriers: Carriers | undefined;
const open: { destroy(): void }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lamplighter-carriers-'));
  served = await loopback();
  served.listener.route({
    method: 'GET',
    path: '/hello',
    roles: ['machine'],
    maxBodyBytes: 0,
    handle: async (exchange) =>
      exchange.reply(200, { 'content-type': 'text/plain' }, Buffer.from(exchange.peer.name.repeat(10_000))),
  });
});

afterEach(async () => {
  for (const each of open.splice(0)) each.destroy();
  await served.stop();
  await carriers?.stop();
  await rm(folder, { recursive: true });
});

const at = (name: string): string => path.join(folder, name);

async function start(...entries: readonly object[]): Promise<Carriers> {
  carriers = new Carriers(
    entries.map((entry) => carrierEntry.parse(entry)),
    { environment, accept: (connection) => served.listener.accept(connection) },
  );
  await carriers.start();
  return carriers;
}

/** One request of a guest whose line is a socket at which the node listens. */
async function hello(socket: string, name: string): Promise<string> {
  const upstream = await served.upstream('machine', {
    name,
    connect: () =>
      connectCarrier({
        where: socket,
        environment,
        open: async () => {
          const line = net.connect(socket);
          open.push(line);
          return line;
        },
      }),
  });
  const response = await request(upstream, { method: 'GET', path: '/hello', deadlineMs: 5_000 });
  return Buffer.from(await readBounded(response.body, 1_000_000)).toString();
}

describe('carriers', () => {
  it('serve many guests at one socket, each as who it is', async () => {
    const { status } = await start({ listen: at('run/guests.sock') }).then((carriers) => ({
      status: () => carriers.status(),
    }));
    const names = ['guest-1', 'guest-2', 'guest-3'];
    const answers = await Promise.all(names.map((name) => hello(at('run/guests.sock'), name)));
    expect(answers).toEqual(names.map((name) => name.repeat(10_000)));
    expect(status()).toMatchObject([{ name: 'carrier', sessions: 3, garbageBytes: 0, refused: 0 }]);
  });

  it('connect to a guest’s socket, whenever it is there, and again', async () => {
    const carriers = await start({ name: 'guest-a', connect: at('guest-a.sock') });
    while (carriers.status()[0]?.reason === undefined) await new Promise(setImmediate);
    expect(carriers.status()).toMatchObject([{ lines: 0, reason: { code: 'ERR_UPSTREAM_UNREACHABLE' } }]);
    for (let i = 0; i < 2; i += 1) {
      const server = net.createServer().listen(at('guest-a.sock'));
      const [line] = (await once(server, 'connection')) as [net.Socket];
      line.on('error', () => undefined);
      const upstream = await served.upstream('machine', {
        name: 'guest-a',
        connect: () => connectCarrier({ where: 'it', environment, open: async () => line }),
      });
      const response = await request(upstream, { method: 'GET', path: '/hello', deadlineMs: 5_000 });
      expect(response.status).toBe(200);
      await readBounded(response.body, 1_000_000);
      server.close();
      line.destroy();
    }
    while (carriers.status()[0]?.lines !== 0) await new Promise(setImmediate);
    expect(carriers.status()).toMatchObject([{ sessions: 2 }]);
  });

  it('refuse lines beyond the limit', async () => {
    const carriers = await start({ listen: at('run/guests.sock'), maxLines: 1 });
    const [first, second] = [net.connect(at('run/guests.sock')), net.connect(at('run/guests.sock'))];
    open.push(first, second);
    await once(second, 'close');
    expect(carriers.status()).toMatchObject([{ lines: 1, refused: 1 }]);
  });

  it('leave nothing behind when they stop', async () => {
    const carriers = await start({ listen: at('run/guests.sock') }, { name: 'a', connect: at('a.sock') });
    const line = net.connect(at('run/guests.sock'));
    open.push(line);
    await once(line, 'connect');
    await carriers.stop();
    if (!line.closed) await once(line.resume(), 'close');
    await expect(environment.fs.stat(at('run/guests.sock'))).rejects.toMatchObject({ code: 'ENOENT' });
    await carriers.stop();
  });

  it('are told at once when a folder is open to others', async () => {
    await environment.fs.mkdir(at('open'), 0o777);
    await environment.fs.chmod(at('open'), 0o777);
    await expect(start({ listen: at('open/guests.sock') })).rejects.toMatchObject({
      code: 'ERR_SOCKET_FOLDER',
    });
  });

  it('are configured with a socket of one kind', () => {
    expect(carrierEntry.safeParse({}).success).toBe(false);
    expect(carrierEntry.safeParse({ listen: '/a', connect: '/b' }).success).toBe(false);
  });
});
