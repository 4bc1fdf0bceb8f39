import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { EgdRequestDecoder } from '../wire/egd.js';
import { egdSource } from './egd.js';
import { describeSourceCompliance } from './source.compliance.js';
import type { Source } from './source.js';

const environment = systemEnvironment();
const never = new AbortController().signal;
const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A server that does whatever `serve` says with each connection. */
async function server(
  serve: (socket: Socket) => void,
  listen: net.ListenOptions = { port: 0, host: '127.0.0.1' },
) {
  const sockets = new Set<Socket>();
  const listening = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  listening.listen(listen);
  await once(listening, 'listening');
  const bound = listening.address();
  const close = async (): Promise<void> => {
    if (!listening.listening) return;
    listening.close();
    for (const socket of sockets) socket.destroy();
    await once(listening, 'close');
  };
  ends.push(close);
  return {
    address: bound !== null && typeof bound === 'object' ? `tcp:127.0.0.1:${bound.port}` : `unix:${bound}`,
    sockets,
    close,
  };
}

/** Answers command 02 as it should be; other commands are a defect of ours. */
function honest(socket: Socket, asked: (lengthBytes: number) => void = () => undefined): void {
  const decoder = new EgdRequestDecoder();
  socket.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
    for (let next = decoder.next(); next !== undefined; next = decoder.next()) {
      if (next.kind !== 'read' || !next.blocking) throw new Error(`asked with ${next.kind}`);
      asked(next.lengthBytes);
      socket.write(randomBytes(next.lengthBytes));
    }
  });
}

function newSource(address: string, options: Partial<Parameters<typeof egdSource>[0]> = {}): Source {
  const source = egdSource({ periodMs: 60_000, ...options, address }, environment);
  ends.push(() => source.stop());
  return source;
}

async function started(address: string, options: Partial<Parameters<typeof egdSource>[0]> = {}) {
  const source = newSource(address, options);
  const heard: Buffer[] = [];
  await source.start({ hear: (bytes) => heard.push(Buffer.from(bytes)) }, never);
  return { source, heard };
}

const state = (source: Source) => source.status().state;
const detail = (source: Source, name: string): unknown => source.status().details[name];

describeSourceCompliance('egd', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
  const { address, close } = await server((socket) => honest(socket), { path: path.join(folder, 'socket') });
  return {
    source: egdSource({ address }, environment),
    cleanUp: async () => {
      await close();
      await fs.rm(folder, { recursive: true, force: true });
    },
  };
});

describe('an EGD source', () => {
  it('hears at once and then once a period, on one connection', async () => {
    const asked: number[] = [];
    const { address } = await server((socket) => honest(socket, (length) => asked.push(length)));
    const { source, heard } = await started(address, { periodMs: 20, lengthBytes: 255 });
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(4), 10_000);
    expect(new Set(asked)).toEqual(new Set([255]));
    expect(heard.every((bytes) => bytes.length === 255)).toBe(true);
    expect(new Set(heard.map((bytes) => bytes.toString('hex'))).size).toBe(heard.length);
    expect(detail(source, 'reconnects')).toBe(0);
    expect(source.status().basis).toEqual({ simulated: false, degraded: false, physical: false });
  });

  it('sends nothing but two bytes a request, and nothing while it rests', async () => {
    const sent: Buffer[] = [];
    const { address } = await server((socket) => {
      honest(socket);
      socket.on('data', (chunk) => sent.push(chunk));
    });
    const { source } = await started(address);
    await source.sample(never);
    await source.sample(never);
    expect(Buffer.concat(sent).toString('hex')).toBe('022002200220');
  });

  it('asks anew for every round: no round is answered with what came before it', async () => {
    let asked = 0;
    const { address } = await server((socket) => honest(socket, () => (asked += 1)));
    const { source, heard } = await started(address);
    await vi.waitFor(() => expect(heard.length).toBe(1), 10_000);
    const answers = await Promise.all([source.sample(never), source.sample(never), source.sample(never)]);
    expect(asked).toBe(4);
    expect(
      new Set([...answers, heard[0]].map((bytes) => Buffer.from(bytes ?? []).toString('hex'))).size,
    ).toBe(4);
  });

  it('hears what comes too late for its round', async () => {
    const waiting: Socket[] = [];
    let requests = 0;
    const { address } = await server((socket) =>
      socket.on('data', (chunk: Buffer) => {
        requests += chunk.length / 2;
        if (requests === 1) socket.write(Buffer.alloc(32, 1));
        else waiting.push(socket);
      }),
    );
    const { source, heard } = await started(address);
    await vi.waitFor(() => expect(heard.length).toBe(1), 10_000);
    const closing = new AbortController();
    const answer = source.sample(closing.signal);
    await vi.waitFor(() => expect(waiting.length).toBe(1), 10_000);
    closing.abort();
    expect(await answer).toBeUndefined();
    waiting[0]?.write(Buffer.alloc(32, 2));
    await vi.waitFor(() => expect(heard).toEqual([Buffer.alloc(32, 1), Buffer.alloc(32, 2)]), 10_000);
  });

  it('takes an answer in any pieces', async () => {
    const { address } = await server((socket) => {
      socket.setNoDelay();
      socket.on('data', () => {
        let sent = 0;
        const drip = (): void => {
          if (sent === 32) return;
          sent += 1;
          socket.write(Uint8Array.of(sent), () => setImmediate(drip));
        };
        drip();
      });
    });
    const { heard } = await started(address);
    await vi.waitFor(() => expect(heard.length).toBe(1), 10_000);
    expect(heard[0]).toEqual(Buffer.from(Array.from({ length: 32 }, (_, i) => i + 1)));
  });

  it('comes back after the server has gone and returned', async () => {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'egd-'));
    ends.push(() => fs.rm(folder, { recursive: true }));
    const file = path.join(folder, 'socket');
    const { source, heard } = await started(`unix:${file}`, { periodMs: 20 });
    await vi.waitFor(() => expect(source.status().reason?.message).toContain('ENOENT'), 10_000);
    const first = await server((socket) => honest(socket), { path: file });
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0), 10_000);
    await first.close();
    await vi.waitFor(
      () =>
        expect(source.status()).toMatchObject({
          state: 'failed',
          reason: { code: 'ERR_UPSTREAM_UNREACHABLE' },
        }),
      10_000,
    );
    await server((socket) => honest(socket), { path: file });
    await vi.waitFor(() => expect(state(source)).toBe('ok'), 10_000);
    expect(source.status().reason).toBeUndefined();
    expect(detail(source, 'reconnects')).toBeGreaterThan(0);
  });

  it('is absent from a round while nobody answers', async () => {
    const { source } = await started('unix:/nonexistent/egd');
    expect(await source.sample(AbortSignal.timeout(50))).toBeUndefined();
    await vi.waitFor(() => expect(state(source)).toBe('failed'), 10_000);
  });

  it.each([0, 256, 1.5, -1, NaN])('refuses to ask for %s bytes', (lengthBytes) => {
    expect(() => newSource('tcp:127.0.0.1:1', { lengthBytes })).toThrow(RangeError);
  });

  it('refuses an address that is none when it is configured', () => {
    expect(() => newSource('/run/egd')).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });
});

