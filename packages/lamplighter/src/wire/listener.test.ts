import { once } from 'node:events';
import type tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { type Exchange, Listener } from './listener.js';
import { type Answers, caught, deferred } from './raw-peer.fixture.js';
import { connect, get, hello, relay, serve, type Served } from './served-listener.fixture.js';

describe('a request', () => {
  it('is answered with what its route says, over TLS 1.3', async () => {
    const { port } = await serve();
    const peer = await connect(port);
    const answer = await peer.ask(get('/hello?q=a%20b'));
    expect(answer).toMatchObject({ status: 200, body: 'machine machine-1 a b' });
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(peer.socket).toMatchObject({ alpnProtocol: 'http/1.1' });
    expect((peer.socket as tls.TLSSocket).getProtocol()).toBe('TLSv1.3');
  });

  it('follows another on the same connection', async () => {
    const { port, listener } = await serve();
    const peer = await connect(port);
    for (const word of ['a', 'b', 'c'])
      expect((await peer.ask(get(`/hello?q=${word}`))).body).toContain(word);
    expect(listener.connections).toBe(1);
  });

  it('brings a body, with a length or in chunks', async () => {
    const { port } = await serve();
    const peer = await connect(port);
    const whole = await peer.ask('POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n12345678');
    expect(whole.body).toBe('12345678');
    const chunked = await peer.ask(
      'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    );
    expect(chunked.body).toBe('abcde');
    expect((await peer.ask('POST /echo HTTP/1.1\r\nHost: x\r\n\r\n')).body).toBe('');
  });

  it('is told to continue when it asks', async () => {
    const { port } = await serve();
    const peer = await connect(port);
    peer.socket.write('POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n');
    await peer.until('HTTP/1.1 100 Continue\r\n\r\n');
    expect((await peer.ask('ok')).body).toBe('ok');
  });

  it.each<[number, string, string]>([
    [404, 'ERR_NOT_FOUND', get('/nothing')],
    [404, 'ERR_NOT_FOUND', get('https://x/hello')],
    [405, 'ERR_METHOD', 'DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n'],
    [405, 'ERR_METHOD', 'POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok'],
    [413, 'ERR_BODY_TOO_LARGE', 'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789'],
    [
      413,
      'ERR_BODY_TOO_LARGE',
      'POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n',
    ],
    [
      413,
      'ERR_BODY_TOO_LARGE',
      'POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n',
    ],
    [400, 'ERR_BAD_REQUEST', 'GET /hello HTTP/1.1\r\n\r\n'],
    [400, 'ERR_BAD_REQUEST', get('/hello', 'Expect: a miracle\r\n')],
    [400, 'ERR_BAD_REQUEST', 'this is not HTTP\r\n\r\n'],
    [400, 'ERR_BAD_REQUEST', get('/hello', `X: ${'x'.repeat(9_000)}\r\n`)],
    [400, 'ERR_BAD_REQUEST', get('/hello', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n')],
  ])('is refused with %i %s: %j', async (status, code, text) => {
    const { port } = await serve();
    const answer = await (await connect(port)).ask(text);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(JSON.parse(answer.body)).toMatchObject({ status, code });
  });

  it('learns which methods a path takes', async () => {
    const { port } = await serve();
    const answer = await (await connect(port)).ask('DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(answer.headers['allow']).toBe('GET');
  });

  it('does not cost the connection when it was read to its end', async () => {
    const { port } = await serve();
    const peer = await connect(port);
    expect((await peer.ask(get('/nothing'))).status).toBe(404);
    expect((await peer.ask(get('/hello'))).status).toBe(200);
  });

  it('with an endless chunked body is cut off after a bounded number of bytes', async () => {
    const { port } = await serve();
    const peer = await connect(port);
    const chunk = `1000\r\n${'x'.repeat(4_096)}\r\n`;
    const answer = await peer.ask(
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
    );
    expect(answer.status).toBe(413);
    let sent = 0;
    while (!peer.socket.destroyed && sent < 64 * 1_048_576) {
      sent += chunk.length;
      const taken = new Promise((resolve) => {
        peer.socket.write(chunk, resolve);
      });
      await Promise.race([taken, peer.closed]);
    }
    await peer.closed;
    expect(sent).toBeLessThan(16 * 1_048_576);
  });
});

describe('a route that throws', () => {
  async function throwing(error: unknown): Promise<Served & { answer: Awaited<ReturnType<Answers['ask']>> }> {
    const served = await serve();
    served.listener.route({
      method: 'GET',
      path: '/throw',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async () => {
        throw error;
      },
    });
    const peer = await connect(served.port);
    const answer = await peer.ask(get('/throw'));
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    return { ...served, answer };
  }

  it('a known error says so to the peer', async () => {
    const { answer, errors } = await throwing(
      new LamplighterError('ERR_NOT_SEEDED', 'the node is not seeded yet'),
    );
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.parse(answer.body)).toMatchObject({
      code: 'ERR_NOT_SEEDED',
      detail: 'the node is not seeded yet',
    });
    expect(errors).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['an unknown one', new Error('secret path')],
    ['one that is our own affair', new LamplighterError('ERR_STATE_FILE', 'secret path')],
    ['something that is no error', 'secret path'],
  ])('%s is 500 without detail, and is reported', async (_what, error) => {
    const { answer, errors } = await throwing(error);
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain('secret');
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'ERR_INTERNAL' });
    expect(errors).toEqual([error]);
  });

  it('after its answer has begun can only break it off', async () => {
    const { port, listener, errors } = await serve();
    listener.route({
      method: 'GET',
      path: '/half',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        await exchange.stream({}).write(Buffer.from('half'));
        throw new Error('broken');
      },
    });
    const peer = await connect(port);
    peer.socket.write(get('/half'));
    await peer.closed;
    expect(peer.text).toContain('half');
    expect(peer.text).not.toContain('0\r\n\r\n');
    expect(errors).toHaveLength(1);
  });

  it('that forgets to answer is 500', async () => {
    const { port, listener, errors } = await serve();
    listener.route({
      method: 'GET',
      path: '/forget',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: () => Promise.resolve(),
    });
    expect((await (await connect(port)).ask(get('/forget'))).status).toBe(500);
    expect(errors).toHaveLength(1);
  });
});

