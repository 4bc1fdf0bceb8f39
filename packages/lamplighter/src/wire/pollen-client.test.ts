import { execFileSync } from 'node:child_process';
import type tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../local/environment.js';
import { fetchPollen, type PollenServer } from './pollen-client.js';
import {
  firstLine,
  type PollenScript,
  response,
  rightAnswer,
  type ScriptedPollen,
  scriptedPollen,
} from './pollen-server.fixture.js';
import { caught } from './raw-peer.fixture.js';

const SECOND = 'ab'.repeat(64);
const answering: PollenScript = (challenge, socket) =>
  socket.end(response(200, rightAnswer(challenge, SECOND)));

let authority: TestAuthority;
let certificate: { cert: Buffer; key: Buffer };
beforeAll(async () => {
  authority = await testAuthority();
  // Somebody else's server: no identity among lamplighters.
  certificate = await authority.make({ role: 'relay', names: [{ type: 'dns', value: 'localhost' }] });
});

const servers: ScriptedPollen[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function serve(script: PollenScript, options: { tls?: tls.TlsOptions } = {}): Promise<ScriptedPollen> {
  const server = await scriptedPollen(script, options);
  servers.push(server);
  return server;
}

function fetchFrom(
  server: PollenServer,
  { deadlineMs = 5_000, signal = new AbortController().signal } = {},
): ReturnType<typeof fetchPollen> {
  return fetchPollen(server, { environment: systemEnvironment(), deadlineMs, signal });
}

const plain = ({ port }: ScriptedPollen, path = '/'): PollenServer => ({
  url: new URL(`http://127.0.0.1:${port}${path}`),
});
const pinned = ({ port }: ScriptedPollen): PollenServer => ({
  url: new URL(`https://localhost:${port}/`),
  ca: Buffer.from(authority.pem),
});

describe('a pollen server', () => {
  it('is asked as pollinate asks, each time with another challenge', async () => {
    const server = await serve(answering);
    const fetched = await fetchFrom(plain(server, '/path?a=b'));
    expect(Buffer.from(fetched.bytes).toString('hex')).toBe(SECOND);
    expect(fetched.bytes.buffer.byteLength).toBe(64);
    expect(fetched.protocol).toBeUndefined();
    await fetchFrom(plain(server));
    const challenges = server.requests.map((request) => /challenge=([0-9a-f]{128})$/.exec(request)?.[1]);
    expect(challenges[0]).toHaveLength(128);
    expect(challenges[1]).not.toBe(challenges[0]);
    expect(server.requests[0]).toMatch(/^POST \/path\?a=b HTTP\/1\.1\r\n/);
    expect(server.requests[0]).toMatch(/content-type: application\/x-www-form-urlencoded\r\n/i);
  });

  it('may end its answer by closing, or send it in pieces', async () => {
    const closing = await serve((challenge, socket) => {
      socket.write('HTTP/1.0 200 OK\r\n\r\n');
      for (const character of rightAnswer(challenge, SECOND)) socket.write(character);
      socket.end();
    });
    expect(Buffer.from((await fetchFrom(plain(closing))).bytes).toString('hex')).toBe(SECOND);
  });
});

describe('an answer that is none', () => {
  it.each<[string, string, PollenScript]>([
    [
      'the answer to another challenge',
      'ERR_POLLEN_ANSWER',
      (_, socket) => socket.end(response(200, rightAnswer('x'))),
    ],
    [
      '257 bytes',
      'ERR_POLLEN_ANSWER',
      (challenge, socket) => socket.end(response(200, rightAnswer(challenge).slice(0, -1))),
    ],
    [
      '259 bytes',
      'ERR_POLLEN_ANSWER',
      (challenge, socket) => socket.end(response(200, `${rightAnswer(challenge)}\n`)),
    ],
    [
      'no second line',
      'ERR_POLLEN_ANSWER',
      (challenge, socket) => socket.end(response(200, `${firstLine(challenge)}\n`)),
    ],
    ['nothing', 'ERR_POLLEN_ANSWER', (_, socket) => socket.end(response(200, ''))],
    [
      'a redirect',
      'ERR_UPSTREAM_STATUS',
      (_, socket) => socket.end(response(302, '', 'Location: http://127.0.0.1:9/\r\n')),
    ],
    ['404', 'ERR_UPSTREAM_STATUS', (challenge, socket) => socket.end(response(404, rightAnswer(challenge)))],
    ['204', 'ERR_UPSTREAM_STATUS', (_, socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n')],
    ['503', 'ERR_UPSTREAM_NOT_READY', (_, socket) => socket.end(response(503, 'no', 'Retry-After: 7\r\n'))],
    ['429', 'ERR_QUOTA', (_, socket) => socket.end(response(429, 'no', 'Retry-After: 7\r\n'))],
    ['another protocol', 'ERR_UPSTREAM_PROTOCOL', (_, socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    [
      'headers without end',
      'ERR_UPSTREAM_PROTOCOL',
      (_, socket) => socket.write(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(5_000)}`),
    ],
    [
      'an upgrade',
      'ERR_UPSTREAM_PROTOCOL',
      (_, socket) => socket.end('HTTP/1.1 101 Switching\r\nUpgrade: h\r\nConnection: upgrade\r\n\r\n'),
    ],
    [
      'a broken off body',
      'ERR_UPSTREAM_UNREACHABLE',
      (_, socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 258\r\n\r\nabc'),
    ],
    ['a closed connection', 'ERR_UPSTREAM_UNREACHABLE', (_, socket) => socket.destroy()],
  ])('%s', async (_, code, script) => {
    for (const over of ['http', 'https']) {
      const server = await serve(script, over === 'https' ? { tls: certificate } : {});
      const fetching = fetchFrom(over === 'https' ? pinned(server) : plain(server));
      expect(await caught(fetching), over).toMatchObject({ code });
      expect(server.connections, over).toBe(1);
    }
  });

  it('says when to ask again', async () => {
    for (const status of [429, 503]) {
      const server = await serve((_, socket) => socket.end(response(status, '', 'Retry-After: 7\r\n')));
      expect(await caught(fetchFrom(plain(server)))).toMatchObject({ retryAfterMs: 7_000 });
    }
  });

  it('is never read to its end when it has none', async () => {
    let written = 0;
    const server = await serve((challenge, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n\r\n${rightAnswer(challenge)}`);
      const more = (): void => {
        while (!socket.destroyed && socket.write('x'.repeat(1_024))) written += 1_024;
      };
      socket.on('drain', more);
      more();
    });
    expect(await caught(fetchFrom(plain(server)))).toMatchObject({ code: 'ERR_POLLEN_ANSWER' });
    expect(written).toBeLessThan(16_777_216);
  });

  it('drips no longer than the deadline', async () => {
    const server = await serve((challenge, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 258\r\n\r\n');
      const characters = rightAnswer(challenge).split('');
      const timer = setInterval(() => {
        if (socket.destroyed) clearInterval(timer);
        else socket.write(characters.shift() ?? '');
      }, 20);
    });
    const startedMs = performance.now();
    expect(await caught(fetchFrom(plain(server), { deadlineMs: 300 }))).toMatchObject({
      code: 'ERR_DEADLINE',
    });
    expect(performance.now() - startedMs).toBeLessThan(3_000);
  });

  it('is waited for no longer than the deadline, nor after a signal, at any stage', async () => {
    const silent = await serve(() => undefined);
    const silentTls = await serve(() => undefined, { tls: certificate });
    // TLS is spoken to a server that says nothing: the handshake hangs.
    const stuck = { ...pinned(silent) };
    for (const server of [plain(silent), pinned(silentTls), stuck]) {
      expect(await caught(fetchFrom(server, { deadlineMs: 200 }))).toMatchObject({ code: 'ERR_DEADLINE' });
      const stopping = new AbortController();
      const fetching = caught(fetchFrom(server, { signal: stopping.signal }));
      stopping.abort();
      expect(await fetching).toMatchObject({ code: 'ERR_STOPPED' });
      expect(await caught(fetchFrom(server, { signal: AbortSignal.abort() }))).toMatchObject({
        code: 'ERR_STOPPED',
      });
    }
  });
});

describe('over TLS', () => {
  it('the certificate is of the CA that was named, and for the host that is asked', async () => {
    const server = await serve(answering, { tls: certificate });
    expect(await fetchFrom(pinned(server))).toMatchObject({ protocol: 'TLSv1.3' });

    const other = await testAuthority();
    const wrongCa = { ...pinned(server), ca: Buffer.from(other.pem) };
    expect(await caught(fetchFrom(wrongCa))).toMatchObject({ code: 'ERR_UPSTREAM_CERTIFICATE' });
    const noCa = { url: pinned(server).url };
    expect(await caught(fetchFrom(noCa))).toMatchObject({ code: 'ERR_UPSTREAM_CERTIFICATE' });
    const wrongHost = { ...pinned(server), url: new URL(`https://127.0.0.1:${server.port}/`) };
    expect(await caught(fetchFrom(wrongHost))).toMatchObject({ code: 'ERR_UPSTREAM_NAME' });
    // Nobody who is not known hears a byte of ours.
    expect(server.requests).toHaveLength(1);
  });

  it('an expired certificate is refused', async () => {
    const names = [{ type: 'dns' as const, value: 'localhost' }];
    const old = await authority.make({ role: 'relay', names, notAfter: new Date(Date.now() - 1_000) });
    const server = await serve(answering, { tls: old });
    expect(await caught(fetchFrom(pinned(server)))).toMatchObject({ code: 'ERR_UPSTREAM_CERTIFICATE' });
  });

  it('1.2 is let through, with ephemeral keys and authenticated encryption alone', async () => {
    const old = (ciphers?: string) =>
      serve(answering, { tls: { ...rsa, maxVersion: 'TLSv1.2', ...(ciphers !== undefined && { ciphers }) } });
    const rsa = rsaCertificate();
    const trust = { ca: rsa.cert };
    const modern = await old();
    expect(await fetchFrom({ ...pinned(modern), ...trust })).toMatchObject({ protocol: 'TLSv1.2' });
    for (const ciphers of ['AES256-GCM-SHA384', 'ECDHE-RSA-AES256-SHA']) {
      const weak = { ...pinned(await old(ciphers)), ...trust };
      expect(await caught(fetchFrom(weak)), ciphers).toMatchObject({
        code: expect.stringMatching(/ERR_UPSTREAM_(PROTOCOL|REFUSED_US)/) as string,
      });
    }
    const older = await serve(answering, {
      tls: { ...rsa, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    });
    expect(await caught(fetchFrom({ ...pinned(older), ...trust }))).toMatchObject({
      code: 'ERR_UPSTREAM_PROTOCOL',
    });
  });

  it('plain HTTP spoken to it is no answer, nor TLS to plain HTTP', async () => {
    const secure = await serve(answering, { tls: certificate });
    expect(await caught(fetchFrom(plain(secure)))).toMatchObject({ action: 'go-on-without' });
    const clear = await serve((_, socket) => socket.end(response(200, 'x')));
    expect(await caught(fetchFrom(pinned(clear), { deadlineMs: 500 }))).toMatchObject({
      action: 'go-on-without',
    });
  });

  it('a server that wants a certificate of ours refuses us', async () => {
    const server = await serve(answering, {
      tls: {
        ...certificate,
        ca: authority.pem,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.3',
      },
    });
    expect(await caught(fetchFrom(pinned(server)))).toMatchObject({
      code: expect.stringMatching(/ERR_UPSTREAM_(REFUSED_US|UNREACHABLE)/) as string,
    });
  });

  it('a hybrid key exchange is asked for when it must be', async () => {
    const server = await serve(answering, { tls: { ...certificate, ecdhCurve: 'X25519' } });
    const fetching = caught(fetchFrom({ ...pinned(server), requireHybrid: true }));
    expect(await fetching).toMatchObject({ action: 'go-on-without' });
    expect(server.requests).toHaveLength(0);
  });
});

/** Old servers have RSA: self-signed, for localhost. */
function rsaCertificate(): { cert: Buffer; key: Buffer } {
  const request = 'req -x509 -newkey rsa:2048 -nodes -keyout - -out - -days 2 -subj /CN=localhost';
  const pem = execFileSync('openssl', [...request.split(' '), '-addext', 'subjectAltName=DNS:localhost'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const cut = pem.indexOf('-----BEGIN CERTIFICATE-----');
  return { cert: pem.subarray(cut), key: pem.subarray(0, cut) };
}
