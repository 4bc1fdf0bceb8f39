import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePrivateDirectory, writeFilesTogether } from './key-files.js';

let folder = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

const file = (name: string, content = name): { path: string; content: string; mode: number } => ({
  path: join(folder, name),
  content,
  mode: 0o600,
});

describe('writeFilesTogether', () => {
  it('writes all, with their modes, and leaves no temporary file', async () => {
    await writeFilesTogether([file('a'), { ...file('b'), mode: 0o640 }]);
    expect((await fs.readdir(folder)).sort()).toEqual(['a', 'b']);
    expect(await fs.readFile(join(folder, 'b'), 'utf8')).toBe('b');
    expect((await fs.stat(join(folder, 'a'))).mode & 0o777).toBe(0o600);
  });

  it('writes none when one is there, be it a dangling link', async () => {
    await fs.symlink('/nowhere', join(folder, 'b'));
    await expect(writeFilesTogether([file('a'), file('b')])).rejects.toMatchObject({
      code: 'ERR_FILE_EXISTS',
    });
    expect(await fs.readdir(folder)).toEqual(['b']);
  });

  it('takes one that is there with the same content for written, where that is fine', async () => {
    await fs.writeFile(join(folder, 'b'), 'b');
    await writeFilesTogether([file('a'), { ...file('b'), sameIsFine: true }]);
    expect((await fs.readdir(folder)).sort()).toEqual(['a', 'b']);
    const other = { ...file('b', 'other'), sameIsFine: true };
    await expect(writeFilesTogether([file('c'), other])).rejects.toMatchObject({ code: 'ERR_FILE_EXISTS' });
    expect(await fs.readFile(join(folder, 'b'), 'utf8')).toBe('b');
  });

  it('leaves nothing behind when it fails half-way', async () => {
    const nowhere = { ...file('x'), path: join(folder, 'missing', 'x') };
    await expect(writeFilesTogether([file('a'), nowhere])).rejects.toThrow('ENOENT');
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it('lets one of two writers of one file win, and tells the other', async () => {
    const results = await Promise.allSettled(
      ['1', '2', '3', '4'].map((text) => writeFilesTogether([file('a', text)])),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'ERR_FILE_EXISTS' });
    }
    expect(await fs.readdir(folder)).toEqual(['a']);
  });

  it('replaces what is there when told to', async () => {
    await writeFilesTogether([file('a', 'old')]);
    await writeFilesTogether([file('a', 'new')], true);
    expect(await fs.readFile(join(folder, 'a'), 'utf8')).toBe('new');
    expect(await fs.readdir(folder)).toEqual(['a']);
  });
});

describe('makePrivateDirectory', () => {
  it('makes parents too, for their owner only, and leaves what is there alone', async () => {
    const inner = join(folder, 'a', 'b');
    await makePrivateDirectory(inner);
    for (const path of [inner, join(folder, 'a')]) expect((await fs.stat(path)).mode & 0o777).toBe(0o700);
    await fs.chmod(inner, 0o750);
    await makePrivateDirectory(inner);
    expect((await fs.stat(inner)).mode & 0o777).toBe(0o750);
  });
});
