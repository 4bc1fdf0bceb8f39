import { once } from 'node:events';
import type http from 'node:http';
import net from 'node:net';
import type tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import {
  problemCodeOf,
  readBounded,
  request,
  UpstreamAgent,
  type Upstream,
  type UpstreamRequest,
} from './client.js';
import { duplexPair } from './duplex-pair.fixture.js';
import {
  ask,
  authority,
  listening,
  open,
  serverWith,
  textFrom,
  upstreamAt,
} from './hostile-server.fixture.js';
import { Listener } from './listener.js';
import { problemOf } from './problem.js';
import { caught, deferred } from './raw-peer.fixture.js';

describe('a request', () => {
  it('returns status, headers, body, who answered and the key-exchange group', async () => {
    const { port } = await serverWith({ role: 'relay', name: 'relay-1' });
    const { status, headers, body, peer, group } = await request(upstreamAt(port), ask);
    expect(status).toBe(200);
    expect(headers).toHaveProperty('date');
    expect(peer).toMatchObject({ role: 'relay', name: 'relay-1' });
    expect(peer.fingerprint).toHaveLength(32);
    expect(group === undefined || group.length > 0).toBe(true);
    expect(Buffer.from(await readBounded(body, 5)).toString()).toBe('hello');
  });

  it('makes its body once the server is verified, of what the connection tells', async () => {
    const { port } = await serverWith({ role: 'relay' }, {}, (asked, response) => {
      const exporter = (asked.socket as tls.TLSSocket).exportKeyingMaterial(
        16,
        'EXPORTER-test',
        Buffer.alloc(0),
      );
      asked.on('data', (bytes: Buffer) => response.end(String(exporter.equals(bytes))));
    });
    const body = (socket: tls.TLSSocket): Uint8Array =>
      socket.exportKeyingMaterial(16, 'EXPORTER-test', Buffer.alloc(0));
    expect(await textFrom(upstreamAt(port), { method: 'POST', body })).toBe('true');
    const failing = (): Uint8Array => {
      throw Object.assign(new Error('gone'), { code: 'ERR_TLS_INVALID_STATE' });
    };
    await expect(textFrom(upstreamAt(port), { method: 'POST', body: failing })).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_UNREACHABLE',
    });
    const upstream = upstreamAt(port);
    const agent = new UpstreamAgent(upstream);
    await expect(request(upstream, { ...ask, body, agent })).rejects.toThrow(TypeError);
    agent.destroy();
  });

  it('needs no certificate of ours where none is asked for, and is refused where one is', async () => {
    const nobody = { tls: { ca: Buffer.from(authority.pem) } };
    const open_ = await serverWith({ role: 'relay' }, { requestCert: false });
    expect(await textFrom(upstreamAt(open_.port, nobody))).toBe('hello');
    const mutual = await serverWith({ role: 'relay' }, { rejectUnauthorized: true });
    await expect(textFrom(upstreamAt(mutual.port, nobody))).rejects.toMatchObject({
      code: 'ERR_UPSTREAM_REFUSED_US',
    });
    expect(mutual.requests()).toBe(0);
  });

  it('sends method, path, headers and body, on a connection of its own', async () => {
    const ports = new Set<number | undefined>();
    const { port } = await serverWith({ role: 'relay' }, {}, (asked, response) => {
      ports.add(asked.socket.remotePort);
      const { method, url, headers } = asked;
      asked.on('data', (bytes: Buffer) =>
        response.end(
          `${method} ${url} ${String(headers['x-test'])} ${headers['content-length']} ${bytes.toString()}`,
        ),
      );
    });
    const options: UpstreamRequest = {
      ...ask,
      method: 'POST',
      path: '/v1/x?y=1',
      headers: { 'x-test': 'a' },
      body: Buffer.from('nonce'),
    };
    expect(await textFrom(upstreamAt(port), options)).toBe('POST /v1/x?y=1 a 5 nonce');
    expect(await textFrom(upstreamAt(port), options)).toBe('POST /v1/x?y=1 a 5 nonce');
    expect(ports.size).toBe(2);
  });

  it.each([302, 403, 503])('returns status %i as it is and follows nothing', async (status) => {
    const { port, requests } = await serverWith({ role: 'relay' }, {}, (_request, response) => {
      response.writeHead(status, { location: '/elsewhere' }).end();
    });
    expect((await request(upstreamAt(port), ask)).status).toBe(status);
    expect(requests()).toBe(1);
  });

  it('goes over any Duplex', async () => {
    const listener = new Listener(await authority.material({ role: 'relay' }));
    open.push({ close: () => listener.stop(0) });
    listener.route({
      method: 'GET',
      path: '/',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => exchange.reply(200, {}, Buffer.from('over a pipe')),
    });
    const endpoints: unknown[] = [];
    const connect: Upstream['connect'] = (endpoint) => {
      endpoints.push(endpoint);
      const [here, there] = duplexPair();
      listener.accept(here);
      return there;
    };
    expect(await textFrom({ ...upstreamAt(0, { connect }), url: new URL('https://localhost:1234') })).toBe(
      'over a pipe',
    );
    expect(endpoints).toEqual([{ host: 'localhost', port: 1234 }]);
  });

  it('neither keeps nor offers a session', async () => {
    const reused: boolean[] = [];
    const { port } = await serverWith({ role: 'relay' }, {}, (asked, response) => {
      reused.push((asked.socket as tls.TLSSocket).isSessionReused());
      response.end('x');
    });
    await textFrom(upstreamAt(port));
    await textFrom(upstreamAt(port));
    expect(reused).toEqual([false, false]);
  });

  it('is refused by our own code when it makes no sense', async () => {
    await expect(request(upstreamAt(1, { url: new URL('http://127.0.0.1') }), ask)).rejects.toThrow(
      TypeError,
    );
    await expect(request(upstreamAt(1), { ...ask, path: 'x' })).rejects.toThrow(TypeError);
    const agent = new UpstreamAgent(upstreamAt(1));
    await expect(request(upstreamAt(1), { ...ask, agent })).rejects.toThrow(TypeError);
  });
});

