import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { type MadeCertificate, testAuthority } from '../identity/made-certificates.fixture.js';
import { ROLES } from '../identity/roles.js';
import { needs } from '../needs.fixture.js';
import { Answers, caught, openTls } from './raw-peer.fixture.js';
import { authority, connect, get, machine, refusedClient, relay, serve } from './served-listener.fixture.js';

describe('a role', () => {
  it.each(ROLES)('%s is let in only where the route says so', async (role) => {
    const { port, listener } = await serve();
    const answer = await (await connect(port, { role, name: 'peer' })).ask(get('/hello'));
    const allowed = role === 'machine' || role === 'service';
    expect(answer.status).toBe(allowed ? 200 : 403);
    if (!allowed) expect(JSON.parse(answer.body)).toMatchObject({ code: 'ERR_ROLE' });
    expect(listener.refused.role).toBe(allowed ? 0 : 1);
  });

  it.each<[string, MadeCertificate]>([
    [
      'two roles',
      {
        names: [
          { type: 'url', value: 'lamplighter:machine/a' },
          { type: 'url', value: 'lamplighter:service/a' },
        ],
      },
    ],
    ['no role', { names: [{ type: 'dns', value: 'localhost' }] }],
    ['no subjectAltName', { names: [] }],
    ['a role hidden in a DNS name', { names: [{ type: 'dns', value: 'x, URI:lamplighter:machine/x' }] }],
  ])('is missing in a certificate with %s: 401, and the connection ends', async (_what, certificate) => {
    const { port, listener } = await serve();
    const peer = await connect(port, certificate);
    const answer = await peer.ask(get('/hello'));
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'ERR_CERTIFICATE_IDENTITY' });
    await peer.closed;
    expect(listener.refused.identity).toBe(1);
  });
});

