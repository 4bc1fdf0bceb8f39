import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { LINK_LIMITS, LoginLinks } from './login-links.js';
import { temporaryFolder } from './served-admin.fixture.js';

const NOW_MS = Date.now();
let state: string;
let links: LoginLinks;
const files = async (): Promise<string[]> => (await readdir(join(state, 'login'))).sort();

beforeEach(async () => {
  state = await temporaryFolder();
  links = new LoginLinks(state);
  await links.announce('https://relay-1.example:9600');
});

describe('a login link', () => {
  it('leads to the node, holds its secret where no server sees it, and leaves only its hash', async () => {
    const { url, expiresAtMs } = await links.create(600_000, NOW_MS);
    expect(url.href).toMatch(/^https:\/\/relay-1\.example:9600\/login#[A-Za-z0-9_-]{43}$/);
    expect(expiresAtMs).toBe(NOW_MS + 600_000);
    const token = url.hash.slice(1);
    const name = createHash('sha256').update(token).digest('hex');
    expect(await files()).toEqual([name, 'address'].sort());
    const path = join(state, 'login', name);
    expect(await readFile(path, 'utf8')).toBe(`${expiresAtMs}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(state, 'login'))).mode & 0o777).toBe(0o700);
  });

  it('works once, also when many use it at once', async () => {
    const { url } = await links.create(600_000, NOW_MS);
    const token = url.hash.slice(1);
    const other = new LoginLinks(state);
    const taken = await Promise.all(
      Array.from({ length: 20 }, (_none, at) => (at % 2 ? other : links).take(token, NOW_MS)),
    );
    expect(taken.filter((good) => good)).toHaveLength(1);
    expect(await links.take(token, NOW_MS)).toBe(false);
    expect(await files()).toEqual(['address']);
  });

  it('expires, and is used up by that', async () => {
    const { url } = await links.create(600_000, NOW_MS);
    expect(await links.take(url.hash.slice(1), NOW_MS + 600_000)).toBe(false);
    expect(await links.take(url.hash.slice(1), NOW_MS)).toBe(false);
  });

  it('does not live longer because a clock was set back', async () => {
    const { url } = await links.create(600_000, NOW_MS);
    expect(await links.take(url.hash.slice(1), NOW_MS - LINK_LIMITS.ttlMs)).toBe(false);
  });

  it.each(['', 'x', '../address', 'A'.repeat(43), `${'A'.repeat(42)}/`, 'A'.repeat(1_000)])(
    'is not %j',
    async (token) => {
      expect(await links.take(token, NOW_MS)).toBe(false);
    },
  );

  it('lives up to an hour', async () => {
    await expect(links.create(LINK_LIMITS.ttlMs + 1, NOW_MS)).rejects.toThrow(RangeError);
    await expect(links.create(0, NOW_MS)).rejects.toThrow(RangeError);
  });

  it('is one of at most 16; those that expired make room', async () => {
    for (let made = 0; made < LINK_LIMITS.most; made += 1) await links.create(60_000, NOW_MS);
    await expect(links.create(60_000, NOW_MS)).rejects.toMatchObject({ code: 'ERR_QUOTA' });
    expect(await files()).toHaveLength(LINK_LIMITS.most + 1);
    await links.create(60_000, NOW_MS + 60_000);
    expect(await files()).toHaveLength(2);
  });

  it('is never one that somebody else could have written', async () => {
    const folder = join(state, 'login');
    for (const [spoil, token] of [
      [(path: string) => chmod(path, 0o666), 'B'],
      [(path: string) => rm(path).then(() => symlink('/etc/hostname', path)), 'C'],
      [(path: string) => rm(path).then(() => mkdir(path)), 'D'],
    ] as const) {
      const name = token.repeat(43);
      const path = join(folder, createHash('sha256').update(name).digest('hex'));
      await writeFile(path, `${NOW_MS + 60_000}\n`, { mode: 0o600 });
      await spoil(path);
      expect(await links.take(name, NOW_MS).catch((error: { code: string }) => error.code), token).not.toBe(
        true,
      );
    }
  });

  it('is not made when no node runs', async () => {
    await links.withdraw();
    await expect(links.create(60_000, NOW_MS)).rejects.toMatchObject({
      code: 'ERR_STATE_FILE',
      message: expect.stringContaining('no node is running') as string,
    });
    await writeFile(join(state, 'login', 'address'), 'file:///etc/passwd\n', { mode: 0o600 });
    await expect(links.create(60_000, NOW_MS)).rejects.toMatchObject({ code: 'ERR_STATE_FILE' });
    await expect(new LoginLinks(join(state, 'nowhere')).create(60_000, NOW_MS)).rejects.toMatchObject({
      code: 'ERR_STATE_FILE',
    });
  });

  it('what a killed writer left is removed in time', async () => {
    const left = join(state, 'login', 'x.tmp');
    await writeFile(left, '');
    await links.create(60_000, NOW_MS);
    expect(await files()).toContain('x.tmp');
    const long = (NOW_MS - 2 * LINK_LIMITS.ttlMs) / 1_000;
    await utimes(left, long, long);
    await links.create(60_000, NOW_MS);
    expect(await files()).not.toContain('x.tmp');
  });
});
