import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate } from './authority.js';
import { parseLife } from './life.js';
import {
  removeQuota,
  revokeAllButNewest,
  revokeName,
  revokeSerial,
  setQuota,
  unrevokeName,
} from './policy-changes.js';
import { policyDirectory, readPolicy } from './policy-folder.js';
import { listPolicy, prunePolicy } from './policy-list.js';

/** Compiled: processes of their own run what users run. */
const WRITER = fileURLToPath(new URL('../../dist/identity/policy-writer.fixture.js', import.meta.url));

let ca: string;
beforeEach(async () => {
  ca = await fs.mkdtemp(join(tmpdir(), 'lamplighter-ca-'));
  await createAuthority({ directory: ca });
});
afterEach(() => fs.rm(ca, { recursive: true, force: true }));

/** @returns the serial of a certificate just issued to a machine, as node prints it */
async function issue(name: string, life = '30d'): Promise<string> {
  const { certificate } = await issueCertificate({
    authorityDirectory: ca,
    role: 'machine',
    name,
    lifeMs: parseLife(life),
    outDirectory: join(ca, 'out'),
    overwrite: true,
  });
  return new X509Certificate(await fs.readFile(certificate)).serialNumber;
}

describe('revokeName', () => {
  it('revokes the name and its certificates, and no other', async () => {
    const [one, two, other] = [await issue('web-1'), await issue('web-1'), await issue('web-11')];
    expect(await revokeName(ca, 'web-1', 'stolen')).toEqual([one, two]);
    const policy = await readPolicy(ca);
    expect(policy.revokedNames).toEqual(new Set(['web-1']));
    expect(policy.revokedSerials).toEqual(new Set([one, two]));
    expect(policy.revokedSerials.has(other)).toBe(false);
    const { entries } = await listPolicy(ca);
    expect(entries.map(({ details }) => details.reason)).toEqual(['stolen', 'stolen', 'stolen']);
    expect(entries.every(({ kind, details }) => kind === 'name' || details.notAfter !== undefined)).toBe(
      true,
    );
  });

  it('revokes a name of which nothing is known', async () => {
    expect(await revokeName(ca, 'nobody')).toEqual([]);
    expect((await readPolicy(ca)).revokedNames).toEqual(new Set(['nobody']));
  });

  it.each(['../ca', 'Web-1', '', 'a/b', '.', 'x\n', 'x'.repeat(64)])(
    'touches nothing for %j',
    async (name) => {
      const before = await fs.readdir(ca);
      for (const change of [revokeName, unrevokeName, revokeAllButNewest, removeQuota]) {
        await expect(change(ca, name)).rejects.toMatchObject({ code: 'ERR_USAGE' });
      }
      await expect(setQuota(ca, name, { connections: 1 })).rejects.toMatchObject({ code: 'ERR_USAGE' });
      expect(await fs.readdir(ca)).toEqual(before);
    },
  );

  it.each(['', 'two\nlines', '\u001b[2J', 'x'.repeat(201), '\u202e'])(
    'takes no reason like %j',
    async (reason) => {
      await expect(revokeName(ca, 'web-1', reason)).rejects.toMatchObject({ code: 'ERR_USAGE' });
      expect((await readPolicy(ca)).revokedNames.size).toBe(0);
    },
  );

  it('writes nothing where there is no CA: it would be in force nowhere', async () => {
    const empty = join(ca, 'empty');
    await fs.mkdir(empty);
    await expect(revokeName(empty, 'web-1')).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    await expect(revokeName(join(ca, 'missing'), 'web-1')).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    expect(await fs.readdir(empty)).toEqual([]);
  });

  it('revokes the name first, so that a register that cannot be read changes nothing about it', async () => {
    await fs.rm(join(ca, 'issued.jsonl'), { force: true });
    await fs.mkdir(join(ca, 'issued.jsonl'));
    await expect(revokeName(ca, 'web-1')).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    expect((await readPolicy(ca)).revokedNames).toEqual(new Set(['web-1']));
  });
});

describe('unrevokeName', () => {
  it('frees the name and no certificate, not even one issued since', async () => {
    const before = await issue('web-1');
    await revokeName(ca, 'web-1');
    const meanwhile = await issue('web-1');
    expect(await unrevokeName(ca, 'web-1')).toBe(true);
    const policy = await readPolicy(ca);
    expect(policy.revokedNames.size).toBe(0);
    expect(policy.revokedSerials).toEqual(new Set([before, meanwhile]));
    const after = await issue('web-1');
    expect((await readPolicy(ca)).revokedSerials.has(after)).toBe(false);
    expect(await unrevokeName(ca, 'web-1')).toBe(false);
  });

  it('finds a name that somebody revoked by hand in capitals', async () => {
    await revokeName(ca, 'other');
    await fs.writeFile(join(policyDirectory(ca), 'name-WEB-1.json'), '{}');
    expect((await readPolicy(ca)).revokedNames).toEqual(new Set(['other', 'web-1']));
    expect(await unrevokeName(ca, 'web-1')).toBe(true);
    expect((await readPolicy(ca)).revokedNames).toEqual(new Set(['other']));
  });
});

