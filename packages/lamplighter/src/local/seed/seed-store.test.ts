import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Environment, systemEnvironment } from '../environment.js';
import { systemNative } from '../native-doors.js';
import { SEED_FILE_LENGTH_BYTES } from './seed-record.js';
import { SeedStore } from './seed-store.js';

const hasAddon = systemNative.available().supported;
const FIRST = Uint8Array.from({ length: 64 }, (_, index) => index);

let folder: string;
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-seed-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

function storeOn(environment: Environment = systemEnvironment()): SeedStore {
  return new SeedStore(folder, { environment, native: systemNative });
}

/** A store with the seed 00 01 … 3f. */
async function firstStore(environment?: Environment): Promise<SeedStore> {
  const store = storeOn(environment);
  await storeOn().create(FIRST, { replace: false });
  return store;
}

/** The derivations of DESIGN section 7, written down again over another implementation. */
function derived(seed: Uint8Array, label: string): string {
  return Buffer.from(hkdfSync('sha512', seed, 'lamplighter/seed/v1', label, 64)).toString('hex');
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const seedOf = async (): Promise<Buffer> => (await fs.readFile(join(folder, 'seed'))).subarray(45, 109);

describe.skipIf(!hasAddon)('a machine seed', () => {
  it('gives use and mix, and has become next before it does', async () => {
    const store = await firstStore();
    const use = await store.take();
    expect(use).toMatchObject({ rotated: true, degraded: undefined, counter: 1n });
    expect(hex(use.key)).toBe(derived(FIRST, 'use'));
    expect(hex(use.mixKey)).toBe(derived(FIRST, 'mix'));
    expect(hex(await seedOf())).toBe(derived(FIRST, 'next'));
    const again = await store.take();
    expect(again.counter).toBe(2n);
    expect(hex(again.key)).toBe(derived(Buffer.from(derived(FIRST, 'next'), 'hex'), 'use'));
  });

  it('is one file of mode 0600 with a checksum over all of it', async () => {
    await (await firstStore()).take();
    const file = await fs.readFile(join(folder, 'seed'));
    expect(file.length).toBe(SEED_FILE_LENGTH_BYTES);
    expect((await fs.stat(join(folder, 'seed'))).mode & 0o777).toBe(0o600);
    expect(file.subarray(0, 13).toString('hex')).toBe('4c4c5344010000000000000001');
    expect(createHash('sha256').update(file.subarray(0, -32)).digest().equals(file.subarray(-32))).toBe(true);
  });

  it('is durable, file and folder, before anything is handed out', async () => {
    const order: string[] = [];
    const system = systemEnvironment();
    const noting: Environment = {
      ...system,
      fs: {
        ...system.fs,
        open: async (...given: Parameters<typeof fs.open>) => {
          const handle = await system.fs.open(...given);
          const name = String(given[0]).replace(folder, '');
          const sync = handle.sync.bind(handle);
          handle.sync = async () => {
            await sync();
            order.push(`sync ${name}`);
          };
          return handle;
        },
        rename: async (...given: Parameters<typeof fs.rename>) => {
          await system.fs.rename(...given);
          order.push('rename');
        },
      },
    };
    const store = await firstStore(noting);
    const use = store.take().then(() => order.push('handed out'));
    await use;
    expect(order).toEqual(['sync /seed.new', 'rename', 'sync ', 'handed out']);
  });

  it.each(['sync', 'rename', 'open'] as const)('is handed out unrotated when %s fails', async (call) => {
    const system = systemEnvironment();
    const full = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    const failing: Environment = {
      ...system,
      fs: {
        ...system.fs,
        ...(call === 'rename' && { rename: full }),
        open: async (...given: Parameters<typeof fs.open>) => {
          if (call === 'open' && String(given[0]).endsWith('.new')) return await full();
          const handle = await system.fs.open(...given);
          if (call === 'sync') handle.sync = full;
          return handle;
        },
      },
    };
    const store = await firstStore(failing);
    const use = await store.take();
    expect(use).toMatchObject({ rotated: false, degraded: { code: 'ERR_SEED_NOT_ROTATED' }, counter: 0n });
    expect(use.degraded?.message).toContain('ENOSPC');
    expect(hex(use.key)).toBe(derived(FIRST, 'unrotated'));
    expect(hex(use.mixKey)).not.toBe(derived(FIRST, 'mix'));
    expect(await fs.readdir(folder)).not.toContain('seed.new');
    await expect(store.fold([])).rejects.toMatchObject({ code: 'ERR_SEED_NOT_ROTATED' });
    // The old seed is there still, whole.
    expect((await storeOn().take()).rotated).toBe(true);
  });

  it('is never used twice, however many want it at once', async () => {
    await firstStore();
    const uses = await Promise.all(Array.from({ length: 40 }, () => storeOn().take()));
    expect(uses.every(({ rotated }) => rotated)).toBe(true);
    expect(new Set(uses.map(({ key }) => hex(key))).size).toBe(40);
    expect(new Set(uses.map(({ counter }) => counter)).size).toBe(40);
  });

  it('is handed out unrotated while somebody else holds the lock', { timeout: 20_000 }, async () => {
    const store = await firstStore();
    const lock = join(folder, 'seed.lock');
    const holder: ChildProcess = spawn('flock', ['-x', lock, 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      if (holder.stdout !== null) await once(holder.stdout, 'data');
      const use = await store.take();
      expect(use).toMatchObject({ rotated: false, degraded: { code: 'ERR_SEED_BUSY' } });
      expect(hex(use.key)).toBe(derived(FIRST, 'unrotated'));
    } finally {
      holder.kill('SIGKILL');
    }
  });

  it.each([0o640, 0o604, 0o666])('is handed out unrotated when its mode is %o', async (mode) => {
    const store = await firstStore();
    await fs.chmod(join(folder, 'seed'), mode);
    const use = await store.take();
    expect(use).toMatchObject({ rotated: false, degraded: { code: 'ERR_SEED_MODE' } });
    expect(use.degraded?.hint).toContain('chmod 0600');
    expect(hex(use.key)).toBe(derived(FIRST, 'unrotated'));
    await expect(store.fold([])).rejects.toMatchObject({ code: 'ERR_SEED_MODE' });
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'is handed out unrotated when it belongs to another user',
    async () => {
      const store = await firstStore();
      await fs.chown(join(folder, 'seed'), 12_345, 12_345);
      expect(await store.take()).toMatchObject({ rotated: false, degraded: { code: 'ERR_SEED_MODE' } });
    },
  );

  it('is used and rotated on another machine, with an alarm', async () => {
    const system = systemEnvironment();
    const machine = (id: string): Environment => ({
      ...system,
      fs: {
        ...system.fs,
        readFile: ((path: string, ...rest: never[]) =>
          path === '/etc/machine-id'
            ? Promise.resolve(id)
            : path.startsWith('/sys/class/dmi')
              ? Promise.reject(new Error('not root'))
              : system.fs.readFile(path, ...rest)) as typeof fs.readFile,
      },
    });
    await storeOn(machine('aaaa\n')).create(FIRST, { replace: false });
    expect(await storeOn(machine('aaaa')).take()).toMatchObject({ degraded: undefined });
    const copied = await storeOn(machine('bbbb\n')).take();
    expect(copied).toMatchObject({ rotated: true, degraded: { code: 'ERR_SEED_COPIED' } });
    // A machine that does not know who it is cannot tell.
    expect(await storeOn(machine('uninitialized\n')).take()).toMatchObject({ degraded: undefined });
  });

  it('takes beacons in, and is another with and without each', async () => {
    const seeds = new Set<string>();
    const beacon = randomBytes(64);
    for (const bytes of [undefined, beacon, randomBytes(64)]) {
      const store = storeOn();
      await store.create(FIRST, { replace: true });
      await store.fold([{ label: 'beacon/relay-1', bytes }]);
      seeds.add(hex(await seedOf()));
      expect((await store.facts()).counter).toBe(1n);
    }
    expect(seeds.size).toBe(3);
    const text = Buffer.concat([
      Buffer.from('\x04fold\x01\x00\x01\x0ebeacon/relay-1\x01', 'latin1'),
      Buffer.from('0000000000000040', 'hex'),
      beacon,
    ]);
    expect(seeds).toContain(createHmac('sha512', FIRST).update(text).digest('hex'));
  });

  it('that is torn anywhere is lost, and says so', async () => {
    const store = await firstStore();
    const path = join(folder, 'seed');
    const whole = await fs.readFile(path);
    for (let length = 0; length < whole.length; length += 7) {
      await fs.writeFile(path, whole.subarray(0, length));
      await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_DAMAGED' });
    }
    for (let at = 0; at < whole.length; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await fs.writeFile(path, changed);
      await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_DAMAGED' });
    }
    await fs.writeFile(path, Buffer.concat([whole, Buffer.from('x')]));
    await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_DAMAGED' });
    await fs.writeFile(path, whole);
    expect((await store.take()).rotated).toBe(true);
  });

  it('is missing where there is none, a link, a folder or a pipe', async () => {
    const store = storeOn();
    await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_MISSING' });
    await fs.writeFile(join(folder, 'elsewhere'), 'x');
    await fs.symlink(join(folder, 'elsewhere'), join(folder, 'seed'));
    await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_MISSING' });
    await fs.rm(join(folder, 'seed'));
    await fs.mkdir(join(folder, 'seed'));
    await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_DAMAGED' });
    await fs.rmdir(join(folder, 'seed'));
    const fifo = spawn('mkfifo', [join(folder, 'seed')]);
    await once(fifo, 'close');
    await expect(store.take()).rejects.toMatchObject({ code: 'ERR_SEED_DAMAGED' });
  });

  it('is made once, and again only when told', async () => {
    const store = await firstStore();
    await expect(store.create(randomBytes(64), { replace: false })).rejects.toMatchObject({
      code: 'ERR_SEED_EXISTS',
    });
    expect(hex(await seedOf())).toBe(hex(FIRST));
    await store.create(FIRST.toReversed(), { replace: true });
    expect(hex(await seedOf())).toBe(hex(FIRST.toReversed()));
  });
});

describe('without the addon', () => {
  it('there is no lock, so nothing is rotated and nothing claimed', async () => {
    await fs.writeFile(join(folder, 'none'), '');
    const none = { lockFile: () => ({ supported: false as const, reason: 'no addon' }) };
    const store = new SeedStore(folder, { environment: systemEnvironment(), native: none });
    await expect(store.create(FIRST, { replace: false })).rejects.toMatchObject({ code: 'ERR_HEDGE_OFF' });
    if (!hasAddon) return;
    await firstStore();
    expect(await store.take()).toMatchObject({ rotated: false, degraded: { code: 'ERR_HEDGE_OFF' } });
  });
});
