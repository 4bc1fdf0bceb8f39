import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../needs.fixture.js';
import { createAuthority, issueCertificate } from './authority.js';
import type { NewCertificate } from './certificate-request.js';
import { identityOfCertificate, ROLES, SERVER_ROLES, type Role } from './roles.js';
import { loadTlsFiles } from './tls-files.js';

const run = promisify(execFile);
const day = 86_400_000;

let folder = '';
let authorityDirectory = '';
let outDirectory = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
  authorityDirectory = join(folder, 'ca');
  outDirectory = join(folder, 'out');
});
afterEach(() => fs.rm(folder, { recursive: true }));

async function modeOf(path: string): Promise<string> {
  return ((await fs.stat(path)).mode & 0o777).toString(8);
}

async function certificateIn(path: string): Promise<X509Certificate> {
  return new X509Certificate(await fs.readFile(path));
}

function issue(request: Partial<NewCertificate> & { role: Role }): ReturnType<typeof issueCertificate> {
  const addresses = SERVER_ROLES.includes(request.role) ? { ip: ['127.0.0.1'] } : {};
  return issueCertificate({ authorityDirectory, outDirectory, name: 'one', ...addresses, ...request });
}

describe('createAuthority', () => {
  it('writes a certificate for ten years and a key that nobody else may read', async () => {
    const { certificate, key, notAfter } = await createAuthority({
      directory: authorityDirectory,
      name: 'My-CA 1.x',
    });
    expect([certificate, key]).toEqual([
      join(authorityDirectory, 'ca.pem'),
      join(authorityDirectory, 'ca.key'),
    ]);
    expect(await modeOf(authorityDirectory)).toBe('700');
    expect(await modeOf(key)).toBe('600');
    expect((await fs.readdir(authorityDirectory)).sort()).toEqual(['ca.key', 'ca.pem', 'trust.json']);
    const made = await certificateIn(certificate);
    expect(made.ca).toBe(true);
    expect(made.verify(made.publicKey)).toBe(true);
    expect(made.checkPrivateKey(createPrivateKey(await fs.readFile(key)))).toBe(true);
    expect(made.publicKey.asymmetricKeyType).toBe('ed25519');
    expect(made.toLegacyObject().subject).toEqual({ CN: 'My-CA 1.x' });
    expect(notAfter.getTime() - Date.now()).toBeGreaterThan(3_649 * day);
    expect(Date.parse(made.validFrom)).toBeLessThanOrEqual(Date.now() - 4 * 60_000);
  });

  it.each(['ca.pem', 'ca.key', 'trust.json'])('touches nothing when there is a %s', async (file) => {
    await fs.mkdir(authorityDirectory);
    await fs.writeFile(join(authorityDirectory, file), 'precious');
    await expect(createAuthority({ directory: authorityDirectory })).rejects.toMatchObject({
      code: 'ERR_CA_EXISTS',
    });
    expect(await fs.readdir(authorityDirectory)).toEqual([file]);
    expect(await fs.readFile(join(authorityDirectory, file), 'utf8')).toBe('precious');
  });

  it('says when it cannot write', async () => {
    await fs.writeFile(authorityDirectory, 'a file');
    await expect(createAuthority({ directory: authorityDirectory })).rejects.toMatchObject({
      code: 'ERR_CA_FILE',
    });
  });

  it.each([{ name: '' }, { name: 'a\nb' }, { name: 'a, O=b' }, { name: '#1' }])('refuses %j', async (bad) => {
    const made = createAuthority({ directory: authorityDirectory, ...bad });
    await expect(made).rejects.toMatchObject({ code: 'ERR_USAGE' });
    await expect(fs.stat(authorityDirectory)).rejects.toThrow('ENOENT');
  });
});