describe('revokeAllButNewest and revokeSerial', () => {
  it('keep the certificate issued last', async () => {
    const [long, short, newest] = [
      await issue('web-1', '60d'),
      await issue('web-1', '1d'),
      await issue('web-1'),
    ];
    expect(await revokeAllButNewest(ca, 'web-1')).toEqual({ kept: newest, revoked: [long, short] });
    expect(await readPolicy(ca)).toMatchObject({
      revokedNames: new Set(),
      revokedSerials: new Set([long, short]),
    });
    await expect(revokeAllButNewest(ca, 'web-2')).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  it('take a serial however it is written, and know whose it is', async () => {
    const serial = await issue('web-1');
    const written = `00:${serial.toLowerCase().replaceAll(/(..)(?=.)/g, '$1:')}`;
    expect(await revokeSerial(ca, written, 'lost')).toEqual({ serial, name: 'web-1' });
    expect(await revokeSerial(ca, '0x0abc')).toEqual({ serial: 'ABC', name: undefined });
    expect((await readPolicy(ca)).revokedSerials).toEqual(new Set([serial, 'ABC']));
    expect((await listPolicy(ca)).entries.map(({ details }) => details.notAfter !== undefined)).toEqual([
      true,
      false,
    ]);
  });

  it.each(['../../x', '', 'xyz', 'AB/CD', 'F'.repeat(65)])(
    'touch nothing for the serial %j',
    async (serial) => {
      await expect(revokeSerial(ca, serial)).rejects.toMatchObject({ code: 'ERR_USAGE' });
      await expect(fs.access(policyDirectory(ca))).rejects.toThrow();
    },
  );
});

describe('quotas', () => {
  it('replace one another, and go', async () => {
    await setQuota(ca, 'web-1', { connections: 3, beaconBurst: 5 });
    await setQuota(ca, 'web-1', { connections: 4 });
    expect((await readPolicy(ca)).quotas).toEqual(new Map([['web-1', { connections: 4 }]]));
    await expect(setQuota(ca, 'web-1', { connections: 0 })).rejects.toMatchObject({ code: 'ERR_USAGE' });
    expect(await removeQuota(ca, 'web-1')).toBe(true);
    expect(await removeQuota(ca, 'web-1')).toBe(false);
    expect((await readPolicy(ca)).quotas.size).toBe(0);
  });
});

describe('prunePolicy', () => {
  it('removes what came to its end more than a day ago, and never a name', async () => {
    await revokeName(ca, 'web-1');
    const directory = policyDirectory(ca);
    const daysAgo = (days: number): string =>
      JSON.stringify({ notAfter: new Date(Date.now() - days * 86_400_000).toISOString() });
    await fs.writeFile(join(directory, 'serial-A.json'), daysAgo(2));
    await fs.writeFile(join(directory, 'serial-B.json'), daysAgo(0.5));
    await fs.writeFile(join(directory, 'serial-C.json'), 'torn');
    await fs.writeFile(join(directory, 'name-old.json'), daysAgo(200));
    expect(await prunePolicy(ca)).toBe(1);
    expect(await readPolicy(ca)).toMatchObject({
      revokedNames: new Set(['old', 'web-1']),
      revokedSerials: new Set(['B', 'C']),
    });
  });
});

describe('several processes at once', () => {
  it('lose nothing of what each has decided, and leave whole files only', { timeout: 60_000 }, async () => {
    const times = 12;
    await issue('shared');
    const writers = ['one', 'two', 'three'];
    const over = new AbortController();
    const torn: string[] = [];
    const watching = (async () => {
      while (!over.signal.aborted) await readPolicy(ca, ({ message }) => torn.push(message));
    })();
    await Promise.all(
      writers.map((own) => promisify(execFile)(process.execPath, [WRITER, ca, own, String(times)])),
    );
    over.abort();
    await watching;
    const policy = await readPolicy(ca, ({ message }) => torn.push(message));
    expect(torn).toEqual([]);
    const kept = writers.flatMap((own) =>
      Array.from({ length: times }, (_, i) => `${own}-${i}`).filter((_, i) => i % 2 === 1),
    );
    expect([...policy.revokedNames].sort()).toEqual(['shared', ...kept].sort());
    expect(policy.revokedSerials.size).toBe(1);
    expect(policy.quotas).toEqual(new Map([['shared', { connections: times }]]));
    expect((await fs.readdir(policyDirectory(ca))).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });
});
