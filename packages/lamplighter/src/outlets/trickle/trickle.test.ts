import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type Server, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { TRICKLE_GREETING, TRICKLE_HELLO } from '../../wire/trickle.js';
import { type TestNode, testNode } from '../context.fixture.js';
import { describeOutletCompliance } from '../outlet.compliance.js';
import { WITHIN } from '../../within.fixture.js';
import { type TrickleOutlet, type TrickleOutletOptions, trickleOutlet } from './trickle.js';

const environment = systemEnvironment();
const never = new AbortController().signal;

let folder: string;
let node: TestNode;
let outlets: TrickleOutlet[] = [];
let sockets: Socket[] = [];
let servers: Server[] = [];

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'trickle-'));
  node = testNode();
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  for (const outlet of outlets) await outlet.stop(0);
  [outlets, sockets, servers] = [[], [], []];
  await fs.rm(folder, { recursive: true });
});

const at = (name: string): string => path.join(folder, 'guests', `${name}.sock`);
const detail = (outlet: TrickleOutlet, name: string): unknown => outlet.status().details[name];

async function started(options: Partial<TrickleOutletOptions> = {}): Promise<TrickleOutlet> {
  const outlet = trickleOutlet({ name: 'trickle', environment, role: 'listen', ...options });
  outlets.push(outlet);
  await outlet.start(node.context, never);
  return outlet;
}

/** What a guest hears on its line. */
class Line {
  readonly socket: Socket;
  #heard = Buffer.alloc(0);
  constructor(socket: Socket) {
    this.socket = socket;
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => (this.#heard = Buffer.concat([this.#heard, chunk])));
  }

  hello(): void {
    this.socket.write(TRICKLE_HELLO);
  }

  /** What has come behind the last greeting. */
  get entropy(): Buffer {
    const at = this.#heard.lastIndexOf(TRICKLE_GREETING);
    return at < 0 ? Buffer.alloc(0) : this.#heard.subarray(at + TRICKLE_GREETING.length);
  }

  async untilEntropy(lengthBytes: number): Promise<Buffer> {
    await vi.waitFor(() => expect(this.entropy.length).toBeGreaterThanOrEqual(lengthBytes), 10_000);
    return this.entropy;
  }
}

/** QEMU's chardev as a client. */
async function client(name: string): Promise<Line> {
  const socket = net.connect(at(name));
  const line = new Line(socket);
  await once(socket, 'connect');
  return line;
}

/** QEMU's chardev as a server: one connection at a time, guests that come and go. */
async function server(name: string): Promise<{ readonly lines: Line[]; close(): Promise<void> }> {
  await fs.mkdir(path.dirname(at(name)), { recursive: true });
  const lines: Line[] = [];
  const listening = net.createServer((socket) => lines.push(new Line(socket))).listen(at(name));
  servers.push(listening);
  await once(listening, 'listening');
  return {
    lines,
    close: async () => {
      const closed = once(listening, 'close');
      listening.close();
      for (const { socket } of lines) socket.destroy();
      await closed;
    },
  };
}

describeOutletCompliance('trickle', async () => {
  const own = await fs.mkdtemp(path.join(os.tmpdir(), 'trickle-'));
  const socket = path.join(own, 'guests', 'web.sock');
  return {
    outlet: trickleOutlet({
      name: 'trickle',
      environment,
      role: 'listen',
      sockets: [socket],
      bytesPerMinute: 1_048_576,
    }),
    ask: async () => {
      const asking = net.connect(socket);
      asking.on('error', () => undefined);
      asking.write(TRICKLE_HELLO);
      let heard = Buffer.alloc(0);
      asking.on('data', (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])));
      const enough = TRICKLE_GREETING.length + 64;
      await vi
        .waitFor(() => expect(heard.length).toBeGreaterThanOrEqual(enough), { timeout: 700 })
        .catch(() => undefined);
      const closed = once(asking, 'close');
      asking.end();
      await closed;
      return heard.length < enough ? undefined : heard.subarray(TRICKLE_GREETING.length);
    },
    cleanUp: () => fs.rm(own, { recursive: true }),
  };
});

