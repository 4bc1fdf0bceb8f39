import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unable } from '../local/ability.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { SeedStore } from '../local/seed/seed-store.js';
import { clockFacts } from './clock-facts.js';
import type { Fact } from './fact.js';
import { hedgeFacts } from './hedge-facts.js';
import { seedFacts } from './seed-facts.js';
import { type Subject, systemRuntime } from './subject.js';

const hasAddon = systemNative.available().supported;
const FULL = { blocks: 1_000, bavail: 0 };
const isRoot = process.geteuid?.() === 0;
let folder: string;
let subject: Subject;

beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-doctor-seed-'));
  await fs.chmod(folder, 0o700);
  subject = {
    environment: systemEnvironment(),
    native: systemNative,
    runtime: systemRuntime(),
    state: folder,
  };
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

async function look(on: Subject = subject): Promise<Readonly<Record<string, Fact>>> {
  const facts = [...(await seedFacts(on)), ...(await hedgeFacts(on)), ...(await clockFacts(on))];
  return Object.fromEntries(facts.map((fact) => [fact.id, fact]));
}

async function createSeed(): Promise<string> {
  const store = new SeedStore(folder, subject);
  await store.create(randomBytes(64), { replace: false });
  return store.path;
}

describe('a seed that is missing', () => {
  it('is weak, and the hedge is off until there is one', async () => {
    const facts = await look();
    expect(facts['seed']).toMatchObject({
      level: 'weak',
      values: { state: 'missing', code: 'ERR_SEED_MISSING' },
    });
    expect(facts['seed']?.action).toContain(`lamplighter seed create --state ${folder}`);
    expect(facts['hedge']).toMatchObject({ level: 'weak', values: { state: 'off' } });
    expect(facts['clock.time']?.level).toBe('info');
  });
});