describe('a failure', () => {
  it('to connect is named', async () => {
    const server = net.createServer();
    const port = await listening(server);
    server.close();
    await once(server, 'close');
    const error = await caught(request(upstreamAt(port), ask));
    expect(error).toMatchObject({
      code: 'ERR_UPSTREAM_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  it('to find the host is named', async () => {
    const error = await caught(request(upstreamAt(1, { url: new URL('https://nothing.invalid') }), ask));
    expect(error).toMatchObject({
      code: 'ERR_UPSTREAM_UNREACHABLE',
      message: expect.stringMatching(/nothing\.invalid:443.*(ENOTFOUND|EAI_AGAIN)/) as string,
    });
  });

  it('in the middle of the handshake is named', async () => {
    const port = await listening(net.createServer((socket) => socket.once('data', () => socket.destroy())));
    expect(await caught(request(upstreamAt(port), ask))).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it.each<[string, net.Server | 'tls']>([
    ['before the handshake', net.createServer((socket) => void socket.resume())],
    ['after the handshake', 'tls'],
  ])('to answer %s ends at the deadline', async (_what, server) => {
    const port = server === 'tls' ? (await serverWith({}, {}, () => {})).port : await listening(server);
    const error = await caught(request(upstreamAt(port), { ...ask, deadlineMs: 100 }));
    expect(error).toMatchObject({
      code: 'ERR_DEADLINE',
      message: expect.stringContaining('100 ms') as string,
    });
  });

  it('is what the caller says when he gives up, at any stage', async () => {
    const stopped = new LamplighterError('ERR_STOPPED', 'the node stops');
    await expect(request(upstreamAt(1), { ...ask, signal: AbortSignal.abort(stopped) })).rejects.toBe(
      stopped,
    );
    await expect(request(upstreamAt(1), { ...ask, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_STOPPED',
    });

    const asked = deferred<void>();
    const { port } = await serverWith({}, {}, () => asked.resolve());
    const waiting = new AbortController();
    const answer = caught(request(upstreamAt(port), { ...ask, signal: waiting.signal }));
    await asked.promise;
    waiting.abort();
    expect(await answer).toMatchObject({ code: 'ERR_STOPPED' });

    const endless = await serverWith({}, {}, (_request, response) => response.write('x'));
    const reading = new AbortController();
    const { body } = await request(upstreamAt(endless.port), { ...ask, signal: reading.signal });
    reading.abort();
    if (!body.closed) await once(body, 'close');
    expect(body.destroyed).toBe(true);
  });
});

describe('an agent', () => {
  it('keeps its connection, and says who is there every time', async () => {
    const ports = new Set<number | undefined>();
    const { port } = await serverWith({ role: 'relay', name: 'relay-1' }, {}, (asked, response) => {
      ports.add(asked.socket.remotePort);
      response.end('x');
    });
    const upstream = upstreamAt(port);
    const agent = new UpstreamAgent(upstream);
    for (let count = 0; count < 3; count += 1) {
      const { peer, body } = await request(upstream, { ...ask, agent });
      expect(peer.name).toBe('relay-1');
      await readBounded(body, 1);
    }
    expect(ports.size).toBe(1);
    agent.destroy();
  });

  it('does not take a lost connection for a refusal', async () => {
    let count = 0;
    const { port } = await serverWith({}, {}, (asked, response) => {
      count += 1;
      if (count === 1) response.end('x');
      else asked.socket.destroy();
    });
    const upstream = upstreamAt(port);
    const agent = new UpstreamAgent(upstream);
    await textFrom(upstream, { agent });
    expect(await caught(request(upstream, { ...ask, agent }))).toMatchObject({
      code: 'ERR_UPSTREAM_UNREACHABLE',
    });
    agent.destroy();
  });

  it('gives up a connection that is not made by its deadline', async () => {
    const port = await listening(net.createServer((socket) => void socket.resume()));
    const upstream = upstreamAt(port);
    const agent = new UpstreamAgent(upstream, { connectDeadlineMs: 50 });
    expect(await caught(request(upstream, { ...ask, agent }))).toMatchObject({ code: 'ERR_DEADLINE' });
    agent.destroy();
  });
});

describe('readBounded', () => {
  it.each<[string, http.RequestListener]>([
    ['announced', (_request, response) => response.end('12345')],
    ['in chunks', (_request, response) => void response.write('123', () => response.end('45'))],
  ])('refuses a body that is too long, %s', async (_what, answer) => {
    const { port } = await serverWith({}, {}, answer);
    const { body } = await request(upstreamAt(port), ask);
    expect(await caught(readBounded(body, 4))).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
    expect(body.destroyed).toBe(true);
    expect(await textFrom(upstreamAt(port))).toBe('12345');
  });

  it('refuses a body that breaks off', async () => {
    const { port } = await serverWith({}, {}, (asked, response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('123', () => asked.socket.destroy());
    });
    const { body } = await request(upstreamAt(port), ask);
    expect(await caught(readBounded(body, 10))).toMatchObject({ code: 'ERR_UPSTREAM_UNREACHABLE' });
  });

  it('stops when told to', async () => {
    const { port } = await serverWith({}, {}, (_request, response) => void response.write('x'));
    const stop = new AbortController();
    const { body } = await request(upstreamAt(port), ask);
    const reading = caught(readBounded(body, 10, stop.signal));
    stop.abort();
    expect(await reading).toMatchObject({ code: 'ERR_STOPPED' });
    expect(body.destroyed).toBe(true);
  });
});

describe('problemCodeOf', () => {
  it('reads what problemOf writes', () => {
    const { body } = problemOf(new LamplighterError('ERR_NOT_SEEDED', 'the node is not seeded yet'));
    expect(problemCodeOf(body)).toEqual({ code: 'ERR_NOT_SEEDED', detail: 'the node is not seeded yet' });
  });

  it.each([
    '',
    '[]',
    'null',
    '"x"',
    '{}',
    '{"code":1}',
    '{"code":"a b"}',
    '{"code":"\\u001b[31m"}',
    `{"code":"${'A'.repeat(65)}"}`,
  ])('takes nothing from %j', (text) => {
    expect(problemCodeOf(Buffer.from(text))).toBeUndefined();
  });

  it('lets neither terminal escapes nor a novel through', () => {
    const detail = `\u001b[31m${'x'.repeat(10_000)}`;
    const said = problemCodeOf(Buffer.from(JSON.stringify({ code: 'ERR_X', detail })));
    expect(said?.detail).toMatch(/^\?\[31mx{195}$/);
    expect(
      problemCodeOf(Buffer.from(JSON.stringify({ code: 'ERR_X', detail: 'x'.repeat(70_000) }))),
    ).toBeUndefined();
  });
});
