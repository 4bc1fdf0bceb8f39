import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { WITHIN } from '../within.fixture.js';
import { Connection } from './connection.js';
import type { ListenerOptions } from './listener.js';
import type { Answers, RawAnswer } from './raw-peer.fixture.js';
import { connect, get, serve, type Served } from './served-listener.fixture.js';

const ANSWER_MS = 20;
/** Of the 0.4 s that a rest takes at least, the client sees what is left when it has read why. */
const LEAST_REST_MS = 200;

/** A listener that cannot keep up, and a client of it that was just refused for asking too much. */
async function overloaded(
  options: ListenerOptions = {},
): Promise<{ served: Served; peer: Answers; answers: RawAnswer[] }> {
  const served = await serve({ maxLagMs: 1, maxQueued: 1, ...options });
  served.listener.route({
    method: 'POST',
    path: '/slow',
    roles: ['machine'],
    maxBodyBytes: 1,
    handle: async (exchange) => {
      const endMs = performance.now() + ANSWER_MS;
      while (performance.now() < endMs);
      exchange.reply(200, {}, exchange.body);
    },
  });
  const peer = await connect(served.port);
  peer.socket.write('POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx'.repeat(6));
  const answers: RawAnswer[] = [];
  while (answers.length < 6) answers.push(await peer.ask(''));
  expect(served.listener.refused.overloaded).toBeGreaterThan(0);
  return { served, peer, answers };
}

describe('who was refused for asking too much', () => {
  it('is owed nothing, and is served as ever', async () => {
    const { served, peer, answers } = await overloaded();
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBe(served.listener.refused.overloaded);
    expect(answers.filter(({ body }) => body === 'x').length).toBe(6 - refused.length);
    for (const _ of answers) expect((await peer.ask(get('/hello'))).status).toBe(200);
  });

  it('is read again before its time when there is nothing else to do', async () => {
    const tookMs: number[] = [];
    // A machine that has much else to do may miss it now and then.
    while (tookMs.length < 5 && tookMs.every((ms) => ms >= LEAST_REST_MS)) {
      const { peer } = await overloaded();
      const sinceMs = performance.now();
      expect((await peer.ask(get('/hello'))).status).toBe(200);
      tookMs.push(performance.now() - sinceMs);
    }
    expect(Math.min(...tookMs)).toBeLessThan(LEAST_REST_MS);
  });

  it('does not keep another waiting', async () => {
    const { served, peer } = await overloaded();
    const other = await connect(served.port, { role: 'machine', name: 'other' });
    const late = peer.ask(get('/hello'));
    expect((await other.ask(get('/hello'))).status).toBe(200);
    expect((await late).status).toBe(200);
  });

  it('is not late because nobody read it', async () => {
    const { served, peer } = await overloaded({ headersTimeoutMs: 100 });
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    expect(served.listener.refused.headersTimeout).toBe(0);
  });

  it.each<[string, (served: Served) => unknown]>([
    ['stopped', ({ listener }) => listener.stop(10_000)],
    ['cut', ({ listener }) => listener.cut()],
    [
      'revoked',
      ({ listener }) => listener.destroyPeers(() => true, new LamplighterError('ERR_REVOKED', 'revoked')),
    ],
  ])('is gone at once when it is %s', async (_what, end) => {
    const { served, peer } = await overloaded();
    const sinceMs = performance.now();
    await end(served);
    await peer.closed;
    expect(performance.now() - sinceMs).toBeLessThan(LEAST_REST_MS);
    expect(served.listener.connections).toBe(0);
  });
});

describe('a connection that rests', () => {
  async function pair(): Promise<{ connection: Connection; client: Socket }> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = createConnection({ port, host: '127.0.0.1' });
    const [socket] = await accepted;
    server.close();
    ends.push(client, socket);
    return { connection: new Connection(socket, 'plain'), client };
  }
  const ends: Socket[] = [];
  afterEach(() => {
    for (const socket of ends.splice(0)) socket.destroy();
  });

  it('is not read until it is woken, and says once that it is over', async () => {
    const { connection, client } = await pair();
    let [ended, heard] = [0, ''];
    connection.socket.on('data', (chunk: Buffer) => (heard += String(chunk)));
    expect(connection.rest(60_000, () => (ended += 1))).toBe(true);
    expect(connection.rest(60_000, () => expect.unreachable('it rests already'))).toBe(false);
    client.write('x');
    await setTimeout(50);
    expect([heard, ended]).toEqual(['', 0]);
    connection.wake();
    connection.wake();
    await vi.waitFor(() => expect(heard).toBe('x'), WITHIN);
    expect(ended).toBe(1);
  });

  it('says so too when its time is over, and when it is gone', async () => {
    const { connection } = await pair();
    let ended = 0;
    expect(connection.rest(1, () => (ended += 1))).toBe(true);
    await vi.waitFor(() => expect(ended).toBe(1), WITHIN);
    expect(connection.rest(60_000, () => (ended += 1))).toBe(true);
    connection.left();
    expect(ended).toBe(2);
    connection.socket.destroy();
    expect(connection.rest(1, () => expect.unreachable('it is gone'))).toBe(false);
  });
});