describe('an EGD server that', () => {
  /** One that misbehaves; the connections it has seen are counted. */
  async function bad(serve: (socket: Socket) => void) {
    let connections = 0;
    const { address, sockets } = await server((socket) => {
      connections += 1;
      serve(socket);
    });
    const under = await started(address, { deadlineMs: 150 });
    return { ...under, sockets, connections: () => connections };
  }

  it.each<[string, string, (socket: Socket) => void]>([
    [
      'sends a byte too many',
      'ERR_EGD_PROTOCOL',
      (socket) => socket.on('data', () => socket.write(randomBytes(33))),
    ],
    [
      'sends without end',
      'ERR_EGD_PROTOCOL',
      (socket) => {
        const flood = (): void =>
          void (socket.writable && socket.write(randomBytes(65_536), () => setImmediate(flood)));
        socket.on('data', flood);
      },
    ],
    [
      'speaks first',
      'ERR_EGD_PROTOCOL',
      (socket) => socket.write('220 welcome to this server, what can I do for you?\r\n'),
    ],
    ['never answers', 'ERR_DEADLINE', (socket) => socket.resume()],
    ['answers in part', 'ERR_DEADLINE', (socket) => socket.on('data', () => socket.write(randomBytes(31)))],
    [
      'drips for ever',
      'ERR_DEADLINE',
      (socket) => {
        const drip = setInterval(() => socket.write('x'), 20);
        socket.on('close', () => clearInterval(drip)).resume();
      },
    ],
    ['hangs up at once', 'ERR_UPSTREAM_UNREACHABLE', (socket) => socket.destroy()],
    [
      'hangs up in the middle',
      'ERR_UPSTREAM_UNREACHABLE',
      (socket) => socket.on('data', () => socket.end(randomBytes(31))),
    ],
    ['resets', 'ERR_UPSTREAM_UNREACHABLE', (socket) => socket.on('data', () => socket.resetAndDestroy())],
  ])('%s is named, left and tried again', async (_what, code, serve) => {
    const { source, heard, connections } = await bad(serve);
    await vi.waitFor(() => expect(source.status().reason?.code).toBe(code), 10_000);
    expect(state(source)).toBe('failed');
    expect(heard).toEqual([]);
    await vi.waitFor(() => expect(connections()).toBeGreaterThan(1), 10_000);
    expect(await source.sample(AbortSignal.timeout(20))).toBeUndefined();
  });

  it('sends more after a good answer: the answer counts, the connection ends', async () => {
    const { source, heard, sockets } = await bad((socket) => {
      socket.on('data', () => socket.write(randomBytes(32)));
    });
    await vi.waitFor(() => expect(heard.length).toBeGreaterThan(0), 10_000);
    expect(state(source)).toBe('ok');
    for (const socket of sockets) socket.write('unasked');
    await vi.waitFor(() => expect(detail(source, 'failures')).toBe(1), 10_000);
  });

  it('is never there at the end: stop leaves no connection', async () => {
    const { source, sockets } = await bad((socket) => socket.resume());
    await vi.waitFor(() => expect(sockets.size).toBe(1), 10_000);
    await source.stop();
    await vi.waitFor(() => expect(sockets.size).toBe(0), 10_000);
    expect(source.status()).toMatchObject({ state: 'stopped' });
  });
});
