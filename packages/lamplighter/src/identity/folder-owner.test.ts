import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeOwnedDirectory } from './folder-owner.js';
import { recordIssued } from './issued-register.js';
import { writeFilesTogether } from './key-files.js';
import { revokeSerial } from './policy-changes.js';
import { createAuthority } from './authority.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

let folder = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

const ownerOf = async (...names: string[]): Promise<number> => (await fs.stat(join(folder, ...names))).uid;

describe.skipIf(!isRoot)('what root makes in the folder of somebody else (root)', () => {
  beforeEach(async () => {
    await createAuthority({ directory: folder });
    await fs.chown(folder, NOBODY, NOBODY);
  });

  it('is his: files, directories, register, policy', async () => {
    await makeOwnedDirectory(join(folder, 'a', 'b'), 0o700);
    await writeFilesTogether([{ path: join(folder, 'a', 'file'), content: 'x', mode: 0o600 }]);
    await recordIssued(folder, {
      atMs: Date.now(),
      role: 'machine',
      name: 'web-1',
      serial: 'AB',
      notAfterMs: Date.now() + 1_000,
      root: '00'.repeat(8),
      trust: 1,
      how: 'issue',
    });
    await revokeSerial(folder, 'AB');
    for (const names of [
      ['a'],
      ['a', 'b'],
      ['a', 'file'],
      ['issued.jsonl'],
      ['policy'],
      ['policy', 'serial-AB.json'],
    ]) {
      expect([names, await ownerOf(...names)]).toEqual([names, NOBODY]);
    }
  });

  it('is not what a link of his leads to', async () => {
    const elsewhere = join(folder, 'elsewhere');
    await fs.writeFile(elsewhere, 'root’s');
    await fs.symlink(elsewhere, join(folder, 'issued.jsonl'));
    const entry = {
      atMs: 1,
      role: 'machine',
      name: 'a',
      serial: 'AB',
      notAfterMs: 2,
      root: '00',
      trust: 1,
      how: 'issue',
    } as const;
    await expect(recordIssued(folder, entry)).rejects.toThrow();
    expect(await fs.readFile(elsewhere, 'utf8')).toBe('root’s');
    expect(await ownerOf('elsewhere')).toBe(0);
  });
});

describe('makeOwnedDirectory', () => {
  it('says whether it made any, and leaves those that are there', async () => {
    expect(await makeOwnedDirectory(join(folder, 'one', 'two'), 0o700)).toBe(true);
    await fs.chmod(join(folder, 'one'), 0o750);
    expect(await makeOwnedDirectory(join(folder, 'one', 'two'), 0o700)).toBe(false);
    expect((await fs.stat(join(folder, 'one'))).mode & 0o777).toBe(0o750);
    expect((await fs.stat(join(folder, 'one', 'two'))).mode & 0o777).toBe(0o700);
  });
});
