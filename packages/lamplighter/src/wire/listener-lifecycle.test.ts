import { once } from 'node:events';
import net from 'node:net';
import type tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { duplexPair } from './duplex-pair.fixture.js';
import { Listener } from './listener.js';
import { Answers, deferred, openTls } from './raw-peer.fixture.js';
import { authority, connect, get, machine, refusedClient, relay, serve } from './served-listener.fixture.js';

/** Sockets, servers and TLS state that this process holds open. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((name) => /TCP|TLS/.test(name)).length;
}

describe('stop', () => {
  it('ends endless answers at once, lets short ones finish, and leaves nothing behind', async () => {
    const before = sockets();
    const { port, listener } = await serve();
    const go = deferred<void>();
    const aborted = deferred<void>();
    listener.route({
      method: 'GET',
      path: '/endless',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        exchange.stream({});
        exchange.signal.addEventListener('abort', () => aborted.resolve());
      },
    });
    listener.route({
      method: 'GET',
      path: '/short',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        await go.promise;
        exchange.reply(200, {}, Buffer.from('done'));
      },
    });
    const [endless, short, idle, silent] = [
      await connect(port),
      await connect(port),
      await connect(port),
      net.connect(port, '127.0.0.1'),
    ];
    silent.on('error', () => {}).resume();
    await idle.ask(get('/hello'));
    endless.socket.write(get('/endless'));
    await endless.until('\r\n\r\n');
    const shortAnswer = short.ask(get('/short'));
    await idle.ask(get('/hello'));
    const stopped = listener.stop(10_000);
    await aborted.promise;
    await endless.closed;
    expect(endless.text).toMatch(/0\r\n\r\n$/);
    await idle.closed;
    go.resolve();
    const answer = await shortAnswer;
    expect(answer.body).toBe('done');
    expect(answer.headers['connection']).toBe('close');
    await stopped;
    await short.closed;
    if (!silent.closed) await once(silent, 'close');
    expect(listener.connections).toBe(0);
    await expect.poll(sockets).toBeLessThanOrEqual(before);
    await expect(listener.listen({ host: '127.0.0.1', port: 0 })).rejects.toMatchObject({
      code: 'ERR_STOPPED',
    });
  });

  it('cuts what is left at its deadline', async () => {
    const { port, listener } = await serve();
    const reason = deferred<unknown>();
    listener.route({
      method: 'GET',
      path: '/stuck',
      roles: ['machine'],
      maxBodyBytes: 0,
      handle: async (exchange) => {
        await once(exchange.signal, 'abort');
        reason.resolve(exchange.signal.reason);
      },
    });
    const peer = await connect(port);
    peer.socket.write(get('/stuck'));
    await (await connect(port)).ask(get('/hello'));
    await listener.stop(20);
    expect(await reason.promise).toMatchObject({ code: 'ERR_STOPPED' });
    await peer.closed;
  });

  it('may be called twice, and before anything listens', async () => {
    const listener = new Listener(relay);
    await Promise.all([listener.stop(10), listener.stop(10)]);
    const [here] = duplexPair();
    listener.accept(here);
    expect(here.destroyed).toBe(true);
  });
});

describe('accept', () => {
  it('serves TLS and HTTP over any Duplex', async () => {
    const { listener } = await serve();
    const [here, there] = duplexPair();
    listener.accept(here);
    const peer = new Answers(
      await openTls({
        socket: there,
        ca: authority.pem,
        cert: machine.cert,
        key: machine.key,
        servername: 'localhost',
      }),
    );
    expect((await peer.ask(get('/hello'))).body).toContain('machine machine-1');
    expect((await peer.ask(get('/hello?q=again'))).body).toContain('again');
    expect(listener.connections).toBe(1);
    await listener.stop(1_000);
    expect(here.destroyed).toBe(true);
  });

  it('drops a Duplex that never begins its handshake', async () => {
    const { listener } = await serve({ handshakeTimeoutMs: 30 });
    const [here] = duplexPair();
    listener.accept(here);
    await once(here, 'close');
    expect(listener.refused.handshakeTimeout).toBe(1);
  });
});

describe('replaceTls', () => {
  it('uses the new certificate for new handshakes and keeps connections under the same CA', async () => {
    const { port, listener } = await serve();
    const old = await connect(port);
    await old.ask(get('/hello'));
    listener.replaceTls(await authority.material({ role: 'relay', name: 'relay-2' }));
    expect((await old.ask(get('/hello'))).status).toBe(200);
    const fresh = await connect(port);
    expect((fresh.socket as tls.TLSSocket).getPeerX509Certificate()?.subject).toBe('CN=relay-2');
  });

  it('under another CA ends what the old one let in, and lets in what the new one issued', async () => {
    const { port, listener } = await serve();
    const idle = await connect(port);
    await idle.ask(get('/hello'));
    const other = await testAuthority('Other CA');
    listener.replaceTls(await other.material({ role: 'relay' }));
    await idle.closed;
    const { cert, key } = await other.make({ role: 'machine', name: 'new' });
    const peer = new Answers(await openTls({ port, ca: other.pem, cert, key }));
    expect((await peer.ask(get('/hello'))).body).toContain('new');
    expect(await refusedClient({ port, ca: other.pem, cert: machine.cert, key: machine.key })).toBe(true);
  });

  it('keeps the old material when the new one is unusable', async () => {
    const { port, listener } = await serve();
    expect(() => listener.replaceTls({ ...relay, cert: Buffer.from('nothing') })).toThrow();
    expect((await (await connect(port)).ask(get('/hello'))).status).toBe(200);
  });
});
