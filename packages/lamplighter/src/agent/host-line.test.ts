import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { TRICKLE_GREETING, TRICKLE_HELLO } from '../wire/trickle.js';
import { WITHIN } from '../within.fixture.js';
import { BURST_BYTES } from './host-bursts.js';
import { HostLine } from './host-line.js';

let folder: string;
let device: string;
let server: net.Server;
let heard: Buffer;
let bursts: string[];
let line: HostLine;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'host-line-'));
  device = path.join(folder, 'line');
  server = net.createServer();
  heard = Buffer.alloc(0);
  bursts = [];
  line = new HostLine({
    environment: systemEnvironment(),
    device,
    hear: (bytes) => (heard = Buffer.concat([heard, bytes])),
    onBurst: (bytes) => bursts.push(Buffer.from(bytes).toString('hex')),
  });
});

afterEach(async () => {
  await line.stop();
  server.close();
  await fs.rm(folder, { recursive: true, force: true });
});

/** The host's end, after the guest has said hello and was greeted. */
async function greeted(): Promise<net.Socket> {
  server.listen(device);
  await once(server, 'listening');
  await line.start(new AbortController().signal);
  const [host] = (await once(server, 'connection')) as [net.Socket];
  host.on('error', () => undefined);
  let hello = '';
  host.on('data', (chunk) => (hello += String(chunk)));
  await vi.waitUntil(() => hello === TRICKLE_HELLO, WITHIN);
  host.write(TRICKLE_GREETING);
  return host;
}

describe('a line to the host', () => {
  it('hears the trickle, and takes a second greeting for the word that this guest was restored', async () => {
    const host = await greeted();
    const trickle = randomBytes(200);
    host.write(trickle);
    await vi.waitUntil(() => heard.length >= trickle.length, WITHIN);
    expect(heard.equals(trickle)).toBe(true);
    expect(bursts).toEqual([]);

    const burst = randomBytes(1_024);
    host.write(TRICKLE_GREETING);
    host.write(burst);
    await vi.waitUntil(() => bursts.length === 1, WITHIN);
    expect(bursts).toEqual([burst.subarray(0, BURST_BYTES).toString('hex')]);
    // It is also heard as ever: what is mixed twice takes nothing away.
    await vi.waitUntil(() => heard.subarray(-burst.length).equals(burst), WITHIN);
    expect(line.status().state).toBe('ok');
  });

  it('takes no burst of a host that was gone: it is asked, and greets', async () => {
    const host = await greeted();
    host.write(randomBytes(64));
    await vi.waitUntil(() => heard.length === 64, WITHIN);
    const again = once(server, 'connection') as Promise<[net.Socket]>;
    host.destroy();
    const [successor] = await again;
    successor.on('error', () => undefined).resume();
    successor.write(Buffer.concat([Buffer.from(TRICKLE_GREETING), randomBytes(64)]));
    await vi.waitUntil(() => heard.length === 128, WITHIN);
    expect(bursts).toEqual([]);
    successor.destroy();
  });

  it('is absent where there is no such port, and stops', async () => {
    await line.start(new AbortController().signal);
    await vi.waitUntil(() => line.status().state === 'absent', WITHIN);
    await line.stop();
    expect(line.status().state).toBe('stopped');
  });
});
