import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemEnvironment } from '../local/environment.js';
import { tellResumed } from '../wire/guest-resumed.js';
import { GuestNews } from './guest-news.js';

const environment = systemEnvironment();
let folder: string;
let socket: string;
let guests: string[];
let lines: number | undefined;
let news: GuestNews;

beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'guest-news-'));
  socket = path.join(folder, 'own', 'resumed.sock');
  guests = [];
  lines = 1;
  const onResumed = (guest: string): number | undefined => {
    guests.push(guest);
    return lines;
  };
  news = new GuestNews({ environment, socket, onResumed });
  await news.start();
});

afterEach(async () => {
  await news.stop();
  await fs.rm(folder, { recursive: true, force: true });
});

const tell = (guest: string): Promise<number> => tellResumed(environment.connect({ path: socket }), guest);

async function said(text: string): Promise<string> {
  const connection = net.connect(socket);
  let answer = '';
  connection.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
  connection.on('error', () => undefined);
  connection.write(text);
  // Reset or ended: both are an answer here.
  await new Promise((resolve) => connection.once('close', resolve));
  return answer;
}

describe('news of guests', () => {
  it('come over a socket that nobody else can reach', async () => {
    expect(await tell('web-1')).toBe(1);
    lines = 0;
    expect(await tell('web-2')).toBe(0);
    expect(guests).toEqual(['web-1', 'web-2']);
    expect((await fs.stat(path.dirname(socket))).mode & 0o777).toBe(0o700);
    expect((await fs.stat(socket)).mode & 0o777).toBe(0o600);
    expect(news.counts).toEqual({ told: 2, refused: 0 });
  });

  it('are answered also when the node is not ready', async () => {
    lines = undefined;
    await expect(tell('web')).rejects.toMatchObject({ code: 'ERR_NOT_SEEDED' });
  });

  it('that are none are counted, and close the connection without an answer', async () => {
    for (const text of ['hello\n', 'resumed ../etc\n', `resumed ${'x'.repeat(200)}\n`, 'x'.repeat(100_000)])
      expect(await said(text)).toBe('');
    expect(guests).toEqual([]);
    await vi.waitUntil(() => news.counts.refused === 4);
    expect(news.counts.told).toBe(0);
    expect(await tell('web')).toBe(1);
  });

  it('are not waited for without end', async () => {
    expect(await said('resumed web')).toBe('');
    await vi.waitUntil(() => news.counts.refused === 1);
  });

  it('end with the node, and the socket with them', async () => {
    const waiting = net.connect(socket);
    waiting.on('error', () => undefined);
    await once(waiting, 'connect');
    const closed = once(waiting, 'close');
    await news.stop();
    await closed;
    await expect(fs.lstat(socket)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