describe('a trickle outlet that listens', () => {
  it('serves each guest on its own socket, with bytes that no other gets', async () => {
    node.seed();
    const outlet = await started({ sockets: [at('web'), at('db')] });
    const lines = [await client('web'), await client('db')];
    for (const line of lines) line.hello();
    const [web, db] = await Promise.all(lines.map((line) => line.untilEntropy(1_024)));
    const rows = [web, db].flatMap((bytes) =>
      Array.from({ length: 64 }, (_, row) => bytes?.subarray(16 * row, 16 * row + 16).toString('hex')),
    );
    expect(new Set(rows).size).toBe(128);
    expect(outlet.status()).toMatchObject({ state: 'ok', details: { guests: 2, connected: 2, greeted: 2 } });
  });

  it('lets one connection a guest live, and says when there are others', async () => {
    node.seed();
    const outlet = await started({ sockets: [at('web')] });
    const first = await client('web');
    await vi.waitFor(() => expect(detail(outlet, 'connected')).toBe(1), WITHIN);
    const second = await client('web');
    await once(second.socket, 'close');
    expect(detail(outlet, 'refusedConnections')).toBe(1);
    first.hello();
    await first.untilEntropy(1_024);
  });

  it('goes on when QEMU comes back, and a bad guest disturbs nobody', async () => {
    node.seed();
    const outlet = await started({ sockets: [at('web'), at('bad')] });
    const web = await client('web');
    web.hello();
    await web.untilEntropy(1_024);
    for (let i = 0; i < 5; i += 1) {
      const bad = await client('bad');
      bad.socket.write('\0'.repeat(10_000));
      await once(bad.socket, 'close');
    }
    await vi.waitFor(() => expect(detail(outlet, 'protocolErrors')).toBe(5), WITHIN);
    expect(detail(outlet, 'lastFault')).toMatch(/^bad: ERR_TRICKLE_PROTOCOL: /);
    expect(web.socket.destroyed).toBe(false);
    web.socket.destroy();
    await vi.waitFor(() => expect(detail(outlet, 'connected')).toBe(0), WITHIN);
    const again = await client('web');
    again.hello();
    await again.untilEntropy(1_024);
  });

  it('leaves no socket behind, and refuses one that somebody has', async () => {
    const outlet = await started({ sockets: [at('web'), at('db')] });
    await expect(started({ sockets: [at('mail'), at('web')] })).rejects.toMatchObject({
      code: 'ERR_SOCKET_IN_USE',
    });
    expect((await fs.readdir(path.dirname(at('web')))).sort()).toEqual(['db.sock', 'web.sock']);
    await outlet.stop(1_000);
    expect(await fs.readdir(path.dirname(at('web')))).toEqual([]);
  });
});

