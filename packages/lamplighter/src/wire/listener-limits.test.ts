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
