import { describe, expect, it } from 'vitest';
import { caught, deferred } from './raw-peer.fixture.js';
import { connect, get, serve } from './served-listener.fixture.js';

describe('a slow client', () => {
  it.each<[string, string]>([
    ['sends nothing', ''],
    ['does not finish its headers', 'GET /hello HTTP/1.1\r\nX: '],
  ])('that %s is cut', async (_what, text) => {
    const { port, listener } = await serve({ headersTimeoutMs: 40 });
    const peer = await connect(port);
    peer.socket.write(text);
    await peer.closed;
    expect(listener.refused.headersTimeout).toBe(1);
  });

  it('that drips its second request is cut, and one that is merely idle is not', async () => {
    const { port, listener } = await serve({ headersTimeoutMs: 40 });
    const idle = await connect(port);
    const dripping = await connect(port);
    await idle.ask(get('/hello'));
    await dripping.ask(get('/hello'));
    dripping.socket.write('GET /hello HTTP/1.1\r\nX: ');
    const drip = setInterval(() => dripping.socket.write('x'), 5);
    await dripping.closed;
    clearInterval(drip);
    expect(listener.refused.headersTimeout).toBe(1);
    expect((await idle.ask(get('/hello'))).status).toBe(200);
  });

  it('that does not finish its body is cut', async () => {
    const { port, listener } = await serve({ headersTimeoutMs: 40, requestTimeoutMs: 40 });
    const peer = await connect(port);
    peer.socket.write('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n1');
    await peer.closed;
    expect(listener.refused.requestTimeout).toBe(1);
  });

  it('that does not read its answer is cut', async () => {
    const { listener, port } = await serve({ headersTimeoutMs: 40, writeTimeoutMs: 40 });
    const ended = deferred<unknown>();
    listener.route({
      method: 'GET',
      path: '/flood',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        const stream = exchange.stream({});
        const write = async (): Promise<never> => {
          for (;;) await stream.write(Buffer.alloc(65_536));
        };
        ended.resolve(await caught(write()));
      },
    });
    const peer = await connect(port);
    peer.socket.pause();
    peer.socket.write(get('/flood'));
    expect(await ended.promise).toMatchObject({ code: 'ERR_STOPPED' });
    expect(listener.refused.writeTimeout).toBe(1);
    peer.socket.destroy();
  });

  it('that stays idle is closed', async () => {
    const { port, listener } = await serve({ idleTimeoutMs: 30 });
    const peer = await connect(port);
    await peer.ask(get('/hello'));
    await peer.closed;
    await expect.poll(() => listener.connections).toBe(0);
  });
});

describe('too many', () => {
  it('connections: the next one is told 503 and closed', async () => {
    const { port, listener } = await serve({ maxConnections: 1 });
    const first = await connect(port);
    await first.ask(get('/hello'));
    const second = await connect(port);
    await expect.poll(() => listener.connections).toBe(2);
    expect((await first.ask(get('/hello'))).status).toBe(200);
    const answer = await second.ask(get('/hello'));
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    await second.closed;
    expect(listener.refused.tooManyConnections).toBe(1);
  });

  it('requests ahead of the answers: the connection is cut', async () => {
    const { port, listener } = await serve();
    listener.route({
      method: 'GET',
      path: '/never',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: () => new Promise(() => {}),
    });
    const peer = await connect(port);
    peer.socket.write(get('/never').repeat(20));
    await peer.closed;
    expect(listener.refused.pipelined).toBe(1);
  });
});

describe('a loop that cannot keep up with its requests', () => {
  it('answers everybody in turn, and 503 to the one that has more waiting when its time is over', async () => {
    const { port, listener } = await serve({ maxLagMs: 20, maxQueued: 1 });
    const answered: string[] = [];
    listener.route({
      method: 'POST',
      path: '/slow',
      roles: ['machine'],
      maxBodyBytes: 1,
      handle: async (exchange) => {
        answered.push(exchange.peer.name);
        const endMs = performance.now() + 100;
        while (performance.now() < endMs);
        exchange.reply(200, {}, exchange.body);
      },
    });
    const slow = (mark: string): string =>
      `POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n${mark}`;
    const greedy = await connect(port);
    const quiet = await connect(port, { role: 'machine', name: 'quiet' });
    // The first takes its turn, and all others are read before the next one begins.
    greedy.socket.write(slow('a') + slow('b') + slow('c') + slow('d'));
    const served = await quiet.ask(slow('q'));
    expect(served).toMatchObject({ status: 200, body: 'q' });
    const statuses: number[] = [];
    const bodies: string[] = [];
    while (statuses.length < 4) {
      const { status, body, headers } = await greedy.ask('');
      statuses.push(status);
      bodies.push(body);
      if (status === 503) expect(headers['retry-after']).toMatch(/^[1-5]$/);
    }
    // Whatever was refused, no answer is out of its order, and the last is not refused: it is the only one left.
    expect(statuses.filter((status) => status === 503).length).toBe(listener.refused.overloaded);
    expect(listener.refused.overloaded).toBeGreaterThan(0);
    expect(statuses[0]).toBe(200);
    expect([statuses[3], bodies[3]]).toEqual([200, 'd']);
    expect(answered).toContain('quiet');
    expect(answered.indexOf('quiet')).toBeLessThan(3);
    // The connection is not lost.
    expect((await greedy.ask(get('/hello'))).status).toBe(200);
  });

  it('does not answer what was cut while it waited', async () => {
    const looks: (() => void)[] = [];
    const { port, listener } = await serve({ before: () => looks.shift()?.() });
    let handled = 0;
    listener.route({
      method: 'GET',
      path: '/slow',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        handled += 1;
        const endMs = performance.now() + 30;
        while (performance.now() < endMs);
        exchange.reply(200, {}, new Uint8Array(0));
      },
    });
    const peer = await connect(port);
    // Two requests are looked at when they come; the second again when its turn has come, and then it is cut.
    looks.push(
      () => undefined,
      () => undefined,
      () => listener.cut(),
    );
    peer.socket.write(get('/slow').repeat(2));
    await peer.closed;
    expect(handled).toBe(1);
    expect(listener.refused.overloaded).toBe(0);
  });
});
