import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { type MadeCertificate, SERVER_AUTH } from '../identity/made-certificates.fixture.js';
import type { Role } from '../identity/roles.js';
import { needs } from '../needs.fixture.js';
import { request, UpstreamAgent, type Upstream } from './client.js';
import {
  ask,
  authority,
  foreign,
  listening,
  machine,
  open,
  serverWith,
  textFrom,
  upstreamAt,
} from './hostile-server.fixture.js';
import { Listener } from './listener.js';
import { caught } from './raw-peer.fixture.js';

const day = 86_400_000;

describe('a server', () => {
  const servers: [string, MadeCertificate, Partial<Upstream>, string, RegExp][] = [
    ["with a machine's certificate", { role: 'machine' }, {}, 'ERR_UPSTREAM_CERTIFICATE', /INVALID_PURPOSE/],
    [
      "with a machine's certificate that node would accept",
      {
        role: 'machine',
        usages: [SERVER_AUTH],
        names: [
          { type: 'url', value: 'lamplighter:machine/m' },
          { type: 'ip', value: '127.0.0.1' },
        ],
      },
      {},
      'ERR_UPSTREAM_ROLE',
      /is machine m, and only relay/,
    ],
    [
      "with a machine's certificate for any purpose",
      {
        role: 'machine',
        usages: [],
        names: [
          { type: 'url', value: 'lamplighter:machine/m' },
          { type: 'ip', value: '127.0.0.1' },
        ],
      },
      {},
      'ERR_UPSTREAM_ROLE',
      /is machine m, and only relay/,
    ],
    [
      'with another server role than asked for',
      { role: 'office' },
      {},
      'ERR_UPSTREAM_ROLE',
      /is office test/,
    ],
    [
      'with two roles',
      {
        names: [
          { type: 'url', value: 'lamplighter:relay/a' },
          { type: 'url', value: 'lamplighter:machine/a' },
          { type: 'ip', value: '127.0.0.1' },
        ],
      },
      {},
      'ERR_UPSTREAM_ROLE',
      /nobody we know/,
    ],
    ['with no role', { names: [{ type: 'ip', value: '127.0.0.1' }] }, {}, 'ERR_UPSTREAM_ROLE', /has no role/],
    [
      'with a role hidden in a DNS name',
      {
        names: [
          { type: 'dns', value: 'x, URI:lamplighter:relay/x' },
          { type: 'ip', value: '127.0.0.1' },
        ],
      },
      {},
      'ERR_UPSTREAM_ROLE',
      /malformed/,
    ],
    [
      'with another address',
      {
        names: [
          { type: 'url', value: 'lamplighter:relay/a' },
          { type: 'ip', value: '127.0.0.2' },
        ],
      },
      {},
      'ERR_UPSTREAM_NAME',
      /no certificate for 127\.0\.0\.1/,
    ],
    [
      'with no address at all',
      { names: [{ type: 'url', value: 'lamplighter:relay/a' }] },
      {},
      'ERR_UPSTREAM_NAME',
      /no certificate for/,
    ],
    [
      'with another name than configured',
      { name: 'other' },
      { name: 'relay-1' },
      'ERR_UPSTREAM_NAME',
      /calls itself other, not relay-1/,
    ],
    [
      'whose certificate has expired',
      { notBefore: new Date(Date.now() - 2 * day), notAfter: new Date(Date.now() - day) },
      {},
      'ERR_UPSTREAM_CERTIFICATE',
      /CERT_HAS_EXPIRED/,
    ],
    [
      'whose certificate is not yet valid',
      { notBefore: new Date(Date.now() + day), notAfter: new Date(Date.now() + 2 * day) },
      {},
      'ERR_UPSTREAM_CERTIFICATE',
      /CERT_NOT_YET_VALID/,
    ],
  ];

  it.each(servers)('%s is refused before anything is sent', async (_what, certificate, more, code, text) => {
    const { port, requests } = await serverWith(certificate);
    const error = await caught(request(upstreamAt(port, more), ask));
    expect(error).toMatchObject({ code, message: expect.stringMatching(text) as string });
    expect(requests()).toBe(0);
  });

  it.each(servers)('%s is refused by an agent as well', async (_what, certificate, more, code) => {
    const { port, requests } = await serverWith(certificate);
    const upstream = upstreamAt(port, more);
    const agent = new UpstreamAgent(upstream);
    expect(await caught(request(upstream, { ...ask, agent }))).toMatchObject({ code });
    expect(requests()).toBe(0);
    agent.destroy();
  });

  it.each<[string, MadeCertificate]>([
    [
      'a host name',
      {
        names: [
          { type: 'url', value: 'lamplighter:relay/a' },
          { type: 'dns', value: 'other.example' },
        ],
      },
    ],
    [
      'a wildcard',
      {
        names: [
          { type: 'url', value: 'lamplighter:relay/a' },
          { type: 'dns', value: '*' },
        ],
      },
    ],
    ['its common name only', { name: 'localhost', names: [{ type: 'url', value: 'lamplighter:relay/a' }] }],
  ])('that matches %s is refused for a host name', async (_what, certificate) => {
    const { port } = await serverWith(certificate);
    const upstream = upstreamAt(port, {
      url: new URL(`https://localhost:${port}`),
      connect: () => net.connect(port, '127.0.0.1'),
    });
    expect(await caught(request(upstream, ask))).toMatchObject({ code: 'ERR_UPSTREAM_NAME' });
  });

  it('is accepted by host name, and by its lamplighter name whatever its address', async () => {
    const { port } = await serverWith({ role: 'relay', name: 'relay-1' });
    const byHost = upstreamAt(port, {
      url: new URL(`https://localhost:${port}`),
      connect: () => net.connect(port, '127.0.0.1'),
    });
    expect(await textFrom(byHost)).toBe('hello');
    const elsewhere = await serverWith({
      names: [
        { type: 'url', value: 'lamplighter:relay/relay-1' },
        { type: 'dns', value: 'elsewhere' },
      ],
    });
    expect(await textFrom(upstreamAt(elsewhere.port, { name: 'relay-1' }))).toBe('hello');
  });

  it('of another CA is refused, even one of the same name', async () => {
    const { cert, key } = await foreign.make({ role: 'relay' });
    const { port, requests } = await serverWith({}, { cert, key });
    const error = await caught(request(upstreamAt(port), ask));
    expect(error).toMatchObject({
      code: 'ERR_UPSTREAM_CERTIFICATE',
      message: expect.stringMatching(/\((UNABLE|CERT)_\w+\)/) as string,
    });
    expect(requests()).toBe(0);
  });

  it('that speaks TLS 1.2 only is refused', async () => {
    const { port } = await serverWith({}, { maxVersion: 'TLSv1.2' });
    expect(await caught(request(upstreamAt(port), ask))).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
  });

  it('that speaks plain HTTP is refused', async () => {
    const port = await listening(http.createServer((_request, response) => response.end('x')));
    expect(await caught(request(upstreamAt(port), ask))).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
  });

  it.each<[string, string]>([
    ['no HTTP', 'this is not HTTP\r\n\r\n'],
    ['endless headers', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
  ])('that answers with %s is refused', async (_what, text) => {
    const { cert, key } = await authority.make();
    const port = await listening(
      tls.createServer({ cert, key }, (socket) => socket.on('error', () => {}).write(text)),
    );
    expect(await caught(request(upstreamAt(port), ask))).toMatchObject({ code: 'ERR_UPSTREAM_PROTOCOL' });
  });

  it('knows every role that may answer', async () => {
    for (const role of ['office', 'relay'] satisfies Role[]) {
      const { port } = await serverWith({ role });
      expect((await request(upstreamAt(port, { roles: ['office', 'relay'] }), ask)).peer.role).toBe(role);
    }
  });
});

describe('our certificate', () => {
  async function refusedWith(certificate: Partial<Upstream['tls']>): Promise<unknown> {
    const listener = new Listener(await authority.material({ role: 'relay' }));
    open.push({ close: () => listener.stop(0) });
    const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
    return caught(request(upstreamAt(port, { tls: { ...machine, ...certificate } }), ask));
  }

  it.each<[string, () => Promise<{ cert: Buffer; key: Buffer }>]>([
    ['of another CA', () => foreign.make({ role: 'machine' })],
    [
      'expired',
      () =>
        authority.make({
          role: 'machine',
          notBefore: new Date(Date.now() - 2 * day),
          notAfter: new Date(Date.now() - day),
        }),
    ],
    [
      'not yet valid',
      () =>
        authority.make({
          role: 'machine',
          notBefore: new Date(Date.now() + day),
          notAfter: new Date(Date.now() + 2 * day),
        }),
    ],
  ])('%s: the upstream refuses us, though our handshake succeeds', async (_what, make) => {
    expect(await refusedWith(await make())).toMatchObject({ code: 'ERR_UPSTREAM_REFUSED_US' });
  });

  needs('openssl')('of another CA, as openssl sees it', () => {
    it('is refused with an alert, which is named', async () => {
      const folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
      const { cert, key } = await authority.make();
      await Promise.all([
        fs.writeFile(join(folder, 'ca.pem'), foreign.pem),
        fs.writeFile(join(folder, 'cert.pem'), cert),
        fs.writeFile(join(folder, 'key.pem'), key),
      ]);
      const flags =
        '-accept 127.0.0.1:0 -naccept 1 -Verify 1 -verify_return_error -CAfile ca.pem -cert cert.pem -key key.pem';
      const server = spawn('openssl', ['s_server', ...flags.split(' ')], {
        cwd: folder,
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      open.push({
        close: () => {
          server.kill();
          return fs.rm(folder, { recursive: true });
        },
      });
      let said = '';
      for await (const text of server.stdout.setEncoding('utf8')) {
        said += String(text);
        if (/ACCEPT .*:\d+\n/.test(said)) break;
      }
      const port = Number(/ACCEPT .*:(\d+)\n/.exec(said)?.[1]);
      const error = await caught(request(upstreamAt(port), ask));
      expect(error).toMatchObject({
        code: 'ERR_UPSTREAM_REFUSED_US',
        message: expect.stringContaining('_ALERT_') as string,
      });
    });
  });

  it('that OpenSSL cannot read leaves no connection behind', async () => {
    const port = await listening(net.createServer());
    const connect = (): net.Socket => {
      throw new Error('nothing should connect');
    };
    const tls = { ...machine, key: Buffer.from('nothing') };
    expect(await caught(request(upstreamAt(port, { tls, connect }), ask))).toMatchObject({
      code: expect.stringContaining('ERR_OSSL_') as string,
    });
  });
});
