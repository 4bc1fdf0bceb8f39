import { describe, expect, it } from 'vitest';
import type { Answers } from '../../wire/raw-peer.fixture.js';
import { STREAM_LIMITS } from './event-stream.js';
import { get, serveAdmin, type ServedAdmin, STATUS } from './served-admin.fixture.js';

async function watch({ connect }: ServedAdmin, headers: Record<string, string> = {}): Promise<Answers> {
  const peer = await connect();
  peer.socket.write(get('/v1/events', headers));
  await peer.until('event: status');
  await peer.until('\n\n');
  return peer;
}

const count = (text: string, what: string): number => text.split(what).length - 1;
const idsIn = (text: string): number[] => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));

/** Whether it stays so for some turns of the event loop, each with time for the network. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('the event stream', () => {
  it('tells the status at once and then every second, as frames that a browser reads', async () => {
    const served = await serveAdmin();
    const peer = await watch(served);
    expect(peer.text).toMatch(/\r\n\r\nretry: 2000\n\nevent: status\ndata: \{.*\}\n\n$/);
    const [, data = ''] = /data: (.*)\n/.exec(peer.text) ?? [];
    expect(JSON.parse(data)).toEqual(STATUS);
    for (const times of [2, 3, 4]) {
      served.environment.advance(STREAM_LIMITS.periodMs);
      await expect.poll(() => count(peer.text, 'event: status')).toBe(times);
    }
    expect(peer.text).not.toContain('transfer-encoding');
  });

  it('is computed once for all who watch, and not at all while nobody does', async () => {
    const served = await serveAdmin();
    const { environment, looks, admin } = served;
    environment.advance(10_000);
    expect(looks.status).toBe(0);
    const peers = [];
    for (let viewer = 0; viewer < 10; viewer += 1) peers.push(await watch(served));
    expect(looks.status).toBe(1);
    environment.advance(STREAM_LIMITS.periodMs);
    for (const peer of peers) await expect.poll(() => count(peer.text, 'event: status')).toBe(2);
    expect(looks.status).toBe(2);
    expect(admin.counts).toEqual({ viewers: 10, dropped: 0 });
    for (const { socket } of peers) socket.destroy();
    await expect.poll(() => admin.counts.viewers).toBe(0);
    environment.advance(10_000);
    expect(looks.status).toBe(2);
    // Whoever comes later is not told an old one.
    await watch(served);
    expect(looks.status).toBe(3);
  });

  it('tells what has happened and what happens, each once, also after a break', async () => {
    const served = await serveAdmin();
    const { events } = served;
    const add = (text: string): void => events.add({ level: 'warn', part: 'source wall', text });
    add('one');
    add('two\nlines');
    const peer = await watch(served);
    await peer.until('id: 2\n');
    expect(idsIn(peer.text)).toEqual([1, 2]);
    add('three');
    await peer.until('id: 3\n');
    expect(peer.text).toMatch(/\nevent: event\nid: 3\ndata: \{"id":3,.*"text":"three"\}\n\n$/);
    expect(peer.text).toContain('two\\nlines');
    const back = await watch(served, { 'last-event-id': '2' });
    await back.until('id: 3\n');
    expect(idsIn(back.text)).toEqual([3]);
    // A node that began anew counts anew: what the browser knows is of another life.
    const other = await watch(served, { 'last-event-id': '90' });
    await other.until('id: 3\n');
    expect(idsIn(other.text)).toEqual([1, 2, 3]);
    for (const last of ['x', '-1', '1e3', '9'.repeat(30)]) {
      const odd = await watch(served, { 'last-event-id': last });
      await odd.until('id: 3\n');
      expect(idsIn(odd.text), last).toEqual([1, 2, 3]);
    }
  });

  it('tells the newest of a long past', async () => {
    const served = await serveAdmin();
    const reason = { code: 'ERR_STOPPED' as const, message: 'x'.repeat(500) };
    for (let made = 0; made < 600; made += 1)
      served.events.add({ level: 'info', part: 'node', text: 'y'.repeat(500), reason });
    const peer = await watch(served);
    await peer.until('id: 600\n');
    const ids = idsIn(peer.text);
    expect(ids.length).toBeGreaterThan(100);
    expect(ids).toEqual(Array.from({ length: ids.length }, (_none, at) => 601 - ids.length + at));
    expect(peer.text.length).toBeLessThan(STREAM_LIMITS.maxReplayBytes + 4_096);
  });

  it('drops who does not read, and nobody else, and holds nothing for him', async () => {
    // What the kernel takes before anything is left to us is more than a second's worth: so each second brings much.
    const big = { ...STATUS, name: 'x'.repeat(1_048_576) };
    const served = await serveAdmin({}, { status: () => big });
    const { admin, environment } = served;
    const reader = await watch(served);
    const still = await watch(served);
    still.socket.pause();
    for (let second = 0; second < 64 && admin.counts.dropped === 0; second += 1) {
      const before = reader.text.length;
      environment.advance(STREAM_LIMITS.periodMs);
      await expect.poll(() => reader.text.length - before).toBeGreaterThan(1_048_576);
    }
    expect(admin.counts).toEqual({ viewers: 1, dropped: 1 });
    still.socket.resume();
    await still.closed;
    reader.text = '';
    environment.advance(STREAM_LIMITS.periodMs);
    await reader.until('event: status');
  });

  it('ends for all when no status can be made, and the node goes on', async () => {
    let isBroken = false;
    const served = await serveAdmin(
      {},
      {
        status: () => {
          if (isBroken) throw new Error('broken');
          return STATUS;
        },
      },
    );
    const peers = [await watch(served), await watch(served)];
    isBroken = true;
    served.environment.advance(STREAM_LIMITS.periodMs);
    await Promise.all(peers.map(({ closed }) => closed));
    expect(served.logged).toHaveLength(1);
    isBroken = false;
    await watch(served);
  });

  it('is silent to HEAD', async () => {
    const { connect, looks } = await serveAdmin();
    const peer = await connect();
    peer.socket.write(get('/v1/events', { connection: 'close' }, 'HEAD'));
    await peer.closed;
    await turns();
    expect(peer.text).toMatch(/^HTTP\/1\.1 200 [^]*text\/event-stream[^]*\r\n\r\n$/);
    expect(looks.status).toBe(0);
  });
});
