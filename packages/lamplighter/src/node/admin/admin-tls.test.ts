import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import type tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { testAuthority } from '../../identity/made-certificates.fixture.js';
import type { Role } from '../../identity/roles.js';
import { Answers, caught, openTls } from '../../wire/raw-peer.fixture.js';
import type { AdminOptions } from './admin.js';
import { STREAM_LIMITS } from './event-stream.js';
import {
  authority,
  get,
  own,
  post,
  refusal,
  serveAdmin,
  type ServedAdmin,
  STATUS,
  temporaryFolder,
} from './served-admin.fixture.js';

/** Every address of this machine, as for others. */
const REMOTE = { host: '0.0.0.0', own } as const;
const certified = async (role: Role, name = 'somebody'): Promise<tls.ConnectionOptions> => {
  const { cert, key } = await authority.make({ role, name });
  return { cert, key };
};
const PROTECTED = ['/v1/status', '/v1/history', '/v1/events', '/metrics', '/v1/cameras/wall/preview'];

async function adminTlsFiles(certificate = authority.make({ role: 'relay', name: 'page' })) {
  const folder = await temporaryFolder();
  const { cert, key } = await certificate;
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key, { mode: 0o600 });
  return files;
}

describe('the admin listener for others', () => {
  it('does not start without a certificate, or with one that is not a server’s', async () => {
    await expect(serveAdmin({ host: '0.0.0.0' })).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: 'admin.host: 0.0.0.0 is not loopback, and there is no certificate',
    });
    const service = await authority.material({ role: 'service', name: 'shop' });
    await expect(serveAdmin({ host: '0.0.0.0', own: service })).rejects.toMatchObject({ code: 'ERR_CONFIG' });
  });

  it('speaks TLS 1.3 only, never resumes, and not HTTP', async () => {
    const { port, ask, admin } = await serveAdmin(REMOTE);
    expect(admin.url).toBe(`https://localhost:${port}`);
    expect((await ask(get('/healthz'))).body).toBe('ok\n');
    const old = { port, ca: authority.pem, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
    expect(await caught(openTls(old))).toMatchObject({ code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION' });
    const first = await openTls({ port, ca: authority.pem, ...(await certified('admin')) });
    expect(first.getProtocol()).toBe('TLSv1.3');
    const [session] = await Promise.all([once(first, 'session'), new Answers(first).ask(get('/v1/status'))]);
    const second = await openTls({ port, ca: authority.pem, session: session[0] as Buffer });
    expect(second.isSessionReused()).toBe(false);
    expect(refusal(await new Answers(second).ask(get('/v1/status')))).toBe('401 ERR_LOGIN');
    first.destroy();
    second.destroy();
    const plain = net.connect(port, '127.0.0.1');
    const heard = new Answers(plain);
    plain.write(get('/healthz'));
    await heard.closed;
    expect(heard.text).toBe('');
  });

  it('tells strangers its health and how to log in, and nothing else', async () => {
    const { ask, looks } = await serveAdmin(REMOTE);
    for (const path of PROTECTED) expect(refusal(await ask(get(path))), path).toBe('401 ERR_LOGIN');
    for (const path of ['/', '/camera']) {
      expect(await ask(get(path)), path).toMatchObject({
        status: 303,
        headers: { location: '/login' },
        body: '',
      });
    }
    for (const path of ['draw', 'logout', 'cameras/wall/frames']) {
      expect(refusal(await ask(post(`/v1/${path}`, '{}'))), path).toBe('401 ERR_LOGIN');
    }
    expect(looks).toEqual({ status: 0, history: 0 });
    expect((await ask(get('/healthz'))).status).toBe(200);
    expect((await ask(get('/readyz'))).status).toBe(503);
    expect((await ask(get('/login'))).status).toBe(404);
    expect(JSON.parse((await ask(get('/v1/session'))).body)).toEqual({
      loggedIn: false,
      loopback: false,
      secure: true,
    });
  });

  it('opens to a certificate of role admin, and to no other', async () => {
    const { ask } = await serveAdmin(REMOTE);
    const admin = await certified('admin');
    for (const path of ['/v1/status', '/v1/history', '/metrics'])
      expect((await ask(get(path), admin)).status, path).toBe(200);
    for (const role of ['office', 'relay', 'service', 'machine'] as const) {
      expect(refusal(await ask(get('/v1/status'), await certified(role))), role).toBe('403 ERR_ROLE');
    }
    const stranger = await (await testAuthority('Test CA')).make({ role: 'admin', name: 'evil' });
    expect(refusal(await ask(get('/v1/status'), stranger))).toBe('401 ERR_LOGIN');
    const nameless = await authority.make({ names: [] });
    expect(refusal(await ask(get('/v1/status'), nameless))).toBe('401 ERR_LOGIN');
    const over = await authority.make({
      role: 'admin',
      name: 'late',
      notAfter: new Date(Date.now() - 1_000),
    });
    expect(refusal(await ask(get('/v1/status'), over))).toBe('401 ERR_LOGIN');
  });

  it('opens to the roles that are listed', async () => {
    const { ask } = await serveAdmin({ ...REMOTE, roles: ['service'] });
    expect((await ask(get('/metrics'), await certified('service'))).status).toBe(200);
    expect(refusal(await ask(get('/metrics'), await certified('admin')))).toBe('403 ERR_ROLE');
  });

  it('draws for nobody without a session, whatever certificate he has', async () => {
    const { ask, login } = await serveAdmin(REMOTE);
    const admin = await certified('admin');
    expect(refusal(await ask(post('/v1/draw', '{}'), admin))).toBe('401 ERR_LOGIN');
    const { cookie, csrf } = await login();
    const drawn = await ask(post('/v1/draw', '{}', { cookie, 'x-lamplighter-csrf': csrf }), admin);
    expect(drawn.status).toBe(200);
  });

  it('takes pictures from a certificate without a session', async () => {
    const { ask } = await serveAdmin(REMOTE);
    const picture = post('/v1/cameras/phone/frames', 'x', { 'content-type': 'image/jpeg' });
    expect(refusal(await ask(picture, await certified('admin')))).toBe('404 ERR_NOT_FOUND');
    expect(refusal(await ask(picture, await certified('machine')))).toBe('403 ERR_ROLE');
    expect(refusal(await ask(picture))).toBe('401 ERR_LOGIN');
  });

  it('opens to whoever comes with a login link', async () => {
    const { ask, links, login, port } = await serveAdmin(REMOTE);
    const { url } = await links.create(60_000, Date.now());
    expect(url.href).toMatch(/^https:\/\/localhost:\d+\/login#/);
    const answer = await ask(post('/v1/login', JSON.stringify({ token: url.hash.slice(1) })));
    expect(answer.headers['set-cookie']).toMatch(
      new RegExp(
        `^__Host-lamplighter-${port}=.{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$`,
      ),
    );
    const { cookie } = await login();
    for (const path of ['/v1/status', '/metrics'])
      expect((await ask(get(path, { cookie }))).status, path).toBe(200);
    // A certificate that opens nothing does not spoil it.
    expect((await ask(get('/v1/status', { cookie }), await certified('machine'))).status).toBe(200);
    expect(refusal(await ask(get('/v1/status', { cookie: cookie.replace('__Host-', '') })))).toBe(
      '401 ERR_LOGIN',
    );
  });

  it('goes by the names of its certificate, whichever address was bound', async () => {
    const { ask } = await serveAdmin(REMOTE);
    for (const host of ['localhost', '127.0.0.1:9600', '[::1]']) {
      expect((await ask(get('/healthz', { host }))).status, host).toBe(200);
    }
    for (const host of ['evil.example', '0.0.0.0', '127.0.0.2', 'relay-1']) {
      expect(refusal(await ask(get('/healthz', { host }))), host).toBe('403 ERR_ORIGIN');
    }
    const origin = { origin: 'http://127.0.0.1' };
    expect(refusal(await ask(get('/healthz', origin)))).toBe('403 ERR_ORIGIN');
    expect((await ask(get('/healthz', { origin: 'https://127.0.0.1' }))).status).toBe(200);
  });

  it('refuses who is revoked, and ends his stream within a second', async () => {
    const revoked = new Set<string>();
    const { connect, ask, environment } = await serveAdmin({
      ...REMOTE,
      admit: ({ name }) => {
        if (revoked.has(name)) throw new LamplighterError('ERR_REVOKED', `${name} is revoked`);
      },
    });
    const alice = await certified('admin', 'alice');
    const streams = [await connect(alice), await connect(await certified('admin', 'bob'))];
    for (const stream of streams) {
      stream.socket.write(get('/v1/events'));
      await stream.until('event: status');
      stream.text = '';
    }
    revoked.add('alice');
    expect(refusal(await ask(get('/v1/status'), alice))).toBe('403 ERR_REVOKED');
    environment.advance(STREAM_LIMITS.periodMs);
    await streams[0]?.closed;
    expect(streams[0]?.text).toBe('');
    await streams[1]?.until('event: status');
  });

  it.each([
    [
      'logs out',
      async ({ ask }: ServedAdmin, headers: Record<string, string>) => {
        await ask(post('/v1/logout', '{}', headers));
      },
    ],
    [
      'has been logged in for twelve hours',
      async ({ environment }: ServedAdmin) => {
        environment.advance(12 * 3_600_000);
      },
    ],
  ])('ends the stream of who %s', async (_what, end) => {
    const served = await serveAdmin(REMOTE);
    const { cookie, csrf } = await served.login();
    const stream = await served.connect();
    stream.socket.write(get('/v1/events', { cookie }));
    await stream.until('event: status');
    await end(served, { cookie, 'x-lamplighter-csrf': csrf });
    served.environment.advance(STREAM_LIMITS.periodMs);
    await stream.closed;
    expect(refusal(await served.ask(get('/v1/events', { cookie })))).toBe('401 ERR_LOGIN');
  });

  it('looks before it answers, and cuts every connection without another byte', async () => {
    let found = false;
    const looking: { cut?: () => number } = {};
    const { connect, admin } = await serveAdmin({
      ...REMOTE,
      before: () => {
        if (found) looking.cut?.();
      },
    });
    looking.cut = () => admin.cut();
    const peers = [await connect(), await connect()];
    for (const peer of peers) expect((await peer.ask(get('/healthz'))).status).toBe(200);
    found = true;
    peers[0]?.socket.write(get('/healthz'));
    await Promise.all(peers.map(({ closed }) => closed));
    expect(peers.map(({ text }) => text)).toEqual(['', '']);
    found = false;
    expect((await (await connect()).ask(get('/healthz'))).status).toBe(200);
  });

  it('follows the node’s new certificate; connections stay, but not under another CA', async () => {
    const { connect, ask, admin } = await serveAdmin(REMOTE);
    const before = await connect();
    await before.ask(get('/healthz'));
    const renewed = await authority.material({
      role: 'relay',
      name: 'relay-1',
      names: [
        { type: 'url', value: 'lamplighter:relay/relay-1' },
        { type: 'dns', value: 'localhost' },
      ],
    });
    await admin.reloadTls(renewed);
    expect((await before.ask(get('/healthz', { host: 'localhost' }))).status).toBe(200);
    expect(
      (await ask(get('/healthz', { host: 'localhost' }), { servername: 'localhost', host: 'localhost' }))
        .status,
    ).toBe(200);
    // The names are the new certificate's.
    expect(refusal(await before.ask(get('/healthz', { host: '127.0.0.1' })))).toBe('403 ERR_ORIGIN');
    const other = await testAuthority('Other CA');
    await admin.reloadTls(await other.material({ role: 'relay', name: 'relay-1' }));
    await before.closed;
    expect((await ask(get('/healthz'), { ca: other.pem })).status).toBe(200);
  });

  it('keeps its certificate when the new one is not good', async () => {
    const { ask, admin } = await serveAdmin(REMOTE);
    const broken = { ...own, key: Buffer.from('nonsense') };
    await expect(admin.reloadTls(broken)).rejects.toThrow();
    expect((await ask(get('/healthz'))).status).toBe(200);
  });
});

describe('a certificate of the admin listener’s own', () => {
  it('is what browsers see; clients are certified by the node’s CA, or by the one that is named', async () => {
    const files = await adminTlsFiles();
    const options: Partial<AdminOptions> = { host: '127.0.0.1', tls: files, own };
    const { ask } = await serveAdmin(options);
    expect(refusal(await ask(get('/v1/status')))).toBe('401 ERR_LOGIN');
    expect((await ask(get('/v1/status'), await certified('admin'))).status).toBe(200);
    const clients = await testAuthority('Clients');
    const ca = `${files.cert}.ca`;
    await writeFile(ca, clients.pem);
    const other = await serveAdmin({ ...options, tls: { ...files, ca } });
    const theirs = await clients.make({ role: 'admin', name: 'them' });
    expect((await other.ask(get('/v1/status'), theirs)).status).toBe(200);
    expect(refusal(await other.ask(get('/v1/status'), await certified('admin')))).toBe('401 ERR_LOGIN');
  });

  it('needs no CA at all: then only links open it', async () => {
    const { ask, login } = await serveAdmin({ host: '0.0.0.0', tls: await adminTlsFiles(), own: undefined });
    expect(refusal(await ask(get('/v1/status'), await certified('admin')))).toBe('401 ERR_LOGIN');
    const { cookie } = await login();
    expect(JSON.parse((await ask(get('/v1/status', { cookie }))).body)).toEqual(STATUS);
  });

  it('is read anew when the node reloads, and a bad file changes nothing', async () => {
    const files = await adminTlsFiles();
    const { ask, admin } = await serveAdmin({ host: '127.0.0.1', tls: files, own });
    const good = await readFile(files.cert);
    await writeFile(files.cert, 'nonsense');
    await expect(admin.reloadTls(own)).rejects.toMatchObject({ code: 'ERR_CERTIFICATE_FILE' });
    expect((await ask(get('/healthz'))).status).toBe(200);
    await writeFile(files.cert, good);
    await admin.reloadTls(own);
    expect((await ask(get('/healthz'))).status).toBe(200);
  });
});
