import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ground, IssuingFolder } from '../../identity/issued.fixture.js';
import { readRegister } from '../../identity/issued-register.js';
import { rotate } from '../../identity/rotation.js';
import { loadTlsFiles, type TlsMaterial, type TlsPaths } from '../../identity/tls-files.js';
import { type FixedEnvironment, fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import { Listener } from '../../wire/listener.js';
import { OwnCertificate, type Renewer } from './own-certificate.js';
import { renewRoute } from './renew-route.js';
import { folderRenewer, upstreamRenewer } from './renewers.js';

const HOUR_MS = 3_600_000;
const LIFE_MS = 24 * HOUR_MS;

let place: string;
beforeAll(async () => {
  place = await ground();
});

const open: { stop(deadlineMs: number): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((thing) => thing.stop(0)));
});

/** A fixed machine whose clock is right. */
function punctual(): FixedEnvironment {
  const fixed = fixedEnvironment();
  const aheadNs = BigInt(Date.now()) * 1_000_000n - fixed.realtimeNs();
  return { ...fixed, realtimeNs: () => fixed.realtimeNs() + aheadNs };
}

/** A node's certificate, and everything it has said of it. */
async function owned(paths: TlsPaths, authority?: Renewer, now: () => TlsPaths = () => paths) {
  const environment = punctual();
  const changes: TlsMaterial[] = [];
  let attempts = 0;
  const counted = authority && {
    isAhead: (held: TlsMaterial) => authority.isAhead(held),
    renew: (held: TlsMaterial, signal: AbortSignal) => {
      attempts += 1;
      return authority.renew(held, signal);
    },
  };
  let tls = await loadTlsFiles(paths);
  const own = new OwnCertificate({
    paths: now,
    current: () => tls,
    authority: counted,
    environment,
    onChange: (changed) => {
      tls = changed;
      changes.push(changed);
    },
  });
  open.push(own);
  return { own, environment, changes, attempts: () => attempts };
}

const renewals = async (folder: string): Promise<number> => {
  let count = 0;
  for await (const { how } of readRegister(folder)) count += how === 'renew' ? 1 : 0;
  return count;
};

describe('files that somebody else replaces', () => {
  it('are taken, once, and only when they are others', async () => {
    const ca = await IssuingFolder.make(place, 'replaced');
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    const { own, changes } = await owned(paths);
    await own.look();
    await own.look();
    expect(changes).toEqual([]);
    await ca.files('relay', 'relay-1', 2 * LIFE_MS);
    await own.look();
    await own.look();
    expect(changes.map(({ identity }) => identity.serial)).toEqual([own.status().serial]);
    // The same bytes under another number of file.
    await copyFile(paths.cert, `${paths.cert}.copy`);
    await rm(paths.cert);
    await copyFile(`${paths.cert}.copy`, paths.cert);
    await own.look();
    expect(changes).toHaveLength(1);
    expect(own.status()).not.toHaveProperty('renewsAt');
  });

  it('change nothing when they cannot be used, and it is said until they can', async () => {
    const ca = await IssuingFolder.make(place, 'damaged');
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    const key = await readFile(paths.key);
    const { own, changes } = await owned(paths);
    await writeFile(paths.key, 'half a key');
    await own.look();
    await own.look();
    expect(own.status().reason).toMatchObject({ code: 'ERR_KEY_FILE' });
    expect(own.status().reason?.message).toContain('stays in use');
    await rm(paths.key);
    await own.look();
    expect(own.status().reason?.message).toContain('cannot be read');
    await writeFile(paths.key, key, { mode: 0o600 });
    await own.look();
    expect(own.status().reason).toBeUndefined();
    expect(changes).toEqual([]);
  });

  it('are missed when nobody replaces them: that is a warning in the last quarter', async () => {
    const ca = await IssuingFolder.make(place, 'missed');
    const { own, environment } = await owned(await ca.files('relay', 'relay-1', LIFE_MS));
    environment.advance(17 * HOUR_MS);
    expect(own.status().reason).toBeUndefined();
    environment.advance(1.25 * HOUR_MS);
    expect(own.status().reason).toMatchObject({ code: 'ERR_RENEWAL' });
  });
});

