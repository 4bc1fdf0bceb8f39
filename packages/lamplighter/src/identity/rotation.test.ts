import { createPrivateKey, X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import tls from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Authority, createAuthority, issueCertificate } from './authority.js';
import { newKey } from './certificate.js';
import { MortalFileSystem } from './power-cut.fixture.js';
import { rotate } from './rotation.js';
import { nextStep, type RotationStep } from './rotation-state.js';
import { rotationStatus } from './rotation-status.js';
import { loadTlsFiles } from './tls-files.js';
import { acceptTrust, readTrustFile } from './trust-list.js';

const STEPS: readonly RotationStep[] = ['begin', 'switch', 'finish'];
/** More than any step changes. */
const MOST_CHANGES = 60;

let folder = '';
let ca = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
  ca = join(folder, 'ca');
  await createAuthority({ directory: ca });
});
afterEach(async () => {
  vi.useRealTimers();
  await fs.rm(folder, { recursive: true });
});

const path = (...names: string[]): string => join(folder, ...names);
const caPem = (): Promise<Buffer> => fs.readFile(join(ca, 'ca.pem'));

async function issue(name: string, role: 'machine' | 'relay' = 'machine'): Promise<void> {
  const addresses = role === 'relay' ? { ip: ['127.0.0.1'] } : {};
  const request = { authorityDirectory: ca, outDirectory: path(name), name, role, ...addresses };
  await issueCertificate({ ...request, overwrite: true });
}

async function rotateTo(last: RotationStep): Promise<void> {
  for (const step of STEPS.slice(0, STEPS.indexOf(last) + 1)) await rotate(ca, step, { force: true });
}

