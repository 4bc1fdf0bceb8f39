import { once } from 'node:events';
import net from 'node:net';
import type tls from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { testAuthority } from '../identity/made-certificates.fixture.js';
import { duplexPair } from './duplex-pair.fixture.js';
import { type Exchange, Listener, type ListenerOptions, type ListenerMaterial } from './listener.js';
import { Answers, caught, openTls } from './raw-peer.fixture.js';
import { RecordingGate } from './recording-gate.fixture.js';
import { authority, get, machine, refusedClient, relay, serve } from './served-listener.fixture.js';

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.stop(0)));
});

/** Answers everything with what it knows of who asks. */
async function anyone(
  tls: ListenerMaterial | undefined,
  options: ListenerOptions,
): Promise<{ listener: Listener; port: number }> {
  const listener = new Listener(tls, options);
  open.push(listener);
  listener.route({
    method: 'ANY',
    path: '*',
    roles: 'anyone',
    maxBodyBytes: 16,
    handle: async (exchange) => {
      const { method, path, remoteAddress, body } = exchange;
      const said = `${method} ${path} ${remoteAddress} ${Buffer.from(body).toString()}`;
      exchange.reply(200, { 'content-type': 'text/plain' }, Buffer.from(said));
    },
  });
  return { listener, port: (await listener.listen({ host: '127.0.0.1', port: 0 })).port };
}

/** A client over TCP without TLS. */
async function openPlain(port: number, localAddress: string): Promise<net.Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress });
  await once(socket, 'connect');
  return socket;
}

const kinds = ['server', 'plain'] as const;
type Kind = (typeof kinds)[number];

const served = (kind: Kind, options: ListenerOptions = {}): ReturnType<typeof anyone> =>
  anyone(kind === 'plain' ? undefined : relay, { ...options, access: kind });

async function client(kind: Kind, port: number, from = '127.0.0.1'): Promise<Answers> {
  const plain = await openPlain(port, from);
  if (kind === 'plain') return new Answers(plain);
  return new Answers(await openTls({ socket: plain, ca: authority.pem }));
}

