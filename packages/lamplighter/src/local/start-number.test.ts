import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceDurably } from './durable-file.js';
import { systemEnvironment } from './environment.js';
import { raiseStartNumber } from './start-number.js';

const environment = systemEnvironment();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('start number', () => {
  it('begins at 1 in a folder it makes, and rises by one each time', async () => {
    const state = join(folder, 'new', 'state');
    expect(await raiseStartNumber(environment, state)).toBe(1n);
    expect(await raiseStartNumber(environment, state)).toBe(2n);
    expect(await raiseStartNumber(environment, state)).toBe(3n);
    expect((await stat(state)).mode & 0o777).toBe(0o700);
    expect((await stat(join(state, 'start-number'))).mode & 0o777).toBe(0o600);
    expect(await readdir(state)).toEqual(['start-number']);
  });

  it.each(['', 'seven\n', '-1\n', '12', '123456789012345678901\n'])(
    'does not start again from one when its file holds %j',
    async (text) => {
      await writeFile(join(folder, 'start-number'), text);
      await expect(raiseStartNumber(environment, folder)).rejects.toMatchObject({ code: 'ERR_STATE_FILE' });
    },
  );

  it('is not given out unless it is durable', async () => {
    await raiseStartNumber(environment, folder);
    const broken = {
      ...environment,
      fs: {
        ...environment.fs,
        rename: () => Promise.reject(Object.assign(new Error('disk full'), { code: 'ENOSPC' })),
      },
    } as unknown as typeof environment;
    await expect(raiseStartNumber(broken, folder)).rejects.toMatchObject({ code: 'ERR_STATE_FILE' });
    expect(await readdir(folder)).toEqual(['start-number']);
    expect(await raiseStartNumber(environment, folder)).toBe(2n);
  });

  it('says so when the folder cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(raiseStartNumber(environment, join(folder, 'file', 'state'))).rejects.toMatchObject({
      code: 'ERR_STATE_DIRECTORY',
    });
  });
});

describe('replacing a file durably', () => {
  it('writes the whole content with the mode asked for, whatever was there', async () => {
    const path = join(folder, 'x');
    await writeFile(path, 'a much longer old content');
    await chmod(path, 0o644);
    await replaceDurably(environment.fs, path, Buffer.from('new'), 0o600);
    expect((await environment.fs.readFile(path)).toString()).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});
