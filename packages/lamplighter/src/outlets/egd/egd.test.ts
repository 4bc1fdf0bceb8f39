import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { nativeAddon } from '@lamplighter/native';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { unable } from '../../local/ability.js';
import { type Endpoint, systemEnvironment } from '../../local/environment.js';
import { type TestNode, testNode } from '../context.fixture.js';
import { describeOutletCompliance } from '../outlet.compliance.js';
import type { Outlet, OutletContext } from '../outlet.js';
import { WITHIN } from '../../within.fixture.js';
import { RawEgdClient } from './client.fixture.js';
import { type EgdOutletOptions, egdOutlet } from './egd.js';
import { SEEDED_LEVEL_BITS } from './connection.js';

const never = new AbortController().signal;
const environment = systemEnvironment();

let folder: string;
let socketPath: string;
let node: TestNode;
let heard: string[];
const outlets: Outlet[] = [];
const clients: RawEgdClient[] = [];

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
  socketPath = path.join(folder, 'egd', 'socket');
  node = testNode();
  heard = [];
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const outlet of outlets.splice(0)) await outlet.stop(0);
  await fs.rm(folder, { recursive: true });
});

function newOutlet(options: Partial<EgdOutletOptions> = {}): Outlet {
  const outlet = egdOutlet({ name: 'egd', environment, listen: `unix:${socketPath}`, ...options });
  outlets.push(outlet);
  return outlet;
}

async function started(options: Partial<EgdOutletOptions> = {}): Promise<Outlet> {
  const outlet = newOutlet(options);
  const context: OutletContext = {
    ...node.context,
    hear: (bytes) => heard.push(Buffer.from(bytes).toString('hex')),
  };
  await outlet.start(context, never);
  return outlet;
}

async function client(endpoint: Endpoint = { path: socketPath }): Promise<RawEgdClient> {
  const connected = await RawEgdClient.connect(endpoint);
  clients.push(connected);
  return connected;
}

const detail = (outlet: Outlet, name: string): unknown => outlet.status().details[name];

describeOutletCompliance('egd', async () => {
  const own = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
  const file = path.join(own, 'egd', 'socket');
  return {
    outlet: egdOutlet({ name: 'egd', environment, listen: `unix:${file}` }),
    ask: async () => {
      const asking = await RawEgdClient.connect({ path: file });
      const [length = 0] = await asking.ask('0120', 1);
      const bytes = await asking.read(length);
      asking.close();
      return length === 0 ? undefined : bytes;
    },
    cleanUp: () => fs.rm(own, { recursive: true }),
  };
});

