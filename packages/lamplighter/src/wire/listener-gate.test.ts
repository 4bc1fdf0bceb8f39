import { once } from 'node:events';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { Answers, deferred } from './raw-peer.fixture.js';
import { RecordingGate } from './recording-gate.fixture.js';
import { connect, get, hello, serve } from './served-listener.fixture.js';

const revoked = new LamplighterError('ERR_REVOKED', 'the certificate is revoked');
const quota = new LamplighterError('ERR_QUOTA', 'no more beacons', { retryAfterMs: 1_500 });

/** A listener with a gate, a route that spends, and one whose answer never ends. */
async function gated(): Promise<{ gate: RecordingGate } & Awaited<ReturnType<typeof serve>>> {
  const gate = new RecordingGate();
  const served = await serve({ gate });
  served.listener.route({
    method: 'GET',
    path: '/spend',
    roles: ['machine'],
    maxBodyBytes: 0,
    handle: async (exchange) => {
      exchange.spend('beacons', 2);
      hello(exchange);
    },
  });
  return { gate, ...served };
}

describe('a gate', () => {
  it('hears of a connection once when it opens, of each request, and once when it closes', async () => {
    const { port, gate, listener } = await gated();
    const peer = await connect(port);
    await peer.ask(get('/hello'));
    await peer.ask(get('/spend'));
    await peer.ask(get('/nothing'));
    peer.socket.destroy();
    await expect.poll(() => listener.connections).toBe(0);
    expect(gate.asked).toEqual([
      'open machine-1',
      'admit machine-1',
      'admit machine-1',
      'spend machine-1 beacons 2',
      'admit machine-1',
      'close machine-1',
    ]);
  });

  it.each<[string, unknown, number, string, 'revoked' | 'tooManyConnections' | undefined]>([
    ['a revoked peer', revoked, 403, 'ERR_REVOKED', 'revoked'],
    [
      'a peer with too many connections',
      new LamplighterError('ERR_TOO_MANY_CONNECTIONS', 'you have all you may have'),
      503,
      'ERR_TOO_MANY_CONNECTIONS',
      'tooManyConnections',
    ],
    ['a fault of its own', new TypeError('/etc/secret'), 500, 'ERR_INTERNAL', undefined],
  ])(
    'that lets %s not in: its first request is told, it closes, and nothing is counted back',
    async (...row) => {
      const [, error, status, code, reason] = row;
      const { port, gate, listener, errors } = await gated();
      gate.refusals.open = error;
      const peer = await connect(port);
      const answer = await peer.ask(get('/hello'));
      expect(answer.status).toBe(status);
      expect(JSON.parse(answer.body)).toMatchObject({ code });
      expect(answer.headers['connection']).toBe('close');
      expect(answer.body).not.toContain('secret');
      await peer.closed;
      await expect.poll(() => listener.connections).toBe(0);
      expect(gate.asked).toEqual(['open machine-1']);
      if (reason === undefined) expect(errors).toEqual([error]);
      else expect(listener.refused[reason]).toBe(1);
      // The next one is a case of its own.
      delete gate.refusals.open;
      expect((await (await connect(port)).ask(get('/hello'))).status).toBe(200);
    },
  );

  it('refuses a peer revoked on an open connection before its body is read and any route is told', async () => {
    const { port, gate, listener } = await gated();
    const peer = await connect(port);
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    gate.refusals.admit = revoked;
    // Eight bytes are announced and none is sent: the answer cannot have waited for them.
    const answer = await peer.ask('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n');
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'ERR_REVOKED' });
    peer.socket.write('12345678');
    await peer.closed;
    expect(listener.refused.revoked).toBe(1);
    expect(gate.count('close machine-1')).toBe(1);
  });

  it('refuses what goes over the budget with 429 and when to come back, and the connection lives on', async () => {
    const { port, gate, listener } = await gated();
    gate.refusals.spend = quota;
    const peer = await connect(port);
    const answer = await peer.ask(get('/spend'));
    expect(answer.status).toBe(429);
    expect(answer.headers['retry-after']).toBe('2');
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'ERR_QUOTA' });
    expect(listener.refused.quota).toBe(1);
    delete gate.refusals.spend;
    expect((await peer.ask(get('/spend'))).status).toBe(200);
  });

  it('is not asked about who has no identity, nor about a connection too many', async () => {
    const gate = new RecordingGate();
    const { port, listener } = await serve({ gate, maxConnections: 1 });
    const nobody = await connect(port, { names: [] });
    expect((await nobody.ask(get('/hello'))).status).toBe(401);
    await nobody.closed;
    await expect.poll(() => listener.connections).toBe(0);
    expect(gate.asked).toEqual([]);
    const first = await connect(port);
    await first.ask(get('/hello'));
    expect((await (await connect(port)).ask(get('/hello'))).status).toBe(503);
    expect(gate.asked).toEqual(['open machine-1', 'admit machine-1']);
  });

  it('hears of every end: a cut, a stop', async () => {
    for (const end of ['cut', 'stop'] as const) {
      const { port, gate, listener } = await gated();
      const peer = await connect(port);
      await peer.ask(get('/hello'));
      if (end === 'cut') listener.cut();
      else await listener.stop(1_000);
      await peer.closed;
      await expect.poll(() => gate.count('close machine-1')).toBe(1);
    }
  });
});

describe('destroyPeers', () => {
  it("ends a peer's connections at once, open streams too, and nobody else's", async () => {
    const { port, gate, listener } = await gated();
    const told = deferred<unknown>();
    listener.route({
      method: 'GET',
      path: '/endless',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        exchange.stream({});
        await once(exchange.signal, 'abort');
        told.resolve(exchange.signal.reason);
      },
    });
    const streaming = await connect(port);
    streaming.socket.write(get('/endless'));
    await streaming.until('\r\n\r\n');
    const idle = await connect(port);
    await idle.ask(get('/hello'));
    const other = await connect(port, { role: 'machine', name: 'other' });
    await other.ask(get('/hello'));

    expect(listener.destroyPeers(({ name }) => name === 'machine-1', revoked)).toBe(2);
    expect(await told.promise).toBe(revoked);
    await Promise.all([streaming.closed, idle.closed]);
    // An answer that was cut is not one that came to its end.
    expect(streaming.text).not.toContain('0\r\n\r\n');
    expect((await other.ask(get('/hello'))).status).toBe(200);
    await expect.poll(() => gate.count('close machine-1')).toBe(2);
    expect(listener.destroyPeers(({ name }) => name === 'machine-1', revoked)).toBe(0);
  });

  it('asks nothing about who has no identity', async () => {
    const { port, listener } = await gated();
    const nobody = await connect(port, { names: [] });
    await expect.poll(() => listener.connections).toBe(1);
    expect(listener.destroyPeers(() => true, revoked)).toBe(0);
    expect(nobody).toBeInstanceOf(Answers);
  });
});