describe.each(kinds)('access %s', (kind) => {
  it('serves whoever asks, any method at any path, and says where he is', async () => {
    const { port } = await served(kind);
    const peer = await client(kind, port);
    expect((await peer.ask(get('/a/b?c=d'))).body).toBe('GET /a/b 127.0.0.1 ');
    const post = await peer.ask('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody');
    expect(post.body).toBe('POST / 127.0.0.1 body');
    expect(post.headers['cache-control']).toBe('no-store');
  });

  it('keeps every bound', async () => {
    const { port, listener } = await served(kind, { headersTimeoutMs: 40, requestTimeoutMs: 40 });
    const late = await client(kind, port);
    late.socket.write('GET / HTTP/1.1\r\nX: ');
    await late.closed;
    expect(listener.refused.headersTimeout).toBe(1);
    const slow = await client(kind, port);
    slow.socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n1');
    await slow.closed;
    expect(listener.refused.requestTimeout).toBe(1);
    const long = await client(kind, port);
    const tooLong = await long.ask(
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n${'x'.repeat(17)}`,
    );
    expect(tooLong.status).toBe(413);
    await long.closed;
    const wordy = await client(kind, port);
    expect((await wordy.ask(get('/', `X: ${'x'.repeat(9_000)}\r\n`))).status).toBe(400);
    await wordy.closed;
  });

  it('takes no more connections than it may', async () => {
    const { port, listener } = await served(kind, { maxConnections: 1 });
    const first = await client(kind, port);
    await first.ask(get('/'));
    const excess = await client(kind, port);
    await expect.poll(() => listener.connections).toBe(2);
    expect((await excess.ask(get('/'))).status).toBe(503);
    await excess.closed;
    expect((await first.ask(get('/'))).status).toBe(200);
  });

  it('takes an idle connection from the address with the most when another has none', async () => {
    const { port, listener } = await served(kind, { maxConnections: 3 });
    const many = [await client(kind, port), await client(kind, port), await client(kind, port)];
    for (const peer of many) await peer.ask(get('/'));
    const other = await client(kind, port, '127.0.0.2');
    expect((await other.ask(get('/'))).body).toBe('GET / 127.0.0.2 ');
    await many[0]?.closed;
    expect(listener.refused.tooManyConnections).toBe(1);
    for (const peer of [...many.slice(1), other]) expect((await peer.ask(get('/'))).status).toBe(200);
    expect(listener.connections).toBe(3);
    // One more of the same is one too many.
    expect((await (await client(kind, port)).ask(get('/'))).status).toBe(503);
  });

  it('closes who stays idle', async () => {
    const { port, listener } = await served(kind, { idleTimeoutMs: 30 });
    const idle = await client(kind, port);
    await idle.ask(get('/'));
    await idle.closed;
    await expect.poll(() => listener.connections).toBe(0);
  });

  it('is cut and stopped like any other', async () => {
    const { port, listener } = await served(kind);
    const first = await client(kind, port);
    await first.ask(get('/'));
    expect(listener.cut()).toBe(1);
    await first.closed;
    const second = await client(kind, port);
    await second.ask(get('/'));
    await listener.stop(1_000);
    await second.closed;
    expect(listener.connections).toBe(0);
  });

  it('knows nobody, so its routes name no role and it takes no gate', async () => {
    const { listener, port } = await served(kind);
    expect(() =>
      listener.route({
        method: 'GET',
        path: '/roles',
        roles: ['machine'],
        maxBodyBytes: 0,
        handle: () => Promise.resolve(),
      }),
    ).toThrow(RangeError);
    const tls = kind === 'plain' ? undefined : relay;
    expect(() => new Listener(tls, { access: kind, gate: new RecordingGate() })).toThrow(TypeError);
    let thrown: unknown;
    listener.route({
      method: 'GET',
      path: '/who',
      roles: 'anyone',
      maxBodyBytes: 0,
      handle: async (exchange) => {
        thrown = await caught(Promise.resolve().then(() => exchange.peer));
        exchange.spend('beacons', 1_000_000);
        exchange.reply(200, {}, new Uint8Array(0));
      },
    });
    expect((await (await client(kind, port)).ask(get('/who'))).status).toBe(200);
    expect(thrown).toBeInstanceOf(TypeError);
    expect(listener.destroyPeers(() => true, new Error() as never)).toBe(0);
  });
});

describe('access server', () => {
  it('asks for no certificate, and sends every certificate of the chain it was given, roots too', async () => {
    const root = await testAuthority('Root');
    const { cert, key } = await root.make({ role: 'relay' });
    const { port } = await anyone(
      { cert: Buffer.from([cert.toString(), root.pem, authority.pem].join('\n')), key },
      { access: 'server' },
    );
    const socket = await openTls({ port, rejectUnauthorized: false });
    const leaf = socket.getPeerCertificate(true);
    expect(leaf.issuerCertificate.subject.CN).toBe('Root');
    expect(leaf.issuerCertificate.fingerprint256).toBe(
      leaf.issuerCertificate.issuerCertificate.fingerprint256,
    );
    expect(socket.getProtocol()).toBe('TLSv1.3');
    expect((await new Answers(socket).ask(get('/'))).status).toBe(200);
  });

  it('refuses TLS 1.2, and never resumes a session', async () => {
    const { port } = await served('server');
    const old = { port, ca: authority.pem, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
    expect(await caught(openTls(old))).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    const first = await openTls({ port, ca: authority.pem });
    const [session] = await Promise.all([once(first, 'session'), new Answers(first).ask(get('/'))]);
    const second = await openTls({ port, ca: authority.pem, session: session[0] as Buffer });
    expect(second.isSessionReused()).toBe(false);
    expect((await new Answers(second).ask(get('/'))).status).toBe(200);
  });

  it('exports keying material that both ends agree on, one connection at a time', async () => {
    const exported: Uint8Array[] = [];
    const { port, listener } = await served('server');
    listener.route({
      method: 'GET',
      path: '/bind',
      roles: 'anyone',
      maxBodyBytes: 0,
      handle: async (exchange: Exchange) => {
        exported.push(exchange.exportKeyingMaterial(32, 'EXPORTER-lamplighter-test'));
        exchange.reply(200, {}, new Uint8Array(0));
      },
    });
    const ours: Buffer[] = [];
    for (const context of [Buffer.alloc(0), undefined]) {
      const socket: tls.TLSSocket = await openTls({ port, ca: authority.pem });
      await new Answers(socket).ask(get('/bind'));
      // Node's types want the context value that TLS 1.3 can do without.
      ours.push(
        (socket.exportKeyingMaterial as (...args: unknown[]) => Buffer).call(
          socket,
          32,
          'EXPORTER-lamplighter-test',
          context,
        ),
      );
    }
    expect(exported.map((bytes) => Buffer.from(bytes))).toEqual(ours);
    expect(ours[0]?.equals(ours[1] ?? Buffer.alloc(0))).toBe(false);
  });

  it('with a CA for clients lets in any certificate of it, whatever it says, and nothing else', async () => {
    const fleet = await testAuthority('Another CA');
    const { port, listener } = await anyone(
      { ...relay, clientCa: Buffer.from(fleet.pem) },
      { access: 'server' },
    );
    for (const certificate of [{ names: [] }, { role: 'machine', name: 'm' } as const]) {
      const { cert, key } = await fleet.make(certificate);
      const peer = new Answers(await openTls({ port, ca: authority.pem, cert, key }));
      expect((await peer.ask(get('/'))).status).toBe(200);
    }
    expect(await refusedClient({ port, ca: authority.pem })).toBe(true);
    expect(listener.refused.noCertificate).toBe(1);
    // Our own CA is not the one that was named.
    expect(await refusedClient({ port, ca: authority.pem, cert: machine.cert, key: machine.key })).toBe(true);
    expect(listener.refused.certificate).toBe(1);
  });

  it('with a CA for clients ends their connections when it is replaced', async () => {
    const [one, two] = [await testAuthority('One'), await testAuthority('Two')];
    const { port, listener } = await anyone(
      { ...relay, clientCa: Buffer.from(one.pem) },
      { access: 'server' },
    );
    const theirs = await one.make();
    const peer = new Answers(await openTls({ port, ca: authority.pem, ...theirs }));
    await peer.ask(get('/'));
    listener.replaceTls({ ...relay, clientCa: Buffer.from(two.pem) });
    await peer.closed;
    expect(await refusedClient({ port, ca: authority.pem, ...theirs })).toBe(true);
    const { cert, key } = await two.make();
    const next = new Answers(await openTls({ port, ca: authority.pem, cert, key }));
    expect((await next.ask(get('/'))).status).toBe(200);
  });

  it('keeps its connections when its certificate is replaced, also by one of another CA', async () => {
    const { port, listener } = await served('server');
    const peer = await client('server', port);
    await peer.ask(get('/'));
    const other = await testAuthority('Other CA');
    listener.replaceTls(await other.material({ role: 'relay' }));
    expect((await peer.ask(get('/'))).status).toBe(200);
    await openTls({ port, ca: other.pem }).then((socket) => socket.destroy());
  });
});

describe('access mutual', () => {
  it('fails in the handshake for whoever comes without a certificate, as one who enrols does', async () => {
    const { port, listener } = await serve();
    expect(await refusedClient({ port, ca: authority.pem })).toBe(true);
    expect(listener.refused.noCertificate).toBe(1);
    expect(listener.connections).toBe(0);
  });

  it('serves nobody unknown', async () => {
    const { listener } = await serve();
    const route = { method: 'GET', path: '/x', maxBodyBytes: 0, handle: () => Promise.resolve() } as const;
    expect(() => listener.route({ ...route, roles: 'anyone' })).toThrow(RangeError);
  });
});

describe('routes', () => {
  it('an exact path and method come before any, and a path that is there keeps its methods', async () => {
    const { port, listener } = await served('plain');
    const say = (word: string) => async (exchange: Exchange) => exchange.reply(200, {}, Buffer.from(word));
    const route = { path: '/here', roles: 'anyone', maxBodyBytes: 0 } as const;
    listener.route({ ...route, method: 'GET', handle: say('get') });
    const peer = await client('plain', port);
    expect((await peer.ask(get('/here'))).body).toBe('get');
    expect((await peer.ask('DELETE /here HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(405);
    const any = listener.route({ ...route, method: 'ANY', handle: say('any') });
    expect((await peer.ask('DELETE /here HTTP/1.1\r\nHost: x\r\n\r\n')).body).toBe('any');
    expect((await peer.ask(get('/here'))).body).toBe('get');
    any.remove();
    expect((await peer.ask('DELETE /here HTTP/1.1\r\nHost: x\r\n\r\n')).status).toBe(405);
    expect((await peer.ask(get('/elsewhere'))).body).toBe('GET /elsewhere 127.0.0.1 ');
  });
});

describe('a listener', () => {
  it.each<[string, ListenerMaterial | undefined, ListenerOptions]>([
    ['mutual without material', undefined, {}],
    ['mutual without a CA', { cert: relay.cert, key: relay.key }, {}],
    ['mutual with another CA for clients', { ...relay, clientCa: relay.ca }, {}],
    ['server without material', undefined, { access: 'server' }],
    ['plain with material', relay, { access: 'plain' }],
  ])('%s is a mistake', (_what, material, options) => {
    expect(() => new Listener(material, options)).toThrow(TypeError);
  });

  it('without TLS is over TCP alone, and has nothing to export or replace', async () => {
    const { listener, port } = await served('plain');
    expect(() => listener.accept(duplexPair()[0])).toThrow(TypeError);
    expect(() => listener.replaceTls(relay)).toThrow(TypeError);
    let thrown: unknown;
    listener.route({
      method: 'GET',
      path: '/bind',
      roles: 'anyone',
      maxBodyBytes: 0,
      handle: async (exchange) => {
        thrown = await caught(Promise.resolve().then(() => exchange.exportKeyingMaterial(32, 'x')));
        exchange.reply(200, {}, new Uint8Array(0));
      },
    });
    await (await client('plain', port)).ask(get('/bind'));
    expect(thrown).toBeInstanceOf(TypeError);
  });
});