describe('issueCertificate', () => {
  beforeEach(async () => {
    await createAuthority({ directory: authorityDirectory });
  });

  it.each(ROLES)('makes what a %s needs, and loadTlsFiles takes it', async (role) => {
    const { certificate, key, ca, notAfter } = await issue({ role, name: 'name-1.x' });
    const tls = await loadTlsFiles({ ca, cert: certificate, key });
    expect(tls.identity).toMatchObject({ role, name: 'name-1.x' });
    expect(Math.abs(tls.notAfter.getTime() - notAfter.getTime())).toBeLessThan(1_000);
    expect(Math.abs(notAfter.getTime() - Date.now() - 30 * day)).toBeLessThan(60_000);
    const made = await certificateIn(certificate);
    const server = SERVER_ROLES.includes(role);
    expect(made.subjectAltName).toBe(
      `URI:lamplighter:${role}/name-1.x${server ? ', IP Address:127.0.0.1' : ''}`,
    );
    const clientAuth = '1.3.6.1.5.5.7.3.2';
    expect(made.keyUsage).toEqual(server ? ['1.3.6.1.5.5.7.3.1', clientAuth] : [clientAuth]);
    expect(made.ca).toBe(false);
    expect(made.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
    expect(await modeOf(outDirectory)).toBe('700');
    expect(await modeOf(key)).toBe('600');
    expect((await fs.readdir(outDirectory)).sort()).toEqual(['ca.pem', 'name-1.x.key', 'name-1.x.pem']);
    expect(await fs.readFile(ca)).toEqual(await fs.readFile(join(authorityDirectory, 'ca.pem')));
  });

  it('writes every name and address', async () => {
    const { certificate } = await issue({
      role: 'relay',
      dns: ['a.example', 'localhost'],
      ip: ['::1', '192.0.2.1'],
    });
    expect((await certificateIn(certificate)).subjectAltName).toBe(
      'URI:lamplighter:relay/one, DNS:a.example, DNS:localhost, IP Address:0:0:0:0:0:0:0:1, IP Address:192.0.2.1',
    );
  });

  it('writes several certificates into one directory, each with its own key and serial', async () => {
    const paths = await Promise.all(
      ['a', 'b'].map((name) => issue({ role: 'machine', name, outDirectory: join(outDirectory, name) })),
    );
    const third = await issue({ role: 'machine', name: 'c', outDirectory: join(outDirectory, 'a') });
    const made = await Promise.all([...paths, third].map(({ certificate }) => certificateIn(certificate)));
    expect(new Set(made.map(({ serialNumber }) => serialNumber)).size).toBe(3);
    expect(new Set(made.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }))).size).toBe(
      3,
    );
  });

  it('replaces nothing unless told to', async () => {
    const { certificate, key } = await issue({ role: 'machine' });
    const before = await Promise.all([fs.readFile(certificate), fs.readFile(key)]);
    await expect(issue({ role: 'machine' })).rejects.toMatchObject({ code: 'ERR_FILE_EXISTS' });
    expect(await Promise.all([fs.readFile(certificate), fs.readFile(key)])).toEqual(before);
    await issue({ role: 'machine', overwrite: true });
    const after = await Promise.all([fs.readFile(certificate), fs.readFile(key)]);
    expect(after[0]).not.toEqual(before[0]);
    expect(after[1]).not.toEqual(before[1]);
    expect(await modeOf(key)).toBe('600');
    expect((await fs.readdir(outDirectory)).sort()).toEqual(['ca.pem', 'one.key', 'one.pem']);
  });

  it('does not put another CA beside certificates of the first', async () => {
    await issue({ role: 'machine', name: 'a' });
    const other = join(folder, 'other');
    await createAuthority({ directory: other });
    const mixed = issue({ role: 'machine', name: 'b', authorityDirectory: other });
    await expect(mixed).rejects.toMatchObject({
      code: 'ERR_FILE_EXISTS',
      message: `${join(outDirectory, 'ca.pem')} is there already`,
    });
    expect((await fs.readdir(outDirectory)).sort()).toEqual(['a.key', 'a.pem', 'ca.pem']);
  });

  it.each<Partial<NewCertificate> & { role: Role }>([
    { role: 'relay', ip: [] },
    { role: 'office', dns: [], ip: [] },
    { role: 'machine', dns: ['localhost'] },
    { role: 'service', ip: ['127.0.0.1'] },
    { role: 'admin', dns: ['localhost'] },
    { role: 'machine', name: 'ca' },
    { role: 'machine', name: '../x' },
    { role: 'machine', name: 'A' },
    { role: 'machine', name: '' },
    { role: 'relay', dns: ['x, URI:lamplighter:admin/x'] },
    { role: 'relay', dns: ['*.example'] },
    { role: 'relay', dns: ['127.0.0.1'] },
    { role: 'relay', dns: ['a..b'] },
    { role: 'relay', ip: ['localhost'] },
    { role: 'relay', ip: ['fe80::1%eth0'] },
  ])('refuses %j and writes nothing', async (bad) => {
    await expect(issue(bad)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    await expect(fs.stat(outDirectory)).rejects.toThrow('ENOENT');
  });

  it('tells a server what it lacks', async () => {
    const error = issue({ role: 'relay', ip: [] });
    await expect(error).rejects.toMatchObject({
      message: 'a certificate for role relay needs at least one --dns or --ip',
      hint: 'say what its clients connect to',
    });
  });

  it('never outlives its CA', async () => {
    const short = join(folder, 'short');
    const { notAfter } = await createAuthority({ directory: short, lifeMs: day });
    const issued = await issue({ role: 'machine', authorityDirectory: short });
    expect(issued.notAfter.getTime()).toBeLessThanOrEqual(notAfter.getTime());
  });

  it('needs a CA that is there, whole and private', async () => {
    const none = issue({ role: 'machine', authorityDirectory: join(folder, 'none') });
    await expect(none).rejects.toMatchObject({
      code: 'ERR_CA_FILE',
      hint: expect.stringContaining('lamplighter ca init') as string,
    });
    const key = join(authorityDirectory, 'ca.key');
    await fs.chmod(key, 0o644);
    await expect(issue({ role: 'machine' })).rejects.toMatchObject({
      code: 'ERR_CA_FILE',
      hint: expect.stringContaining('chmod 600') as string,
    });
    await createAuthority({ directory: join(folder, 'other') });
    await fs.copyFile(join(folder, 'other', 'ca.key'), key);
    await fs.chmod(key, 0o600);
    await expect(issue({ role: 'machine' })).rejects.toMatchObject({
      code: 'ERR_CA_FILE',
      message: expect.stringContaining('is not the key of') as string,
    });
    await fs.writeFile(join(authorityDirectory, 'ca.pem'), 'nothing');
    await expect(issue({ role: 'machine' })).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    await expect(fs.stat(outDirectory)).rejects.toThrow('ENOENT');
  });

  it('says when it cannot write', async () => {
    await fs.writeFile(outDirectory, 'a file');
    await expect(issue({ role: 'machine' })).rejects.toMatchObject({ code: 'ERR_CERTIFICATE_FILE' });
  });
});