describe('an endless answer', () => {
  it('is flushed at once, delivers what is written, and ends', async () => {
    const { port, listener } = await serve();
    const step = deferred<void>();
    listener.route({
      method: 'GET',
      path: '/stream',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        const stream = exchange.stream({ 'content-type': 'application/octet-stream' });
        await step.promise;
        await stream.write(Buffer.from('one'));
        stream.end();
        await expect(stream.write(Buffer.from('two'))).rejects.toMatchObject({ code: 'ERR_STOPPED' });
      },
    });
    const peer = await connect(port);
    peer.socket.write(get('/stream'));
    await peer.until('\r\n\r\n');
    expect(peer.text.toLowerCase()).toContain('cache-control: no-store');
    expect(peer.text).not.toContain('one');
    step.resolve();
    await peer.until('0\r\n\r\n');
    expect(peer.text).toContain('3\r\none\r\n');
  });

  it('tells its route when the client has gone', async () => {
    const { port, listener } = await serve();
    const gone = deferred<unknown>();
    listener.route({
      method: 'GET',
      path: '/stream',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        const stream = exchange.stream({});
        await once(exchange.signal, 'abort');
        gone.resolve(exchange.signal.reason);
        await stream.write(Buffer.from('x'));
      },
    });
    const peer = await connect(port);
    peer.socket.write(get('/stream'));
    await peer.until('\r\n\r\n');
    peer.socket.destroy();
    expect(await gone.promise).toMatchObject({ code: 'ERR_STOPPED' });
  });
});

describe('listen', () => {
  it('names a port in use and the cure', async () => {
    const { port } = await serve();
    const error = await caught(new Listener(relay).listen({ host: '127.0.0.1', port }));
    expect(error).toMatchObject({ code: 'ERR_PORT_IN_USE', message: `port ${port} on 127.0.0.1 is in use` });
    expect((error as LamplighterError).hint).toContain('ss -ltnp');
  });

  it('names an address that this machine does not have', async () => {
    const error = await caught(new Listener(relay).listen({ host: '192.0.2.1', port: 0 }));
    expect(error).toMatchObject({ code: 'ERR_LISTEN' });
  });
});

describe('route', () => {
  it('can be taken off, and is never registered twice', async () => {
    const { port, listener } = await serve();
    const route = {
      method: 'GET',
      path: '/once',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange: Exchange) => hello(exchange),
    } as const;
    const taken = listener.route(route);
    expect(() => listener.route(route)).toThrow(RangeError);
    expect(() => listener.route({ ...route, path: 'once' })).toThrow(RangeError);
    const peer = await connect(port);
    expect((await peer.ask(get('/once'))).status).toBe(200);
    taken.remove();
    expect((await peer.ask(get('/once'))).status).toBe(404);
  });
});