describe('a trickle outlet that connects', () => {
  it('waits for a guest’s socket, comes back when it went, and stays when nobody says hello', async () => {
    node.seed();
    const outlet = await started({ role: 'connect', sockets: [at('web')] });
    await vi.waitFor(
      () => expect(detail(outlet, 'lastFault')).toMatch(/^web: ERR_UPSTREAM_UNREACHABLE: .*ENOENT/),
      WITHIN,
    );
    const first = await server('web');
    await vi.waitFor(() => expect(first.lines.length).toBe(1), 10_000);
    first.lines[0]?.hello();
    await first.lines[0]?.untilEntropy(1_024);
    await first.close();
    const second = await server('web');
    await vi.waitFor(() => expect(second.lines.length).toBe(1), 10_000);
    expect(outlet.status().details).toMatchObject({ connected: 1, greeted: 0, hellos: 1 });
    expect(second.lines[0]?.socket.bytesRead).toBe(0);
  });

  it('follows a folder: newcomers are served, those who leave are forgotten, a link leads nowhere', async () => {
    node.seed();
    const outlet = await started({ role: 'connect', folder: path.dirname(at('any')), maxGuests: 2 });
    expect(outlet.status()).toMatchObject({ state: 'ok', details: { guests: 0 } });
    const web = await server('web');
    const secret = path.join(folder, 'secret');
    const elsewhere = net.createServer().listen(secret);
    servers.push(elsewhere);
    elsewhere.on('connection', () => expect.fail('connected through a link'));
    await fs.symlink(secret, at('link'));
    await vi.waitFor(() => expect(web.lines.length).toBe(1), 10_000);
    web.lines[0]?.hello();
    await web.lines[0]?.untilEntropy(1_024);
    const db = await server('db');
    await vi.waitFor(() => expect(db.lines.length).toBe(1), 10_000);
    await server('mail');
    await vi.waitFor(() => expect(detail(outlet, 'tooManyGuests')).toBe(true), 10_000);
    expect(detail(outlet, 'guests')).toBe(2);
    await web.close();
    await vi.waitFor(
      () => expect(outlet.status().details).toMatchObject({ guests: 2, tooManyGuests: false }),
      10_000,
    );
  });

  it('says what is wrong with a folder that it cannot read, and goes on when it can', async () => {
    node.seed();
    const watched = path.join(folder, 'guests');
    await fs.writeFile(watched, 'a file');
    const outlet = await started({ role: 'connect', folder: watched });
    await vi.waitFor(
      () => expect(outlet.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_SOCKET_FOLDER' } }),
      WITHIN,
    );
    await fs.unlink(watched);
    const web = await server('web');
    await vi.waitFor(() => expect(web.lines.length).toBe(1), 10_000);
    expect(outlet.status().state).toBe('ok');
  });

  it('survives a QEMU that is killed, whose socket stays', async () => {
    node.seed();
    await fs.mkdir(path.dirname(at('web')));
    const listen = `require('node:net').createServer((s) => s.write('')).listen(process.argv[1], () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', listen, at('web')], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const outlet = await started({ role: 'connect', folder: path.dirname(at('web')) });
    await vi.waitFor(() => expect(detail(outlet, 'connected')).toBe(1), 10_000);
    child.kill('SIGKILL');
    await once(child, 'close');
    await vi.waitFor(() => expect(detail(outlet, 'lastFault')).toMatch(/ECONNREFUSED/), 10_000);
    await fs.unlink(at('web'));
    const again = await server('web');
    await vi.waitFor(() => expect(again.lines.length).toBe(1), 20_000);
  });
});

describe('a trickle outlet at a resume', () => {
  it('bursts to all who asked when the host was resumed, and to one guest, asked or not, when that was', async () => {
    node.seed();
    const outlet = await started({ sockets: [at('web'), at('db')] });
    const [web, db] = [await client('web'), await client('db')];
    web.hello();
    await web.untilEntropy(1_024);
    await vi.waitFor(() => expect(detail(outlet, 'connected')).toBe(2), WITHIN);
    outlet.resume();
    await web.untilEntropy(2_048);
    expect(db.socket.bytesRead).toBe(0);
    outlet.resume('nobody');
    outlet.resume('db');
    await db.untilEntropy(1_024);
    expect(detail(outlet, 'bursts')).toBe(3);
  });

  it('does nothing before the node is seeded, and nothing after the end', async () => {
    const outlet = await started({ sockets: [at('web')] });
    outlet.resume('web');
    await outlet.stop(0);
    outlet.resume('web');
    expect(outlet.status()).toMatchObject({ state: 'stopped', bytes: 0 });
  });
});

describe('a trickle outlet’s configuration', () => {
  it.each([
    ['nothing to serve', {}],
    ['a relative socket', { sockets: ['web.sock'] }],
    ['a path that is too long', { sockets: [`/${'x'.repeat(107)}`] }],
    ['two guests of one name', { sockets: ['/a/web.sock', '/b/web.sock'] }],
    ['a folder to listen in', { folder: '/run/trickle' }],
    ['a relative folder', { role: 'connect', folder: 'trickle' }],
    ['more sockets than guests', { sockets: ['/a/web.sock', '/a/db.sock'], maxGuests: 1 }],
  ] as const)('is refused with %s', (_what, options) => {
    const make = () => trickleOutlet({ name: 'trickle', environment, role: 'listen', ...options });
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });

  it.each([{ bytesPerMinute: 0 }, { burstBytes: 15 }, { maxGuests: 0 }, { burstBytes: 65_537 }])(
    'is refused with %j',
    (options) => {
      const make = () =>
        trickleOutlet({ name: 'trickle', environment, role: 'listen', sockets: ['/a/b.sock'], ...options });
      expect(make).toThrow(RangeError);
    },
  );
});