needs('openssl')('openssl agrees', () => {
  beforeEach(async () => {
    await createAuthority({ directory: authorityDirectory });
  });

  async function openssl(...args: string[]): Promise<string> {
    const { stdout, stderr } = await run('openssl', args);
    return stdout + stderr;
  }

  it('with the CA: what it may sign, and nothing else', async () => {
    const text = await openssl('x509', '-in', join(authorityDirectory, 'ca.pem'), '-noout', '-text');
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(text).toContain('Subject Key Identifier');
    expect(text).toContain('Public Key Algorithm: ED25519');
  });

  it.each(ROLES)('with a certificate for %s: whom it may be, and for what', async (role) => {
    const { certificate, ca, key } = await issue({ role });
    const text = await openssl('x509', '-in', certificate, '-noout', '-text');
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text).toContain(`URI:lamplighter:${role}/one`);
    const keyId = /Subject Key Identifier:\s+([0-9A-F:]+)/.exec(
      await openssl('x509', '-in', ca, '-noout', '-text'),
    )?.[1];
    expect(text).toMatch(new RegExp(`Authority Key Identifier:\\s+(keyid:)?${keyId ?? 'none'}`));
    const verify = (purpose: string): Promise<string> =>
      openssl('verify', '-x509_strict', '-CAfile', ca, '-purpose', purpose, certificate);
    expect(await verify('sslclient')).toContain('OK');
    if (SERVER_ROLES.includes(role)) expect(await verify('sslserver')).toContain('OK');
    else await expect(verify('sslserver')).rejects.toThrow('unsuitable certificate purpose');
    expect(await openssl('pkey', '-in', key, '-noout', '-text')).toContain('ED25519 Private-Key');
    expect(await fs.readFile(key, 'latin1')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  });
});

it('knows who it has issued a certificate to', async () => {
  await createAuthority({ directory: authorityDirectory });
  const { certificate } = await issue({ role: 'service', name: 'shop' });
  expect(identityOfCertificate(await certificateIn(certificate))).toMatchObject({
    role: 'service',
    name: 'shop',
  });
});
