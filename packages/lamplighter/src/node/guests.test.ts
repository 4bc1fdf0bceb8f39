import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { needs } from '../needs.fixture.js';
import { tellResumed } from '../wire/guest-resumed.js';
import { WITHIN } from '../within.fixture.js';
import { Guests } from './guests.js';

const environment = systemEnvironment();
let folder: string;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'guests-'));
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

needs('qemu-system-x86_64')('the guests of a host', () => {
  it('are heard of by a hook and by QEMU, each by its name', async () => {
    const heard: string[] = [];
    const socket = path.join(folder, 'own', 'resumed.sock');
    const monitor = path.join(folder, 'web.qmp');
    const guests = new Guests({
      environment,
      socket,
      qmp: [{ guest: 'web', socket: monitor }],
      onResumed: (guest) => heard.push(guest),
    });
    await guests.start();
    const qemu = spawn('qemu-system-x86_64', [
      ...'-M none -accel tcg -nodefaults -display none -qmp stdio -qmp'.split(' '),
      `unix:${monitor},server=on,wait=off`,
    ]);
    try {
      expect(await tellResumed(environment.connect({ path: socket }), 'mail')).toBe(1);
      await vi.waitUntil(() => guests.status().qmp[0]?.following === true, WITHIN);
      qemu.stdin.write('{"execute":"qmp_capabilities"}{"execute":"stop"}{"execute":"cont"}');
      await vi.waitUntil(() => heard.length === 2, WITHIN);
      expect(heard).toEqual(['mail', 'web']);
      expect(guests.status()).toEqual({
        socket,
        told: 1,
        refused: 0,
        qmp: [{ guest: 'web', following: true, resumes: 1 }],
      });
    } finally {
      qemu.kill('SIGKILL');
      await once(qemu, 'close');
      await guests.stop();
    }
  }, 30_000);
});