describe('a node that is the CA', () => {
  it('renews its own at two thirds of its life, not before, and its files hold it', async () => {
    const ca = await IssuingFolder.make(place, 'self');
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    const authority = folderRenewer({ folder: ca.folder, lifeMs: LIFE_MS });
    const { own, environment, changes } = await owned(paths, authority);
    const before = own.status();
    environment.advance(14.5 * HOUR_MS);
    await own.look();
    expect(await renewals(ca.folder)).toBe(0);
    environment.advance(1.75 * HOUR_MS);
    expect(Date.parse(before.renewsAt ?? '')).toBeLessThan(Number(environment.realtimeNs() / 1_000_000n));
    // The CA goes by the real clock: by ours the new one is as old as the one before it.
    await own.look();
    expect(await renewals(ca.folder)).toBe(1);
    const [renewed] = changes;
    expect(renewed?.identity).toMatchObject({
      role: 'relay',
      name: 'relay-1',
      names: ['localhost', '127.0.0.1', '0:0:0:0:0:0:0:1'],
    });
    expect(renewed?.identity.serial).not.toBe(before.serial);
    expect((await loadTlsFiles(paths)).identity.serial).toBe(renewed?.identity.serial);
  });

  it('looks where a reload says that its files are, and no longer where they were', async () => {
    const [ca, another] = [
      await IssuingFolder.make(place, 'before'),
      await IssuingFolder.make(place, 'after'),
    ];
    const before = await ca.files('relay', 'relay-1', LIFE_MS);
    const after = await another.files('relay', 'relay-2', LIFE_MS);
    let paths = before;
    const { own, changes } = await owned(before, undefined, () => paths);
    await own.look();
    paths = after;
    await own.look();
    expect(changes.map(({ identity }) => identity.name)).toEqual(['relay-2']);
    await copyFile(before.cert, `${before.cert}.copy`);
    await rm(before.cert);
    await own.look();
    expect(own.status()).toMatchObject({ name: 'relay-2' });
    expect(changes).toHaveLength(1);
  });

  it('follows the rotation of its CA at once, step by step', async () => {
    const ca = await IssuingFolder.make(place, 'rotated');
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    const { own, changes } = await owned(
      paths,
      folderRenewer({ folder: ca.folder, lifeMs: LIFE_MS + 60_000 }),
    );
    const rootsAfter = async (step: 'begin' | 'switch' | 'finish'): Promise<string> => {
      await rotate(ca.folder, step, { force: true });
      await own.look();
      expect(own.status().reason).toBeUndefined();
      return readFile(paths.ca, 'utf8');
    };
    expect((await rootsAfter('begin')).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect((await rootsAfter('switch')).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect((await rootsAfter('finish')).match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    await own.look();
    expect(changes).toHaveLength(3);
    expect(await readFile(paths.ca, 'utf8')).toBe(await readFile(join(ca.folder, 'ca.pem'), 'utf8'));
  });

  it('says why when its folder is gone, and goes on once it is back', async () => {
    const ca = await IssuingFolder.make(place, 'absent');
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    const key = join(ca.folder, 'ca.key');
    const content = await readFile(key);
    const { own, environment } = await owned(paths, folderRenewer({ folder: ca.folder, lifeMs: LIFE_MS }));
    await rm(key);
    await own.look();
    expect(own.status().reason).toMatchObject({ code: 'ERR_RENEWAL' });
    expect(own.status().reason?.message).toContain('[ERR_CA_FILE]');
    await writeFile(key, content, { mode: 0o600 });
    environment.advance(HOUR_MS);
    await own.look();
    expect(own.status().reason).toBeUndefined();
  });

  it('renews by itself while it runs, also when a certificate lives for a minute', async () => {
    const ca = await IssuingFolder.make(place, 'running');
    const paths = await ca.files('relay', 'relay-1', 60_000);
    const renewer = folderRenewer({ folder: ca.folder, lifeMs: 60_000 });
    let passedMs = 0;
    let renewedAtMs: number | undefined;
    const { own, environment, changes } = await owned(paths, {
      ...renewer,
      renew: (tls, signal) => {
        renewedAtMs ??= passedMs;
        return renewer.renew(tls, signal);
      },
    });
    own.start();
    const advanced = (): number => {
      passedMs += 1_000;
      environment.advance(1_000);
      return changes.length;
    };
    await expect.poll(advanced, { timeout: 15_000, interval: 20 }).toBeGreaterThan(0);
    await own.stop();
    expect(renewedAtMs).toBeGreaterThan(36_000);
    expect(renewedAtMs).toBeLessThan(60_000);
  });
});

describe('a node whose CA is another node', () => {
  /** The node that is the CA, and a certificate that is renewed there. */
  async function pair(name: string) {
    const ca = await IssuingFolder.make(place, name);
    const listener = new Listener(await ca.material('relay', 'authority'));
    open.push(listener);
    const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
    const revoked = { is: false };
    const serve = () =>
      renewRoute(listener, {
        folder: ca.folder,
        lifeMs: LIFE_MS,
        isRevoked: () => revoked.is,
        environment: fixedEnvironment(),
      });
    const renewer = upstreamRenewer((tls) => ({
      url: new URL(`https://127.0.0.1:${port}`),
      tls,
      roles: ['office', 'relay'],
    }));
    const paths = await ca.files('relay', 'relay-1', LIFE_MS);
    return { ...(await owned(paths, renewer)), paths, serve, revoked, folder: ca.folder };
  }

  it('renews there when it is time', async () => {
    const { own, environment, changes, serve, folder } = await pair('there');
    serve();
    await own.look();
    expect(await renewals(folder)).toBe(0);
    environment.advance(16.25 * HOUR_MS);
    await own.look();
    expect(changes).toHaveLength(1);
    expect(await renewals(folder)).toBe(1);
  });

  it('tries again with a back-off when it cannot, and says why until it could', async () => {
    const { own, environment, changes, attempts, serve } = await pair('later');
    environment.advance(16.25 * HOUR_MS);
    await own.look();
    expect(own.status().reason?.message).toContain('[ERR_NOT_FOUND]');
    for (let time = 0; time < 50; time += 1) await own.look();
    expect(attempts()).toBe(1);
    serve();
    environment.advance(HOUR_MS);
    await own.look();
    expect(own.status().reason).toBeUndefined();
    expect(changes).toHaveLength(1);
  });

  it('is told that it has been revoked', async () => {
    const { own, environment, serve, revoked } = await pair('revoked');
    serve();
    revoked.is = true;
    environment.advance(16.25 * HOUR_MS);
    await own.look();
    expect(own.status().reason?.message).toContain('[ERR_REVOKED]');
  });

  it('stops while it is asking', async () => {
    const { paths, environment: _ } = await pair('asking');
    let asked = (): void => undefined;
    const asking = new Promise<void>((resolve) => (asked = resolve));
    const { own, environment } = await owned(paths, {
      isAhead: async () => false,
      renew: (_tls, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
          asked();
        }),
    });
    environment.advance(16.25 * HOUR_MS);
    own.start();
    await asking;
    await own.stop();
    expect(own.status().reason).toBeUndefined();
  });
});