describe('what an EGD client is answered', () => {
  beforeEach(() => node.seed());

  it('02: exactly as many bytes', async () => {
    await started();
    const asking = await client();
    for (const length of [1, 64, 255]) {
      const command = Buffer.from([2, length]).toString('hex');
      expect((await asking.ask(command, length)).length).toBe(length);
    }
  });

  it('01: a length and as many bytes', async () => {
    await started();
    const answer = await (await client()).ask('0140', 65);
    expect(answer[0]).toBe(64);
    expect(answer.length).toBe(65);
  });

  it('00, 04: the level and the pid', async () => {
    await started();
    const asking = await client();
    expect((await asking.ask('00', 4)).readUInt32BE()).toBe(SEEDED_LEVEL_BITS);
    const [length = 0] = await asking.ask('04', 1);
    expect(String(await asking.read(length))).toBe(String(process.pid));
  });

  it('03: nothing; it is mixed, counted and earns nothing', async () => {
    const outlet = await started();
    const asking = await client();
    // The level behind it shows that no byte came in between.
    expect(await asking.ask('03010804deadbeef 03ffff00 00', 4)).toEqual(Buffer.from('00001000', 'hex'));
    expect(heard).toEqual(['deadbeef']);
    expect(outlet.status().details).toMatchObject({ inputs: 2, inputBytes: 4, inputCreditBits: 0 });
    expect(outlet.status().bytes).toBe(0);
  });

  it('in order, when many requests come in one packet, and when one comes byte by byte', async () => {
    await started();
    const asking = await client();
    const answer = await asking.ask('02000102 00 0205 0100', 3 + 4 + 5 + 1);
    expect([answer[0], answer.readUInt32BE(3), answer[12]]).toEqual([2, SEEDED_LEVEL_BITS, 0]);
    asking.send('03000802aa');
    asking.send('bb');
    asking.send('02');
    expect((await asking.ask('10', 16)).length).toBe(16);
    expect(heard).toEqual(['aabb']);
  });

  it('also after it has shut its own side: owed is owed', async () => {
    await started();
    const asking = await client();
    asking.socket.end(Buffer.from('02ff02ff0140', 'hex'));
    expect((await asking.rest()).length).toBe(255 + 255 + 65);
  });

  it('up to a command that does not exist, then the connection ends', async () => {
    const outlet = await started();
    const asking = await client();
    asking.send('0210 07 0210');
    expect((await asking.rest()).length).toBe(16);
    expect(detail(outlet, 'protocolErrors')).toBe(1);
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
  });

  it('bytes of a stream that no other client shares', async () => {
    const labels: string[] = [];
    const outlet = newOutlet();
    const stream: OutletContext['stream'] = (label) => (labels.push(label), node.context.stream(label));
    await outlet.start({ ...node.context, stream }, never);
    const [one, other] = [await client(), await client()];
    const answers = await Promise.all([one.ask('02ff', 255), other.ask('02ff', 255), one.ask('02ff', 0)]);
    const rows = [...answers.slice(0, 2), await one.read(255)].flatMap((answer) =>
      Array.from({ length: 31 }, (_, row) => answer.subarray(8 * row, 8 * row + 8).toString('hex')),
    );
    expect(new Set(rows).size).toBe(3 * 31);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels.length).toBeGreaterThanOrEqual(3);
  });
});

describe('before the node is seeded', () => {
  it('01 and 00 say that there is nothing, 02 waits with its connection open', async () => {
    const outlet = await started();
    const asking = await client();
    expect(await asking.ask('00 0120', 5)).toEqual(Buffer.alloc(5));
    asking.send('0220');
    await vi.waitFor(() => expect(detail(outlet, 'requests')).toBe(3), WITHIN);
    expect(outlet.status()).toMatchObject({ state: 'waiting', bytes: 0 });
    node.seed();
    expect((await asking.read(32)).length).toBe(32);
    expect(outlet.status()).toMatchObject({ state: 'ok', bytes: 32 });
  });

  it('a client that asks without end is not read further than its first request that waits', async () => {
    const outlet = await started();
    const asking = await client();
    const flood = Buffer.alloc(1 << 20, Buffer.from('0210', 'hex'));
    let taken = false;
    asking.socket.write(flood, () => (taken = true));
    await vi.waitFor(() => expect(detail(outlet, 'requests')).toBe(1), WITHIN);
    // Another client's whole conversation happens meanwhile; the flood still stands.
    expect(await (await client()).ask('00', 4)).toEqual(Buffer.alloc(4));
    expect(taken).toBe(false);
    expect(detail(outlet, 'requests')).toBe(2);
  });

  it.each([16_384, 65_536])(
    '%i bytes that wait behind a request keep nobody from being served',
    async (length) => {
      const outlet = await started();
      const asking = await client();
      asking.send('0210');
      await vi.waitFor(() => expect(detail(outlet, 'requests')).toBe(1), WITHIN);
      asking.socket.write(Buffer.alloc(length, Buffer.from('0210', 'hex')));
      expect(await (await client()).ask('00', 4)).toEqual(Buffer.alloc(4));
      node.seed();
      expect((await asking.read(16 * (1 + 64))).length).toBe(16 * (1 + 64));
    },
  );

  it('clients that give up leave nothing behind', async () => {
    const outlet = await started();
    for (let i = 0; i < 20; i += 1) {
      const asking = await client();
      asking.send('0220');
      await vi.waitFor(() => expect(detail(outlet, 'requests')).toBe(i + 1), WITHIN);
      asking.close();
    }
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(0), WITHIN);
    expect(detail(outlet, 'failures')).toBe(0);
    node.seed();
    expect((await (await client()).ask('0220', 32)).length).toBe(32);
    expect(outlet.status().bytes).toBe(32);
  });

  it('when it stops unseeded, who waits is let go', async () => {
    const outlet = await started();
    const asking = await client();
    asking.send('0220');
    await vi.waitFor(() => expect(detail(outlet, 'requests')).toBe(1), WITHIN);
    node.stopUnseeded();
    expect((await asking.rest()).length).toBe(0);
    await outlet.stop(10_000);
    expect(detail(outlet, 'failures')).toBe(0);
  });
});