describe('a handshake', () => {
  const day = 86_400_000;

  it.each<[string, MadeCertificate]>([
    [
      'an expired certificate',
      { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) },
    ],
    [
      'a certificate not yet valid',
      { notBefore: new Date(Date.now() + day), notAfter: new Date(Date.now() + 2 * day) },
    ],
    ['a certificate for servers only', { usages: ['1.3.6.1.5.5.7.3.1'] }],
  ])('with %s is refused', async (_what, certificate) => {
    const { port, listener } = await serve();
    const { cert, key } = await authority.make({ role: 'machine', ...certificate });
    expect(await refusedClient({ port, ca: authority.pem, cert, key })).toBe(true);
    expect(listener.refused.certificate).toBe(1);
  });

  it('with a certificate of another CA is refused, even one of the same name', async () => {
    const { port, listener } = await serve();
    const { cert, key } = await (await testAuthority()).make({ role: 'machine' });
    expect(await refusedClient({ port, ca: authority.pem, cert, key })).toBe(true);
    expect(listener.refused.certificate).toBe(1);
  });

  it('without a certificate is refused', async () => {
    const { port, listener } = await serve();
    expect(await refusedClient({ port, ca: authority.pem })).toBe(true);
    expect(listener.refused.noCertificate).toBe(1);
  });

  it('with TLS 1.2 is refused', async () => {
    const { port, listener } = await serve();
    const { cert, key } = machine;
    const error = await caught(
      openTls({ port, ca: authority.pem, cert, key, maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' }),
    );
    expect(error).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    expect(listener.refused.handshake).toBe(1);
  });

  it('never resumes a session', async () => {
    const { port } = await serve();
    const options = { port, ca: authority.pem, cert: machine.cert, key: machine.key };
    const first = await openTls(options);
    const sessions: Buffer[] = [];
    first.on('session', (session) => sessions.push(session));
    await new Answers(first).ask(get('/hello'));
    const session = sessions[0] ?? first.getSession();
    const second = await openTls({ ...options, ...(session === undefined ? {} : { session }) });
    expect(second.isSessionReused()).toBe(false);
    expect((await new Answers(second).ask(get('/hello'))).status).toBe(200);
    // The same client does resume with a server that lets it, so this could fail.
    const lax = tls.createServer(
      { ...options, key: relay.key, cert: relay.cert, requestCert: true },
      (socket) => socket.end('x'),
    );
    lax.listen(0, '127.0.0.1');
    await once(lax, 'listening');
    const laxPort = (lax.address() as net.AddressInfo).port;
    const third = await openTls({ ...options, port: laxPort });
    const [ticket] = (await once(third, 'session')) as [Buffer];
    third.destroy();
    const fourth = await openTls({ ...options, port: laxPort, session: ticket });
    expect(fourth.isSessionReused()).toBe(true);
    fourth.destroy();
    lax.close();
  });

  it.each<[string, string]>([
    ['plain HTTP', 'GET /hello HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['garbage', 'x'.repeat(100)],
  ])('is not %s', async (_what, text) => {
    const { port, listener } = await serve();
    const socket = net.connect(port, '127.0.0.1');
    socket.write(text);
    socket.resume();
    await once(socket, 'close');
    expect(listener.refused.handshake).toBe(1);
    expect(listener.connections).toBe(0);
  });

  it('that stays silent, half-open or drips bytes is dropped by its deadline', async () => {
    const { port, listener } = await serve({ handshakeTimeoutMs: 50 });
    const silent = net.connect(port, '127.0.0.1');
    const halfOpen = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    halfOpen.end();
    const dripping = net.connect(port, '127.0.0.1');
    // The beginning of a TLS record, one byte at a time, for ever.
    const drip = setInterval(() => dripping.write(Buffer.from([0x16])), 5);
    for (const socket of [silent, halfOpen, dripping]) socket.on('error', () => {}).resume();
    await Promise.all([silent, halfOpen, dripping].map((socket) => once(socket, 'close')));
    clearInterval(drip);
    expect(listener.refused.handshakeTimeout + listener.refused.handshake).toBe(3);
  });

  it('makes the oldest silent one go when there are too many', async () => {
    const { port, listener } = await serve({ maxSilent: 2 });
    const [first, second, third] = await Promise.all(
      [0, 1, 2].map(async (delay) => {
        void delay;
        const socket = net.connect(port, '127.0.0.1');
        await once(socket, 'connect');
        return socket.resume();
      }),
    );
    const sockets = [first, second, third].filter((socket) => socket !== undefined);
    await Promise.race(sockets.map((socket) => once(socket, 'close')));
    expect(listener.refused.tooManyHandshakes).toBe(1);
    // Silent ones shut nobody out.
    expect((await (await connect(port)).ask(get('/hello'))).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});

describe('a connection', () => {
  it('ends when its certificate expires, though it was valid at the handshake', async () => {
    const { port, listener } = await serve({ headersTimeoutMs: 200 });
    // X.509 counts whole seconds: between one and two from now.
    const peer = await connect(port, {
      role: 'machine',
      name: 'short',
      notAfter: new Date(Date.now() + 2_000),
    });
    expect((await peer.ask(get('/hello'))).status).toBe(200);
    await peer.closed;
    expect(listener.refused.expired).toBe(1);
  });
});

needs('openssl')('openssl s_client', () => {
  it('is never given a session that it could resume', async () => {
    const { port } = await serve();
    const folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
    await Promise.all([
      fs.writeFile(join(folder, 'ca.pem'), authority.pem),
      fs.writeFile(join(folder, 'cert.pem'), machine.cert),
      fs.writeFile(join(folder, 'key.pem'), machine.key),
    ]);
    const sClient = async (at: number, ...more: string[]): Promise<string> => {
      const flags = `s_client -connect 127.0.0.1:${at} -tls1_3 -CAfile ca.pem -cert cert.pem -key key.pem -ign_eof`;
      const child = spawn('openssl', [...flags.split(' '), ...more], {
        cwd: folder,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      child.stdin.end(get('/hello', 'Connection: close\r\n'));
      let said = '';
      for await (const text of child.stdout.setEncoding('utf8')) said += String(text);
      return said;
    };
    const first = await sClient(port, '-sess_out', 'session.pem');
    expect(first).toMatch(/^New, TLSv1\.3/m);
    expect(first).toContain('HTTP/1.1 200 OK');
    const offered = await fs.stat(join(folder, 'session.pem')).catch(() => undefined);
    const second = await sClient(port, ...(offered === undefined ? [] : ['-sess_in', 'session.pem']));
    expect(second).not.toMatch(/^Reused/m);
    expect(second).toContain('HTTP/1.1 200 OK');
    await fs.rm(folder, { recursive: true });
  });
});
