import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestAuthority, testAuthority } from '../../identity/made-certificates.fixture.js';
import { systemEnvironment } from '../../local/environment.js';
import { testNode } from '../context.fixture.js';
import { ask, form } from './client.fixture.js';
import { pollenOutlet } from './pollen.js';
import { loadServerFiles } from '../../wire/server-files.js';

const environment = systemEnvironment();

let folder: string;
let authority: TestAuthority;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-pollen-'));
  authority = await testAuthority();
  // A server that is nobody among lamplighters.
  const { cert, key } = await authority.make({ role: 'relay', names: [{ type: 'dns', value: 'localhost' }] });
  await write('server.pem', cert);
  await write('server.key', key, 0o600);
  await write('clients.pem', authority.pem);
});

afterEach(() => rm(folder, { recursive: true }));

const at = (name: string): string => join(folder, name);
const files = () => ({ cert: at('server.pem'), key: at('server.key') });

async function write(name: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  await writeFile(at(name), content);
  await chmod(at(name), mode);
}

describe('the certificate of a pollen server', () => {
  it('is anybody’s: no lamplighter identity is needed', async () => {
    const { cert, key, clientCa } = await loadServerFiles(files(), environment);
    expect(cert.toString()).toContain('BEGIN CERTIFICATE');
    expect(key.toString()).toContain('PRIVATE KEY');
    expect(clientCa).toBeUndefined();
  });

  it('may stand in one file with its key, which is not handed on with it', async () => {
    const { cert, key } = await authority.make();
    await write('both.pem', `${key.toString()}\n${cert.toString()}`, 0o600);
    const material = await loadServerFiles({ cert: at('both.pem'), key: at('both.pem') }, environment);
    expect(material.cert.toString()).not.toContain('PRIVATE KEY');
  });

  it('is sent with all that follows it', async () => {
    const { cert } = await loadServerFiles(files(), environment);
    await write('chain.pem', Buffer.concat([cert, Buffer.from(authority.pem)]));
    const chain = await loadServerFiles({ ...files(), cert: at('chain.pem') }, environment);
    expect(chain.cert.toString().match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });

  it.each([
    ['a key that others may read', () => chmod(at('server.key'), 0o640), 'ERR_KEY_FILE'],
    [
      'the key of another',
      async () => write('server.key', (await authority.make()).key, 0o600),
      'ERR_KEY_FILE',
    ],
    ['a key that is none', () => write('server.key', 'key', 0o600), 'ERR_KEY_FILE'],
    ['no key', () => rm(at('server.key')), 'ERR_KEY_FILE'],
    ['no certificate', () => rm(at('server.pem')), 'ERR_CERTIFICATE_FILE'],
    ['a certificate that is none', () => write('server.pem', 'certificate'), 'ERR_CERTIFICATE_FILE'],
    [
      'a damaged certificate',
      () => write('server.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      'ERR_CERTIFICATE_FILE',
    ],
    ['a file of 2 MiB', () => write('server.pem', Buffer.alloc(2_097_152)), 'ERR_CERTIFICATE_FILE'],
    [
      'a pipe that nobody writes to',
      async () => {
        await rm(at('server.pem'));
        execFileSync('mkfifo', [at('server.pem')]);
      },
      'ERR_CERTIFICATE_FILE',
    ],
    [
      'an expired certificate',
      async () => {
        const { cert, key } = await authority.make({ notAfter: new Date(Date.now() - 1_000) });
        await write('server.pem', cert);
        await write('server.key', key, 0o600);
      },
      'ERR_CERTIFICATE_FILE',
    ],
    [
      'a client CA that is none',
      async () => write('clients.pem', (await authority.make()).cert),
      'ERR_CERTIFICATE_FILE',
    ],
  ])('is refused for %s', async (_, damage, code) => {
    await damage();
    const loading = loadServerFiles({ ...files(), clientCa: at('clients.pem') }, environment);
    await expect(loading).rejects.toMatchObject({ code, hint: expect.any(String) as string });
  });

  it('lets in, with a CA for clients, every certificate of that CA and nobody else', async () => {
    const outlet = pollenOutlet({
      name: 'pollen',
      https: { host: '127.0.0.1', port: 0, ...files(), clientCa: at('clients.pem') },
      perMinute: 100,
      environment,
      tls: () => {
        throw new Error('it has a certificate of its own');
      },
    });
    const node = testNode();
    node.seed();
    await outlet.start(node.context, new AbortController().signal);
    try {
      const port = Number(String(outlet.status().details['https']).split(':').at(-1));
      const trust = { ca: authority.pem, servername: 'localhost' };
      // No identity of ours: any certificate of the CA that is good for a client.
      const client = await authority.make({ role: 'machine', names: [{ type: 'dns', value: 'web-1' }] });
      expect((await ask(port, { ...form('abc'), tls: { ...trust, ...client } })).status).toBe(200);
      expect(outlet.status().details['clientsOverHttps']).toBe('with a certificate');
      await expect(ask(port, { ...form('abc'), tls: trust })).rejects.toThrow();
      const stranger = await (await testAuthority()).make({ role: 'machine' });
      await expect(ask(port, { ...form('abc'), tls: { ...trust, ...stranger } })).rejects.toThrow();
      expect(outlet.status().details['answers']).toBe(1);

      // A reload that fails leaves what was.
      await rm(at('server.key'));
      await expect(outlet.reloadTls()).rejects.toMatchObject({ code: 'ERR_KEY_FILE' });
      expect((await ask(port, { ...form('abc'), tls: { ...trust, ...client } })).status).toBe(200);
    } finally {
      await outlet.stop(0);
    }
  });
});