describe('bytes that nobody asked for', () => {
  it('come to whoever connects once the node is seeded, as many as one says, and answers behind them', async () => {
    const outlet = await started({ unaskedBytes: 64 });
    const [silent, asking] = [await client(), await client()];
    asking.send('0210');
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(2), WITHIN);
    expect(outlet.status().bytes).toBe(0);
    node.seed();
    const all = [await silent.read(64), await asking.read(64 + 16)];
    await vi.waitFor(() => expect(outlet.status().bytes).toBe(144), WITHIN);
    expect(all[0]?.equals(all[1]?.subarray(0, 64) ?? Buffer.alloc(0))).toBe(false);
    await outlet.stop(10_000);
    expect((await silent.rest()).length + (await asking.rest()).length).toBe(0);
  });

  it('are none unless told, and 255 at most', async () => {
    node.seed();
    await started();
    expect(await (await client()).ask('00', 4)).toEqual(Buffer.from('00001000', 'hex'));
    for (const unaskedBytes of [-1, 256, 1.5]) expect(() => newOutlet({ unaskedBytes })).toThrow(RangeError);
  });
});

describe('bounds', () => {
  beforeEach(() => node.seed());

  it('over its budget a client waits, is owed nothing less, and others do not notice', async () => {
    const outlet = await started({ bytesPerSecond: 1_000 });
    const greedy = await client();
    const startedMs = performance.now();
    const answer = greedy.ask('02ff'.repeat(6), 6 * 255);
    // The other has a budget of its own.
    expect((await (await client()).ask('02ff02ff', 510)).length).toBe(510);
    expect((await answer).length).toBe(6 * 255);
    // 1,530 bytes, of which 1,000 at once: the rest cannot come sooner than after 530 ms, less a timer's rounding.
    expect(performance.now() - startedMs).toBeGreaterThan(500);
    expect(detail(outlet, 'failures')).toBe(0);
  });

  it('over the total budget all wait in turn', async () => {
    await started({ totalBytesPerSecond: 1_000 });
    const greedy = await client();
    greedy.send('02ff'.repeat(40));
    await greedy.read(3 * 255);
    // Forty answers are ten seconds' worth; one request of somebody else stands behind one of them, not behind all.
    const startedMs = performance.now();
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it('a client that does not read costs one answer and the kernel’s buffers', async () => {
    const outlet = await started({ bytesPerSecond: 64 << 20, totalBytesPerSecond: 64 << 20 });
    const lazy = await client();
    const flood = Buffer.alloc(1 << 20, Buffer.from('02ff', 'hex'));
    lazy.socket.write(flood);
    // It stands when the kernel takes no more: the count of answers stops.
    let before = -1;
    await vi.waitFor(
      async () => {
        const now = Number(detail(outlet, 'requests'));
        const still = now === before && now > 0;
        before = now;
        expect(still).toBe(true);
        await Promise.resolve();
      },
      { timeout: 15_000, interval: 300 },
    );
    expect(outlet.status().bytes).toBeLessThan(4 << 20);
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
    // And goes on where it stood when the client reads.
    expect((await lazy.read(100_000)).length).toBe(100_000);
  });

  it('takes so many clients and no more, and says so', async () => {
    const outlet = await started({ maxConnections: 2 });
    const [first] = [await client(), await client()];
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(2), WITHIN);
    const third = await client();
    expect((await third.rest()).length).toBe(0);
    expect(detail(outlet, 'refusedConnections')).toBe(1);
    first?.close();
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(1), WITHIN);
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
  });

  it('requests without an answer are not free', async () => {
    await started({ bytesPerSecond: 320, totalBytesPerSecond: 64 << 10 });
    const asking = await client();
    const startedMs = performance.now();
    // Forty of them cost 640 bytes; twenty are free.
    await asking.ask('0200'.repeat(39) + '00', 4);
    expect(performance.now() - startedMs).toBeGreaterThan(900);
  });

  it('garbage, from many at once, ends in named errors and nothing else', async () => {
    const outlet = await started();
    const senders = await Promise.all(Array.from({ length: 20 }, () => client()));
    await Promise.all(
      senders.map(async (sender, i) => {
        sender.send(`ff${i.toString(16).padStart(2, '0')}`.repeat(1_000));
        await sender.rest();
      }),
    );
    await vi.waitFor(
      () => expect(outlet.status().details).toMatchObject({ protocolErrors: 20, connections: 0 }),
      WITHIN,
    );
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
  });
});

