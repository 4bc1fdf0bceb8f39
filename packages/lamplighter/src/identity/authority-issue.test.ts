import { createHash, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Authority, createAuthority, issueCertificate, issueForRequest } from './authority.js';
import { newKeyAndCsr } from './csr.js';
import { readCsrFile, writeKeyAndCsr } from './csr-file.js';
import { readRegister } from './issued-register.js';
import { identityOfCertificate, type Role } from './roles.js';
import { rotate } from './rotation.js';
import { loadTlsFiles } from './tls-files.js';
import { readTrustFile, trustFile } from './trust-list.js';

const DAY_MS = 86_400_000;
let folder = '';
let ca = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
  ca = join(folder, 'ca');
  await createAuthority({ directory: ca });
});
afterEach(() => fs.rm(folder, { recursive: true }));

const path = (...names: string[]): string => join(folder, ...names);
const spkiOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });
const newSpki = (): Buffer => spkiOf(generateKeyPairSync('ed25519').publicKey);
const order = { role: 'machine', name: 'm', lifeMs: 60_000, how: 'renew' } as const;

async function registered(): Promise<unknown[]> {
  const entries = [];
  for await (const entry of readRegister(ca)) entries.push(entry);
  return entries;
}

describe('an opened Authority', () => {
  it('tells the hash of its key, its roots and its list', async () => {
    const authority = await Authority.open(ca);
    const root = new X509Certificate(await fs.readFile(join(ca, 'ca.pem')));
    expect(authority.keyHash).toEqual(createHash('sha256').update(spkiOf(root.publicKey)).digest());
    expect(authority.roots.map(String)).toEqual([String(root)]);
    expect(trustFile(authority.trust())).toBe(await fs.readFile(join(ca, 'ca.pem'), 'utf8'));
  });

  it.each([
    ['Ed25519', () => generateKeyPairSync('ed25519')],
    ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2_048 })],
  ])('issues for a key of %s that its holder made', async (_kind, pair) => {
    const { publicKey, privateKey } = pair();
    const made = await (await Authority.open(ca)).issue({ ...order, spki: spkiOf(publicKey) });
    const certificate = new X509Certificate(made.pem);
    expect(certificate.checkPrivateKey(privateKey)).toBe(true);
    expect(certificate.serialNumber).toBe(made.serial);
    expect(Date.parse(certificate.validTo)).toBe(made.notAfter.getTime());
    expect(identityOfCertificate(certificate)).toMatchObject({ role: 'machine', name: 'm' });
    expect(made.pem.match(/BEGIN/g)).toHaveLength(1);
  });

  it('makes certificates of a minute, which began five minutes ago', async () => {
    const { pem, notAfter } = await (await Authority.open(ca)).issue({ ...order, spki: newSpki() });
    expect(notAfter.getTime() - Date.now()).toBeLessThanOrEqual(60_000);
    expect(notAfter.getTime() - Date.now()).toBeGreaterThan(50_000);
    const begunMs = Date.now() - Date.parse(new X509Certificate(pem).validFrom);
    expect(begunMs).toBeGreaterThanOrEqual(5 * 60_000 - 1_000);
    expect(begunMs).toBeLessThan(6 * 60_000);
  });

  it('makes certificates of a century, when the CA lasts', async () => {
    const lifeMs = 36_500 * DAY_MS;
    await createAuthority({ directory: path('long'), lifeMs });
    const issued = await (await Authority.open(path('long'))).issue({ ...order, spki: newSpki(), lifeMs });
    const certificate = new X509Certificate(issued.pem);
    expect(Date.parse(certificate.validTo)).toBe(issued.notAfter.getTime());
    expect(issued.notAfter.getUTCFullYear()).toBeGreaterThan(2_100);
  });

  it('records a certificate before it leaves, and lets none leave that it cannot record', async () => {
    const authority = await Authority.open(ca);
    const { serial, notAfter } = await authority.issue({ ...order, spki: newSpki() });
    const root = authority.keyHash.toString('hex');
    expect(await registered()).toEqual([
      {
        atMs: expect.any(Number) as number,
        role: 'machine',
        name: 'm',
        how: 'renew',
        serial,
        notAfterMs: notAfter.getTime(),
        root,
        trust: 1,
      },
    ]);
    await fs.rm(join(ca, 'issued.jsonl'));
    await fs.mkdir(join(ca, 'issued.jsonl'));
    await expect(authority.issue({ ...order, spki: newSpki() })).rejects.toMatchObject({
      code: 'ERR_CA_FILE',
    });
  });

  it.each([0, 999, 1.5, Number.NaN, 36_501 * DAY_MS])('refuses a life of %d ms', async (lifeMs) => {
    const authority = await Authority.open(ca);
    await expect(authority.issue({ ...order, spki: newSpki(), lifeMs })).rejects.toThrow(RangeError);
    await expect(createAuthority({ directory: path('x'), lifeMs })).rejects.toThrow(RangeError);
    expect(await registered()).toEqual([]);
  });

  it.each<[string, (text: string) => string]>([
    ['another number', (text) => text.replace('"sequence":1', '"sequence":2')],
    ['no signature of the CA’s', (text) => text.replace(/"signature":"[^"]{4}/, '"signature":"AAAA')],
    ['garbage', () => 'garbage'],
    ['no root', (text) => JSON.stringify({ ...(JSON.parse(text) as object), roots: [] })],
  ])('is refused when its list has %s', async (_what, change) => {
    const list = join(ca, 'trust.json');
    await fs.writeFile(list, change(await fs.readFile(list, 'utf8')));
    await expect(Authority.open(ca)).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
  });

  it('is refused when its list is another CA’s', async () => {
    await createAuthority({ directory: path('other') });
    await fs.copyFile(path('other', 'trust.json'), join(ca, 'trust.json'));
    await expect(Authority.open(ca)).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
  });
});

