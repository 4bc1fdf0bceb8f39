import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemEnvironment } from '../../local/environment.js';
import { until } from '../camera/until.fixture.js';
import { describeSourceCompliance } from '../source.compliance.js';
import { run } from './process.fixture.js';
import { processSource } from './process.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-process-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const inFolder = (name: string): string => path.join(folder, name);

/** A server that says something to each caller, at an address of the system's choosing or a path. */
async function speaker(
  listen: { path: string } | { host: string; port: number },
  speak: (socket: net.Socket) => void,
): Promise<{ port: number; end: () => Promise<void> }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    speak(socket);
  });
  server.listen(listen);
  await once(server, 'listening');
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    end: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

describe('process, a socket', () => {
  describeSourceCompliance('process', async () => {
    const { port, end } = await speaker({ host: '127.0.0.1', port: 0 }, (socket) => {
      const speaking = setInterval(() => socket.write(`${Math.random()}`), 10);
      socket.once('close', () => clearInterval(speaking));
    });
    const from = { connect: `tcp:127.0.0.1:${port}` };
    return { source: processSource({ name: 'peer', from }, systemEnvironment()), cleanUp: end };
  });

  it('of TCP is heard, is lost when the peer goes, and comes back', async () => {
    const first = await speaker({ host: '127.0.0.1', port: 0 }, (socket) => socket.write('one'));
    const { port } = first;
    await run({ connect: `tcp:127.0.0.1:${port}` }, async ({ source, text, state }) => {
      await until('the first', () => text() === 'one');
      expect(source.status()).toMatchObject({ state: 'ok', details: { form: 'tcp socket' } });
      await first.end();
      await state('failed', 'ERR_PROCESS_GONE');
      await until('refused', () => source.status().reason?.message.includes('ECONNREFUSED'));
      const second = await speaker({ host: '127.0.0.1', port }, (socket) => socket.write('two'));
      await until('the second', () => text() === 'onetwo');
      await second.end();
    });
  });

  it.each(['connect', 'path'] as const)('of the file system, by %s, likewise', async (how) => {
    const socketPath = inFolder(`socket-${how}`);
    const from = how === 'path' ? { path: socketPath } : { connect: `unix:${socketPath}` };
    const first = await speaker({ path: socketPath }, (socket) => socket.write('one'));
    await run(from, async ({ source, text, state }) => {
      await until('the first', () => text() === 'one');
      expect(source.status()).toMatchObject({ state: 'ok', details: { form: 'unix socket' } });
      await first.end();
      await state('failed', 'ERR_PROCESS_GONE');
      const second = await speaker({ path: socketPath }, (socket) => socket.write('two'));
      await until('the second', () => text() === 'onetwo');
      await second.end();
    });
  });

  it('that accepts and says nothing has fallen silent', async () => {
    const { port, end } = await speaker({ host: '127.0.0.1', port: 0 }, () => undefined);
    await run({ connect: `tcp:127.0.0.1:${port}` }, ({ state }) => state('failed', 'ERR_PROCESS_SILENT'), {
      silenceMs: 200,
    });
    await end();
  });

  it('that floods is held to its budget', async () => {
    const block = Buffer.alloc(65_536, 'lava');
    const { port, end } = await speaker({ host: '127.0.0.1', port: 0 }, (socket) => {
      const pour = (): void => {
        while (socket.write(block));
      };
      socket.on('drain', pour);
      pour();
    });
    await run(
      { connect: `tcp:127.0.0.1:${port}` },
      async ({ bytes }) => {
        const startedMs = performance.now();
        await until('half a megabyte', () => bytes() > 512 * 1024);
        expect(performance.now() - startedMs).toBeGreaterThan(1000);
      },
      { maxBytesPerSecond: 256 * 1024 },
    );
    await end();
  });
});