describe('a rotation', () => {
  it('goes from one root to two, to the other, to one, and nothing of it is left behind', async () => {
    const before = await Authority.open(ca);
    const hashes = [];
    for (const step of STEPS) {
      const { sequence } = await rotate(ca, step);
      const authority = await Authority.open(ca);
      hashes.push(authority.keyHash.toString('hex'));
      expect(authority.trust().sequence).toBe(sequence);
      expect(readTrustFile(await caPem())).toMatchObject({
        sequence,
        roots: { length: step === 'finish' ? 1 : 2 },
      });
      // The signer stands first, but for a begin it is the old one.
      expect(
        authority.roots[0]?.checkPrivateKey(createPrivateKey(await fs.readFile(join(ca, 'ca.key')))),
      ).toBe(true);
      for (const key of ['ca.key', 'next.key', 'previous.key']) {
        const mode = await fs.stat(join(ca, key)).then(
          ({ mode }) => mode & 0o777,
          () => 0o600,
        );
        expect(mode).toBe(0o600);
      }
    }
    const old = before.keyHash.toString('hex');
    expect(hashes).toEqual([old, expect.not.stringMatching(old), hashes[1]]);
    expect((await fs.readdir(ca)).sort()).toEqual(['ca.key', 'ca.pem', 'trust.json']);
  });

  it('can be done again and again', async () => {
    for (let round = 0; round < 3; round++) await rotateTo('finish');
    expect(await rotationStatus(ca)).toMatchObject({ phase: 'none', sequence: 10 });
  });

  it('gives lists that whoever trusts the CA follows, and that nobody else does', async () => {
    const start = await caPem();
    const other = path('other');
    await createAuthority({ directory: other });
    let held = start;
    for (const step of STEPS) {
      await rotate(ca, step);
      const document = (await Authority.open(ca)).trust();
      const accepted = acceptTrust(held, document);
      expect(accepted).toBe((await caPem()).toString());
      held = Buffer.from(accepted ?? '');
      const foreign = await fs.readFile(join(other, 'ca.pem'));
      expect(() => acceptTrust(foreign, document)).toThrow(
        expect.objectContaining({ code: 'ERR_TRUST' }) as Error,
      );
    }
    // Who missed all of it trusts nothing that is left.
    const last = (await Authority.open(ca)).trust();
    expect(() => acceptTrust(start, last)).toThrow(expect.objectContaining({ code: 'ERR_TRUST' }) as Error);
  });

  it('refuses every step in the wrong order, and changes nothing', async () => {
    for (const next of STEPS) {
      const before = await contents();
      for (const step of STEPS.filter((each) => each !== next)) {
        await expect(rotate(ca, step, { force: true })).rejects.toMatchObject({
          code: 'ERR_ROTATION',
          hint: expect.stringContaining(`--${next}`) as string,
        });
      }
      expect(await contents()).toEqual(before);
      await rotate(ca, next);
    }
  });

  it('waits for whoever has not renewed, unless forced', async () => {
    for (const name of ['a', 'b']) await issue(name);
    await rotate(ca, 'begin');
    expect(await rotationStatus(ca)).toMatchObject({ waiting: 2, waitingNames: ['machine/a', 'machine/b'] });
    await expect(rotate(ca, 'switch')).rejects.toMatchObject({
      code: 'ERR_ROTATION',
      message: expect.stringContaining('machine/a, machine/b') as string,
    });
    await issue('a');
    expect((await rotationStatus(ca)).waitingNames).toEqual(['machine/b']);
    await issue('b');
    await rotate(ca, 'switch');
    expect((await rotationStatus(ca)).waiting).toBe(2);
    await issue('a');
    await expect(rotate(ca, 'finish')).rejects.toMatchObject({ code: 'ERR_ROTATION' });
    expect((await rotationStatus(ca)).waitingUntil?.getTime()).toBeGreaterThan(Date.now());
    expect((await rotate(ca, 'finish', { force: true })).phase).toBe('none');
  });

  it('does not wait for certificates that have expired', async () => {
    const { spki } = newKey();
    const authority = await Authority.open(ca);
    const short = await authority.issue({ spki, role: 'machine', name: 'x', lifeMs: 1_000, how: 'renew' });
    await rotate(ca, 'begin');
    vi.useFakeTimers({ toFake: ['Date'], now: short.notAfter.getTime() - 1 });
    await expect(rotate(ca, 'switch')).rejects.toMatchObject({ code: 'ERR_ROTATION' });
    vi.setSystemTime(short.notAfter);
    expect((await rotate(ca, 'switch')).phase).toBe('switched');
  });

  it('counts the tokens that a switch makes useless', async () => {
    await fs.mkdir(join(ca, 'tokens'));
    for (const name of ['a.json', 'b.json', 'a.use-0', 'c.revoked'])
      await fs.writeFile(join(ca, 'tokens', name), '');
    expect((await rotate(ca, 'begin')).tokens).toBe(2);
  });

  it('takes a folder from before there were lists', async () => {
    const pem = (await caPem()).toString().replace(/^#.*\n/, '');
    await fs.writeFile(join(ca, 'ca.pem'), pem);
    await fs.rm(join(ca, 'trust.json'));
    const document = (await Authority.open(ca)).trust();
    expect(document.sequence).toBe(1);
    expect(acceptTrust(Buffer.from(pem), document)).toMatch(/^# lamplighter trust 1\n/);
    await issue('a');
    await rotateTo('finish');
    expect(await rotationStatus(ca)).toMatchObject({ phase: 'none', sequence: 4 });
  });

  it('lets two who begin at once make one rotation', async () => {
    await Promise.allSettled([rotate(ca, 'begin'), rotate(ca, 'begin'), rotate(ca, 'begin')]);
    const status = await rotationStatus(ca);
    if (status.unfinished !== undefined) await rotate(ca, status.unfinished);
    expect(await rotationStatus(ca)).toMatchObject({ phase: 'begun', unfinished: undefined, sequence: 2 });
    await rotate(ca, 'switch');
    expect((await Authority.open(ca)).roots).toHaveLength(2);
  });

  it('never puts another key in the place of the old one’s second name', async () => {
    await rotate(ca, 'begin');
    const stranger = newKey();
    await fs.writeFile(join(ca, 'previous.key'), stranger.pem, { mode: 0o600 });
    const key = await fs.readFile(join(ca, 'ca.key'));
    await expect(rotate(ca, 'switch')).rejects.toMatchObject({ code: 'ERR_ROTATION' });
    expect(await fs.readFile(join(ca, 'ca.key'))).toEqual(key);
  });
});

describe.each(STEPS)('a death in the middle of %s', (step) => {
  it(
    'leaves, after whichever change, a CA that works and whose status says what to do',
    { timeout: 120_000 },
    async () => {
      const before = STEPS.slice(0, STEPS.indexOf(step));
      for (const each of before) await rotate(ca, each);
      await fs.cp(ca, path('start'), { recursive: true });
      let deaths = 0;
      for (let most = 0; most < MOST_CHANGES; most++) {
        await fs.rm(ca, { recursive: true });
        await fs.cp(path('start'), ca, { recursive: true });
        const disk = new MortalFileSystem(most);
        const done = await rotate(ca, step, { fs: disk.fs }).then(
          () => true,
          () => false,
        );
        if (done && !disk.isDead) break;
        deaths += 1;
        // Issues, and what it issues is good to whoever has the list of before or after.
        const authority = await Authority.open(ca);
        await issue('during');
        const cert = path('during', 'during.pem');
        await loadTlsFiles({ ca: path('during', 'ca.pem'), cert, key: path('during', 'during.key') });
        const issued = new X509Certificate(await fs.readFile(cert));
        const known = readTrustFile(await fs.readFile(path('start', 'ca.pem'))).roots;
        expect([...known, ...authority.roots].some((root) => issued.verify(root.publicKey))).toBe(true);
        if (step !== 'begin') expect(known.some((root) => issued.verify(root.publicKey))).toBe(true);
        await fs.rm(path('during'), { recursive: true });
        await fs.rm(join(ca, 'issued.jsonl'));

        const status = await rotationStatus(ca);
        if (nextStep(status) === step) await rotate(ca, step);
        expect(nextStep(await rotationStatus(ca))).toBe(STEPS[(STEPS.indexOf(step) + 1) % 3]);
        for (const rest of STEPS.slice(STEPS.indexOf(step) + 1)) await rotate(ca, rest);
        expect(await rotationStatus(ca)).toMatchObject({ phase: 'none', unfinished: undefined, sequence: 4 });
        expect((await fs.readdir(ca)).sort()).toEqual(['ca.key', 'ca.pem', 'trust.json']);
      }
      expect(deaths).toBeGreaterThan(5);
      expect(deaths).toBeLessThan(MOST_CHANGES);
    },
  );
});

describe('TLS during a rotation, the two roots having one name', () => {
  /** Whether a client and a server with these folders talk to each other, both asking for a certificate. */
  async function talk(client: string, server: string): Promise<boolean> {
    const [ours, theirs] = await Promise.all(
      [client, server].map((name) =>
        loadTlsFiles({
          ca: path(name, 'ca.pem'),
          cert: path(name, `${name}.pem`),
          key: path(name, `${name}.key`),
        }),
      ),
    );
    const listener = tls.createServer({
      ...theirs,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    });
    listener.on('secureConnection', (socket) => socket.end('x').on('error', () => undefined));
    listener.on('tlsClientError', () => undefined);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    try {
      const address = listener.address();
      if (address === null || typeof address === 'string') throw new Error('no port');
      const socket = tls.connect({ ...ours, host: '127.0.0.1', port: address.port });
      let heard = '';
      socket.on('data', (bytes: Buffer) => (heard += bytes.toString())).on('error', () => undefined);
      await new Promise((resolve) => socket.once('close', resolve));
      return heard === 'x';
    } finally {
      listener.close();
    }
  }

  it('holds between old and new at every step, and ends with the old root', async () => {
    await issue('relay-old', 'relay');
    await issue('old');
    await rotate(ca, 'begin');
    await issue('relay-both', 'relay');
    await issue('both');
    await rotate(ca, 'switch', { force: true });
    await issue('relay-new', 'relay');
    await issue('new');
    expect(await talk('old', 'relay-old')).toBe(true);
    expect(await talk('old', 'relay-both')).toBe(true);
    expect(await talk('both', 'relay-new')).toBe(true);
    expect(await talk('new', 'relay-both')).toBe(true);
    expect(await talk('new', 'relay-new')).toBe(true);
    // Who was not given the next root: why a switch waits.
    expect(await talk('old', 'relay-new')).toBe(false);
    expect(await talk('new', 'relay-old')).toBe(false);
    await rotate(ca, 'finish', { force: true });
    await issue('last');
    expect(await talk('last', 'relay-new')).toBe(true);
    expect(await talk('last', 'relay-both')).toBe(false);
  });
});

async function contents(): Promise<Record<string, string>> {
  const names = (await fs.readdir(ca)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await fs.readFile(join(ca, name), 'latin1')])),
  ) as Record<string, string>;
}