describe.skipIf(!hasAddon)('a seed that is there (needs the native addon)', () => {
  it('is good, and looking at it changes nothing', async () => {
    const path = await createSeed();
    const before = await fs.readFile(path);
    const facts = await look();
    expect(facts['seed']).toMatchObject({ level: 'ok', values: { state: 'there', mode: '0600', uses: 0 } });
    expect(facts['hedge']).toMatchObject({ level: 'ok', values: { state: 'on' } });
    expect(facts['clock.time']?.level).toBe('ok');
    expect(facts['seed.folder']).toBeUndefined();
    expect(await fs.readFile(path)).toEqual(before);
    expect(await fs.readdir(folder)).toEqual(['seed', 'seed.lock']);
    const told = JSON.stringify(facts);
    for (const part of [before.subarray(45, 77), before.subarray(77, 109)]) {
      for (const spelling of ['hex', 'base64'] as const) expect(told).not.toContain(part.toString(spelling));
    }
  });

  it('is broken when it is torn, and the hedge off', async () => {
    await fs.truncate(await createSeed(), 100);
    const facts = await look();
    expect(facts['seed']).toMatchObject({ level: 'broken', values: { code: 'ERR_SEED_DAMAGED' } });
    expect(facts['seed']?.action).toContain(`seed create --replace --state ${folder}`);
    expect(facts['hedge']?.values).toEqual({ state: 'off', code: 'ERR_SEED_DAMAGED' });
  });

  it('degrades the hedge when others may read it', async () => {
    await fs.chmod(await createSeed(), 0o640);
    const facts = await look();
    expect(facts['seed']).toMatchObject({ level: 'weak', values: { mode: '0640', code: 'ERR_SEED_MODE' } });
    expect(facts['seed']?.action).toContain('chmod 0600');
    expect(facts['hedge']?.values).toEqual({ state: 'degraded', code: 'ERR_SEED_MODE' });
  });

  it('made on another machine is a copied image', async () => {
    const on = (id: string): Subject => ({
      ...subject,
      environment: {
        ...subject.environment,
        fs: {
          ...subject.environment.fs,
          readFile: ((path: string, ...rest: never[]) =>
            path === '/etc/machine-id'
              ? Promise.resolve(id)
              : path.startsWith('/sys/class/dmi')
                ? Promise.reject(new Error('not root'))
                : fs.readFile(path, ...rest)) as typeof fs.readFile,
        },
      },
    });
    await new SeedStore(folder, on('aaaa')).create(randomBytes(64), { replace: false });
    const facts = await look(on('bbbb'));
    expect(facts['seed']).toMatchObject({ level: 'weak', values: { code: 'ERR_SEED_COPIED' } });
    expect(facts['seed']?.action).toContain(`\`lamplighter seed create --replace --state ${folder}\``);
    expect(facts['hedge']?.values).toEqual({ state: 'degraded', code: 'ERR_SEED_COPIED' });
  });

  it('may be replaced by others when they may write to its folder', async () => {
    await createSeed();
    await fs.chmod(folder, 0o770);
    expect((await look())['seed.folder']).toMatchObject({
      level: 'weak',
      action: `Let nobody else write there: \`chmod 0700 ${folder}\`.`,
    });
  });

  it.skipIf(!isRoot)('of another user is his, and no fault', async () => {
    const path = await createSeed();
    await fs.chown(folder, 12_345, 12_345);
    await fs.chown(path, 12_345, 12_345);
    const facts = await look();
    expect(facts['seed']).toMatchObject({ level: 'ok', values: { userId: 12_345 } });
    expect(facts['hedge']?.level).toBe('ok');
    // In a folder that is not his it is somebody's mistake.
    await fs.chown(folder, 0, 0);
    const { seed } = await look();
    expect(seed).toMatchObject({ level: 'weak', values: { code: 'ERR_SEED_MODE' } });
    expect(seed?.action).toContain(`chown USER ${path}`);
  });

  it('cannot be rotated on a disk that takes nothing', async () => {
    await createSeed();
    const { environment } = subject;
    const withFs = (change: Partial<typeof fs>): Subject => ({
      ...subject,
      environment: { ...environment, fs: { ...environment.fs, ...change } },
    });
    const readOnly = withFs({
      access: () => Promise.reject(Object.assign(new Error('read-only'), { code: 'EROFS' })),
    });
    const full = withFs({
      statfs: (async (path: string) => Object.assign(await fs.statfs(path), FULL)) as typeof fs.statfs,
    });
    for (const [on, why] of [
      [readOnly, 'EROFS'],
      [full, 'its disk is full'],
    ] as const) {
      const { hedge } = await look(on);
      expect(hedge).toMatchObject({ level: 'weak', values: { state: 'degraded' } });
      expect(hedge?.text).toContain(why);
      expect(hedge?.action).toContain(`df ${folder}`);
    }
  });

  it('was written later than this machine believes it is', async () => {
    const path = await createSeed();
    const later = new Date(Date.now() + 3_600_000);
    await fs.utimes(path, later, later);
    expect((await look())['clock.time']).toMatchObject({ level: 'broken', values: { code: 'ERR_CLOCK' } });
  });

  it('hedges nothing without the addon, or when OpenSSL takes nothing', async () => {
    await createSeed();
    const no = () => unable('not built');
    const off = await look({ ...subject, native: { ...systemNative, available: no } });
    expect(off['hedge']).toMatchObject({ level: 'weak', text: 'off: not built', values: { state: 'off' } });
    const refused = await look({
      ...subject,
      native: { ...systemNative, reseedOpenssl: () => unable('no OpenSSL 3') },
    });
    expect(refused['hedge']).toMatchObject({ level: 'weak', text: 'off: no OpenSSL 3' });
  });
});

describe('a seed nobody may look at', () => {
  it('is no missing seed', async () => {
    const { environment } = subject;
    const open = () => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }));
    const facts = await look({
      ...subject,
      environment: { ...environment, fs: { ...environment.fs, open } },
    });
    expect(facts['seed']).toMatchObject({ level: 'weak', values: { state: 'unseen' } });
    expect(facts['seed']?.action).toContain('sudo lamplighter doctor');
    if (hasAddon) expect(facts['hedge']?.values).toMatchObject({ state: 'unknown' });
  });
});