describe('issueCertificate, as lists change', () => {
  const request = (name: string): Parameters<typeof issueCertificate>[0] => ({
    authorityDirectory: ca,
    outDirectory: path('out'),
    role: 'machine',
    name,
  });

  it('brings the ca.pem beside older certificates up to date', async () => {
    await issueCertificate(request('a'));
    await rotate(ca, 'begin');
    await issueCertificate(request('b'));
    expect(readTrustFile(await fs.readFile(path('out', 'ca.pem')))).toMatchObject({
      sequence: 2,
      roots: { length: 2 },
    });
    for (const name of ['a', 'b']) {
      const files = {
        ca: path('out', 'ca.pem'),
        cert: path('out', `${name}.pem`),
        key: path('out', `${name}.key`),
      };
      expect((await loadTlsFiles(files)).identity.name).toBe(name);
    }
  });

  it('leaves the CA’s own ca.pem alone when it issues into the CA’s folder', async () => {
    const before = await fs.stat(join(ca, 'ca.pem'));
    await issueCertificate({ ...request('a'), outDirectory: `${ca}/` });
    await issueCertificate({ ...request('a'), outDirectory: ca, overwrite: true });
    expect((await fs.stat(join(ca, 'ca.pem'))).ino).toBe(before.ino);
  });

  it('records nothing when a file is in the way', async () => {
    await issueCertificate(request('a'));
    await expect(issueCertificate(request('a'))).rejects.toMatchObject({ code: 'ERR_FILE_EXISTS' });
    expect(await registered()).toHaveLength(1);
  });
});

describe('a CA that is kept offline', () => {
  const request = (name: string, role: Role = 'machine'): Parameters<typeof issueForRequest>[0] => ({
    authorityDirectory: ca,
    outDirectory: path('back'),
    role,
    name,
  });

  it('issues for a key that never left its machine', async () => {
    const csr = await writeKeyAndCsr(path('machine'), 'm1');
    expect((await fs.stat(path('machine', 'm1.key'))).mode & 0o777).toBe(0o600);
    const { certificate, ca: trusted } = await issueForRequest(request('m1'), await readCsrFile(csr));
    expect((await fs.readdir(path('back'))).sort()).toEqual(['ca.pem', 'm1.pem']);
    const tls = await loadTlsFiles({ ca: trusted, cert: certificate, key: path('machine', 'm1.key') });
    expect(tls.identity).toMatchObject({ role: 'machine', name: 'm1' });
  });

  it('refuses a request for another name, and records and writes nothing', async () => {
    const { csrPem } = await newKeyAndCsr('root');
    await expect(issueForRequest(request('m1'), csrPem)).rejects.toMatchObject({ code: 'ERR_CSR_NAME' });
    await expect(issueForRequest(request('m1'), 'garbage')).rejects.toMatchObject({ code: 'ERR_CSR' });
    await expect(fs.stat(path('back'))).rejects.toThrow('ENOENT');
    expect(await registered()).toEqual([]);
  });

  it('never writes over a key that is there', async () => {
    await writeKeyAndCsr(path('machine'), 'm1');
    const key = await fs.readFile(path('machine', 'm1.key'));
    await expect(writeKeyAndCsr(path('machine'), 'm1')).rejects.toMatchObject({ code: 'ERR_FILE_EXISTS' });
    expect(await fs.readFile(path('machine', 'm1.key'))).toEqual(key);
    for (const name of ['ca', '../x', 'A', '']) {
      await expect(writeKeyAndCsr(path('machine'), name)).rejects.toMatchObject({ code: 'ERR_USAGE' });
    }
    await fs.writeFile(path('file'), '');
    await expect(writeKeyAndCsr(path('file'), 'm')).rejects.toMatchObject({ code: 'ERR_OUTPUT_FILE' });
  });

  it('refuses a request file that is missing, a folder, or too long', async () => {
    await fs.writeFile(path('long'), Buffer.alloc(8_193));
    for (const file of [path('none'), folder, path('long')]) {
      await expect(readCsrFile(file)).rejects.toMatchObject({ code: 'ERR_CSR' });
    }
  });
});