describe('when an EGD outlet stops', () => {
  beforeEach(() => node.seed());

  it('every request that was sent before is answered, then the connection ends', async () => {
    const outlet = await started();
    const asking = await Promise.all(Array.from({ length: 8 }, () => client()));
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(8), WITHIN);
    for (const each of asking) each.send('02ff'.repeat(20));
    const stopping = outlet.stop(10_000);
    for (const each of asking) expect((await each.rest()).length).toBe(20 * 255);
    await stopping;
    expect(outlet.status()).toMatchObject({ state: 'stopped', bytes: 8 * 20 * 255 });
  });

  it('a client that was still in the queue is answered too', async () => {
    const outlet = await started();
    // Connected as far as the kernel is concerned, before the outlet has heard of it.
    const socket = net.connect({ path: socketPath, allowHalfOpen: true });
    socket.write(Buffer.from('0240', 'hex'));
    await once(socket, 'connect');
    const stopping = outlet.stop(10_000);
    const parts: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) parts.push(chunk);
    expect(Buffer.concat(parts).length).toBe(64);
    await stopping;
  });

  it('a client over its budget is paid at once what it is owed', async () => {
    const outlet = await started({ bytesPerSecond: 256, totalBytesPerSecond: 256 });
    const [greedy, poor] = [await client(), await client()];
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(2), WITHIN);
    greedy.send('02ff'.repeat(50));
    await greedy.read(255);
    poor.send('02ff');
    await vi.waitFor(() => expect(detail(outlet, 'overBudget')).toBe(1), WITHIN);
    const startedMs = performance.now();
    // By its budget this would take a minute.
    const stopping = outlet.stop(10_000);
    expect((await poor.rest()).length).toBe(255);
    expect((await greedy.rest()).length).toBe(49 * 255);
    await stopping;
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(outlet.status().state).toBe('stopped');
  });

  it('a client that does not read does not hold it up beyond the deadline', async () => {
    const outlet = await started({ bytesPerSecond: 64 << 20, totalBytesPerSecond: 64 << 20 });
    const lazy = await client();
    lazy.socket.write(Buffer.alloc(1 << 20, Buffer.from('02ff', 'hex')));
    await vi.waitFor(() => expect(outlet.status().bytes).toBeGreaterThan(20_000), { timeout: 10_000 });
    await outlet.stop(100);
    expect(detail(outlet, 'connections')).toBe(0);
  });

  it('idle clients see the end at once, and the socket is gone', async () => {
    const outlet = await started();
    const asking = await client();
    await vi.waitFor(() => expect(detail(outlet, 'connections')).toBe(1), WITHIN);
    await outlet.stop(10_000);
    expect((await asking.rest()).length).toBe(0);
    expect(await fs.readdir(path.dirname(socketPath))).toEqual([]);
    await expect(RawEgdClient.connect({ path: socketPath })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('its signal cuts at once', async () => {
    const outlet = newOutlet({ bytesPerSecond: 256 });
    const cutting = new AbortController();
    await outlet.start(node.context, cutting.signal);
    const asking = await client();
    asking.send('02ff'.repeat(50));
    await asking.read(255);
    cutting.abort();
    await vi.waitFor(
      () => expect(outlet.status()).toMatchObject({ state: 'stopped', details: { connections: 0 } }),
      WITHIN,
    );
  });
});

describe('who may ask', () => {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  beforeEach(() => node.seed());

  it('without a list the folder alone protects, and the status says so', async () => {
    expect(detail(await started(), 'protection')).toBe('the folder alone');
  });

  it.skipIf(!nativeAddon().supported).each([
    ['this user', { uids: [uid] }],
    ['this group', { gids: [gid] }],
    ['this user among others', { uids: [4_000_000, uid], gids: [4_000_000] }],
  ])('%s, when it is on the list (needs the addon)', async (_who, list) => {
    const outlet = await started(list);
    expect((await (await client()).ask('0210', 16)).length).toBe(16);
    expect(detail(outlet, 'protection')).toBe('the folder and a list of users');
  });

  it.skipIf(!nativeAddon().supported)('nobody who is not on the list (needs the addon)', async () => {
    const outlet = await started({ uids: [uid + 1], gids: [gid + 1] });
    const asking = await client();
    asking.send('0210');
    expect((await asking.rest()).length).toBe(0);
    expect(outlet.status()).toMatchObject({ bytes: 0, details: { refusedPeers: 1, accepted: 0 } });
  });

  it('a list without the addon refuses to start, before anything is made', async () => {
    const peers = {
      available: () => unable('no addon here'),
      peerCredentials: () => unable('no addon here'),
    };
    const outlet = newOutlet({ uids: [uid], peers });
    await expect(outlet.start(node.context, never)).rejects.toMatchObject({
      code: 'ERR_PEER_CREDENTIALS',
      action: 'fix-configuration',
    });
    await expect(fs.lstat(path.dirname(socketPath))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('a peer that the kernel does not name is refused', async () => {
    const peers = {
      available: () => ({ supported: true, value: undefined }) as const,
      peerCredentials: () => unable('x'),
    };
    const outlet = await started({ uids: [uid], peers });
    expect((await (await client()).rest()).length).toBe(0);
    expect(detail(outlet, 'refusedPeers')).toBe(1);
  });
});

describe('EGD over TCP', () => {
  it('serves the loopback when asked to, and says that nothing protects it', async () => {
    node.seed();
    const outlet = await started({ listen: 'tcp:127.0.0.1:0' });
    const port = Number(String(detail(outlet, 'listen')).split(':')[2]);
    expect((await (await client({ host: '127.0.0.1', port })).ask('0240', 64)).length).toBe(64);
    expect(detail(outlet, 'protection')).toBe('none: every process of this machine may ask');
    await expect(started({ listen: `tcp:127.0.0.1:${port}` })).rejects.toMatchObject({
      code: 'ERR_PORT_IN_USE',
    });
  });

  it.each([
    'tcp:0.0.0.0:708',
    'tcp:[::]:708',
    'tcp:192.0.2.1:708',
    'tcp:localhost:708',
    'tcp:[::ffff:192.0.2.1]:708',
  ])('refuses %s', (listen) => {
    expect(() => newOutlet({ listen })).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });

  it('refuses a list of users', () => {
    expect(() => newOutlet({ listen: 'tcp:127.0.0.1:0', uids: [0] })).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG' }) as Error,
    );
  });

  it('refuses a budget that could never pay for an answer, and an open folder', () => {
    expect(() => newOutlet({ bytesPerSecond: 255 })).toThrow(RangeError);
    expect(() => newOutlet({ totalBytesPerSecond: 255 })).toThrow(RangeError);
    expect(() => newOutlet({ folderMode: 0o755 })).toThrow(RangeError);
  });
});
