import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { needs } from '../needs.fixture.js';
import { WITHIN } from '../within.fixture.js';
import { QmpFollower } from './qmp-follower.js';

const GREETING = '{"QMP":{"version":{},"capabilities":[]}}\r\n';
let folder: string;
let socket: string;
let resumes: number;
let follower: QmpFollower;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'qmp-'));
  socket = path.join(folder, 'guest.qmp');
  resumes = 0;
  follower = new QmpFollower({ environment: systemEnvironment(), socket, onResume: () => (resumes += 1) });
});

afterEach(async () => {
  await follower.stop();
  await fs.rm(folder, { recursive: true, force: true });
});

needs('qemu-system-x86_64')('who follows QEMU', () => {
  it('hears it go on, finds its successor, and sends it nothing', async () => {
    const machine = () =>
      spawn('qemu-system-x86_64', [
        ...'-M none -accel tcg -nodefaults -display none -qmp stdio -qmp'.split(' '),
        `unix:${socket},server=on,wait=off`,
      ]);
    const first = machine();
    follower.start();
    await vi.waitUntil(() => follower.status.following, WITHIN);
    for (const command of ['qmp_capabilities', 'stop', 'cont', 'stop', 'cont'])
      first.stdin.write(`{"execute":"${command}"}`);
    await vi.waitUntil(() => resumes === 2, WITHIN);
    first.kill('SIGKILL');
    await once(first, 'close');
    await vi.waitUntil(() => !follower.status.following, WITHIN);

    const second = machine();
    await vi.waitUntil(() => follower.status.following, WITHIN);
    second.stdin.write('{"execute":"qmp_capabilities"}{"execute":"stop"}{"execute":"cont"}');
    await vi.waitUntil(() => resumes === 3, WITHIN);
    second.kill('SIGKILL');
    await once(second, 'close');
  }, 60_000);
});

describe('who follows something else', () => {
  const served = async (answer: string): Promise<net.Server> => {
    const server = net.createServer((line) => line.on('error', () => undefined).write(answer));
    server.listen(socket);
    await once(server, 'listening');
    return server;
  };

  it('says that nobody is there', async () => {
    follower.start();
    await vi.waitUntil(() => follower.status.fault?.code === 'ERR_UPSTREAM_UNREACHABLE', WITHIN);
  });

  it.each(['hello\n', '{"event":"RESUME"}\n', '[]\n', 'x'.repeat(70_000), `${GREETING}no JSON\n`])(
    'refuses what is no QMP, and hears nothing in it: %.20s',
    async (answer) => {
      const server = await served(answer);
      follower.start();
      await vi.waitUntil(() => follower.status.fault?.code === 'ERR_UPSTREAM_PROTOCOL', WITHIN);
      expect(resumes).toBe(0);
      await follower.stop();
      server.close();
    },
  );

  it('takes events however they are cut', async () => {
    const all = `${GREETING}{"return":{}}\r\n{"event":"STOP"}\r\n{"event":"RESUME","timestamp":{}}\r\n`;
    const server = net.createServer((line) => {
      line.on('error', () => undefined);
      for (const byte of all) line.write(byte);
    });
    server.listen(socket);
    follower.start();
    await vi.waitUntil(() => resumes === 1, WITHIN);
    await follower.stop();
    server.close();
  });
});
