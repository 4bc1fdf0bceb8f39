import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemNative } from '../local/native-doors.js';
import { caught } from '../wire/raw-peer.fixture.js';
import { FailingDisk } from './failing-disk.fixture.js';
import { type NewIdentity, recoverIdentity, replaceIdentity } from './identity-files.js';
import { testAuthority } from './made-certificates.fixture.js';
import { loadTlsFiles, type TlsPaths } from './tls-files.js';

const oldAuthority = await testAuthority('Old CA');
const newAuthority = await testAuthority('New CA');
const before = await oldAuthority.make({ role: 'machine', name: 'before' });
const after = await oldAuthority.make({ role: 'machine', name: 'after' });
const afterByNew = await newAuthority.make({ role: 'machine', name: 'after' });

const identityOf = ({ cert, key }: { cert: Buffer; key: Buffer }, trust?: string): NewIdentity => ({
  keyPem: key,
  certificatePem: cert.toString(),
  ...(trust !== undefined && { trust }),
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-identity-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Form = 'one file' | 'two files';

/** A folder in which somebody called `before` is at home. */
async function home(form: Form, name = 'home'): Promise<TlsPaths> {
  const at = (file: string): string => join(folder, name, file);
  await rm(join(folder, name), { recursive: true, force: true });
  await mkdir(join(folder, name));
  await writeFile(at('ca.pem'), oldAuthority.pem);
  if (form === 'one file') {
    await writeFile(at('identity.pem'), Buffer.concat([before.key, Buffer.from('\n'), before.cert]), {
      mode: 0o600,
    });
    return { ca: at('ca.pem'), cert: at('identity.pem'), key: at('identity.pem') };
  }
  await writeFile(at('web.key'), before.key, { mode: 0o600 });
  await writeFile(at('web.pem'), before.cert);
  return { ca: at('ca.pem'), cert: at('web.pem'), key: at('web.key') };
}

/** Who one is after what a start does: recover, then read. @throws when the files do not go together */
async function whoIsHome(paths: TlsPaths): Promise<string> {
  await recoverIdentity(paths);
  return (await loadTlsFiles(paths)).identity.name;
}

/** Without the addon there is no lock: nothing half written is removed, and one writer at a time is up to who writes. */
const canLock = systemNative.available().supported;

const FORMS: readonly Form[] = ['one file', 'two files'];
const filesOf = (form: Form): string[] =>
  form === 'one file' ? ['ca.pem', 'identity.pem'] : ['ca.pem', 'web.key', 'web.pem'];

describe.each(FORMS)('an identity in %s', (form) => {
  it('is replaced, nothing else is left, and only its owner may read the key', async () => {
    const paths = await home(form);
    await replaceIdentity(paths, identityOf(after));
    expect(await whoIsHome(paths)).toBe('after');
    expect((await readdir(join(folder, 'home'))).sort()).toEqual(filesOf(form));
    expect((await stat(paths.key)).mode & 0o777).toBe(0o600);
  });

  it('is replaced together with the CA file', async () => {
    const paths = await home(form);
    await replaceIdentity(paths, identityOf(afterByNew, newAuthority.pem));
    expect(await whoIsHome(paths)).toBe('after');
    expect(await readFile(paths.ca, 'utf8')).toBe(newAuthority.pem);
  });

  it('keeps the mode of the files that were there', async () => {
    const paths = await home(form);
    await chmod(paths.key, 0o400);
    await chmod(paths.ca, 0o640);
    await replaceIdentity(paths, identityOf(after, oldAuthority.pem));
    expect((await stat(paths.key)).mode & 0o777).toBe(0o400);
    expect((await stat(paths.ca)).mode & 0o777).toBe(0o640);
    if (form === 'two files') expect((await stat(paths.cert)).mode & 0o777).toBe(0o644);
  });

  it.skipIf(process.geteuid?.() !== 0)('stays a service user\u2019s when root replaces it', async () => {
    const paths = await home(form);
    for (const path of [paths.ca, paths.cert, paths.key]) await chown(path, 65_534, 65_533);
    await replaceIdentity(paths, identityOf(after, oldAuthority.pem));
    for (const path of [paths.ca, paths.cert, paths.key]) {
      expect(await stat(path)).toMatchObject({ uid: 65_534, gid: 65_533 });
    }
  });

  it('is replaced behind a link, which stays a link', async () => {
    const real = await home(form);
    const linked = join(folder, 'linked');
    await mkdir(linked);
    const paths: TlsPaths = {
      ca: real.ca,
      cert: join(linked, 'cert'),
      key: form === 'one file' ? join(linked, 'cert') : join(linked, 'key'),
    };
    await symlink(real.cert, paths.cert);
    if (form === 'two files') await symlink(real.key, paths.key);
    await replaceIdentity(paths, identityOf(after));
    expect(await whoIsHome(real)).toBe('after');
    expect(await whoIsHome(paths)).toBe('after');
  });

  it('is made where none is, key and all', async () => {
    const paths = await home(form);
    for (const path of new Set([paths.ca, paths.cert, paths.key])) await rm(path);
    await replaceIdentity(paths, identityOf(after, oldAuthority.pem));
    expect(await whoIsHome(paths)).toBe('after');
    expect((await stat(paths.key)).mode & 0o777).toBe(0o600);
  });

  it.each<[string, NewIdentity]>([
    ['another key', { keyPem: before.key, certificatePem: after.cert.toString() }],
    ['another CA', identityOf(afterByNew)],
    ['a CA file that is not its own', identityOf(after, newAuthority.pem)],
    ['no certificate', { keyPem: after.key, certificatePem: '' }],
    ['no key', { keyPem: Buffer.from('x'), certificatePem: after.cert.toString() }],
  ])('is not replaced by a certificate with %s', async (_, identity) => {
    const paths = await home(form);
    expect(await caught(replaceIdentity(paths, identity))).toMatchObject({ code: 'ERR_CERTIFICATE_FILE' });
    expect(await whoIsHome(paths)).toBe('before');
    expect((await readdir(join(folder, 'home'))).sort()).toEqual(filesOf(form));
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['half of it', Buffer.concat([after.key, after.cert]).subarray(0, 300)],
    ['zeros', Buffer.alloc(500)],
    ['a key and the certificate of another', Buffer.concat([before.key, after.cert])],
    ['the certificate of another CA', Buffer.concat([afterByNew.key, afterByNew.cert])],
    ['far too much', Buffer.concat([after.key, after.cert, Buffer.alloc(70_000, 0x0a)])],
  ])('is not touched by a damaged KEY.next: %s', async (_, next) => {
    const paths = await home(form);
    await writeFile(`${paths.key}.next`, next, { mode: 0o600 });
    expect(await whoIsHome(paths)).toBe('before');
    expect((await readdir(join(folder, 'home'))).sort()).toEqual(filesOf(form));
    await replaceIdentity(paths, identityOf(after));
    expect(await whoIsHome(paths)).toBe('after');
  });

  it('never follows a KEY.next that is a link', async () => {
    const paths = await home(form);
    const elsewhere = join(folder, 'elsewhere');
    await writeFile(elsewhere, Buffer.concat([after.key, after.cert]), { mode: 0o600 });
    await symlink(elsewhere, `${paths.key}.next`);
    expect(await whoIsHome(paths)).toBe('before');
    expect((await readFile(elsewhere)).length).toBeGreaterThan(0);
  });

  it.skipIf(!canLock)('loses what a killed writer left half written', async () => {
    const paths = await home(form);
    await writeFile(`${paths.key}.next.0123456789ab.part`, 'half');
    await replaceIdentity(paths, identityOf(after));
    expect((await readdir(join(folder, 'home'))).sort()).toEqual(filesOf(form));
  });

  it.skipIf(!canLock)('is whole whichever of many writers and readers comes when', async () => {
    const paths = await home(form);
    const names = await Promise.all(
      Array.from({ length: 12 }, async (_, at) => {
        await replaceIdentity(paths, identityOf(at % 2 === 0 ? before : after));
        // A reader of two files between two writers may find one of each, and is told so.
        return await whoIsHome(paths).catch((error: unknown) => String(error));
      }),
    );
    expect(names.every((name) => /^(before|after)$|is not the key of/.test(name))).toBe(true);
    expect(await whoIsHome(paths)).toMatch(/^(before|after)$/);
    expect((await readdir(join(folder, 'home'))).sort()).toEqual(filesOf(form));
  });
});

/** What is replaced by what, and how the trust changes with it. */
const CHANGES: readonly [string, NewIdentity][] = [
  ['under one CA', identityOf(after)],
  ['with a second root', identityOf(after, `${newAuthority.pem}\n${oldAuthority.pem}`)],
  [
    'to a new root, the old one still trusted',
    identityOf(afterByNew, `${newAuthority.pem}\n${oldAuthority.pem}`),
  ],
  ['to a new root, the old one gone', identityOf(afterByNew, newAuthority.pem)],
];

describe.each(FORMS)('when the power fails, in %s', (form) => {
  it.each(CHANGES)('%s: the old identity or the new, whole, after every call', async (_, identity) => {
    const found = new Set<string>();
    let trials = 0;
    for (let calls = 0; ; calls += 1) {
      const disk = new FailingDisk(calls);
      await replaceIdentity(await home(form), identity, disk.fs).catch(() => undefined);
      const { losable, isOff } = disk;
      // The same moment once for each of the ways in which a disk may have kept some names and not others.
      for (let lost = 0; lost < 1 << losable; lost += 1) {
        const again = new FailingDisk(calls);
        const paths = await home(form);
        await replaceIdentity(paths, identity, again.fs).catch(() => undefined);
        again.lose(lost);
        const name = await whoIsHome(paths);
        found.add(name);
        expect(['before', 'after']).toContain(name);
        expect((await readdir(join(folder, 'home'))).filter((file) => file.endsWith('.next'))).toEqual([]);
        // And it can be replaced again.
        await replaceIdentity(paths, identity);
        expect(await whoIsHome(paths)).toBe('after');
        trials += 1;
      }
      if (!isOff) break;
    }
    // The experiment has seen both outcomes, and enough moments in between.
    expect([...found].sort()).toEqual(['after', 'before']);
    expect(trials).toBeGreaterThan(10);
  });

  it('and once more while that is being repaired', async () => {
    for (let calls = 0; ; calls += 1) {
      const paths = await home(form);
      const next = Buffer.concat([after.key, Buffer.from('\n'), after.cert]);
      await writeFile(`${paths.key}.next`, next, { mode: 0o600 });
      const disk = new FailingDisk(calls);
      await recoverIdentity(paths, disk.fs).catch(() => undefined);
      disk.lose((1 << disk.losable) - 1);
      expect(await whoIsHome(paths)).toBe('after');
      if (!disk.isOff) break;
    }
  });

  it('the experiment finds a writer that does not do it so', async () => {
    const paths = await home('two files', 'careless');
    const disk = new FailingDisk(1);
    const other = join(folder, 'other');
    await writeFile(other, after.key, { mode: 0o600 });
    await disk.fs.rename(other, paths.key);
    expect(await caught(disk.fs.rename(other, paths.cert))).toBeInstanceOf(Error);
    expect(await caught(whoIsHome(paths))).toMatchObject({ code: 'ERR_KEY_FILE' });
  });
});
