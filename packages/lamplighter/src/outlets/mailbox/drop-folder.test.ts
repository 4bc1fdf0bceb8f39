import { spawnSync } from 'node:child_process';
import type { PathLike } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../../needs.fixture.js';
import { MAX_MAILBOX_FILE_BYTES, isMailboxName } from '../../wire/mailbox.js';
import { type Dropped, type FileOwner, dropFile, slotNames } from './drop-folder.js';

const slots = slotNames(4);
const [first = '', second = '', third = ''] = slots;
const isRoot = process.geteuid?.() === 0;

let outside: string;
let folder: string;

beforeEach(async () => {
  outside = await fs.mkdtemp(path.join(os.tmpdir(), 'mailbox-'));
  folder = path.join(outside, 'web');
  await fs.mkdir(folder, { mode: 0o700 });
});

afterEach(() => fs.rm(outside, { recursive: true, force: true }));

interface Options {
  readonly force?: boolean;
  readonly owner?: FileOwner;
  readonly to?: string;
  readonly changed?: Partial<typeof fs>;
}

const drop = (
  text: string,
  { force = false, owner = {}, to = folder, changed = {} }: Options = {},
): Promise<Dropped> => dropFile(to, Buffer.from(text), { slots, force, owner }, { ...fs, ...changed });
const read = (name: string): Promise<string> => fs.readFile(path.join(folder, name), 'utf8');
const names = async (): Promise<string[]> => (await fs.readdir(folder)).sort();
const code = (code: string) => ({ code });

describe('slotNames', () => {
  it('are a mailbox’s own, different, and the same at every start', () => {
    const many = slotNames(64);
    expect(many.every(isMailboxName)).toBe(true);
    expect(new Set(many).size).toBe(64);
    expect(many.slice(0, 4)).toEqual(slots);
  });
});

describe('a file that is dropped', () => {
  it('is whole, and nothing else is left', async () => {
    expect(await drop('one')).toEqual({ outcome: 'dropped', unread: 1 });
    expect(await names()).toEqual([first]);
    expect(await read(first)).toBe('one');
    await drop('x'.repeat(MAX_MAILBOX_FILE_BYTES));
    expect((await read(second)).length).toBe(MAX_MAILBOX_FILE_BYTES);
  });

  it('does not bury a guest that takes nothing, however often and after however many restarts', async () => {
    for (const text of ['a', 'b', 'c', 'd']) await drop(text);
    for (let i = 0; i < 5; i += 1) expect(await drop('more')).toEqual({ outcome: 'full', unread: 4 });
    expect(await names()).toEqual([...slots].sort());
    await fs.unlink(path.join(folder, third));
    expect(await drop('e')).toEqual({ outcome: 'dropped', unread: 4 });
    expect(await read(third)).toBe('e');
  });

  it('takes the place of the oldest when it must be there', async () => {
    for (const text of ['a', 'b', 'c', 'd']) await drop(text);
    await fs.utimes(path.join(folder, second), 1, 1);
    expect(await drop('now', { force: true })).toEqual({ outcome: 'replaced', unread: 4 });
    expect(await read(second)).toBe('now');
    expect((await names()).length).toBe(4);
  });

  it.each([
    [0o700, 0o600],
    [0o750, 0o640],
    [0o770, 0o640],
    [0o775, 0o640],
    [0o710, 0o600],
  ])('in a folder of mode %o has mode %o, whatever the umask', async (folderMode, mode) => {
    await fs.chmod(folder, folderMode);
    const umask = process.umask(0o077);
    try {
      await drop('one');
    } finally {
      process.umask(umask);
    }
    expect((await fs.stat(path.join(folder, first))).mode & 0o7777).toBe(mode);
  });

  it.skipIf(!isRoot)(
    'is of the folder’s group where that may read it, or of whom one says (needs root)',
    async () => {
      await fs.chown(folder, 0, 65_534);
      await drop('private');
      await fs.chmod(folder, 0o770);
      await drop('shared');
      await drop('given', { owner: { uid: 65_534, gid: 65_534 } });
      const owners = [first, second, third].map(async (name) => {
        const { uid, gid } = await fs.stat(path.join(folder, name));
        return [uid, gid];
      });
      expect(await Promise.all(owners)).toEqual([
        [0, 0],
        [0, 65_534],
        [65_534, 65_534],
      ]);
    },
  );
});

describe('a folder that is refused', () => {
  it('a link, a file, one that is missing', async () => {
    await fs.symlink('web', path.join(outside, 'link'));
    await fs.writeFile(path.join(outside, 'file'), '');
    await expect(drop('x', { to: path.join(outside, 'link') })).rejects.toMatchObject(
      code('ERR_MAILBOX_FOLDER'),
    );
    await expect(drop('x', { to: path.join(outside, 'file') })).rejects.toMatchObject(
      code('ERR_MAILBOX_FOLDER'),
    );
    await expect(drop('x', { to: path.join(outside, 'none') })).rejects.toMatchObject(
      code('ERR_MAILBOX_GONE'),
    );
    expect(await names()).toEqual([]);
  });

  it('one that everybody may write to', async () => {
    await fs.chmod(folder, 0o777);
    await expect(drop('x')).rejects.toMatchObject(code('ERR_MAILBOX_FOLDER'));
    expect(await names()).toEqual([]);
  });

  it.skipIf(!isRoot)('one of another user (needs root)', async () => {
    await fs.chown(folder, 65_534, 65_534);
    await expect(drop('x')).rejects.toMatchObject(code('ERR_MAILBOX_FOLDER'));
    expect(await names()).toEqual([]);
  });
});

describe('a hostile guest', () => {
  it('gets nothing followed or opened: links, FIFOs and files under our names', async () => {
    const secret = path.join(outside, 'secret');
    await fs.writeFile(secret, 'secret');
    const temporary = `.${first}.part`;
    const traps: ((file: string) => unknown)[] = [
      (file) => fs.symlink(secret, file),
      (file) => fs.symlink('/nowhere/at/all', file),
      (file) => spawnSync('mkfifo', [file]),
      (file) => fs.link(secret, file),
      (file) => fs.writeFile(file, 'planted'),
    ];
    for (const trap of traps) {
      await trap(path.join(folder, temporary));
      await drop('fresh');
      expect(await fs.readFile(secret, 'utf8')).toBe('secret');
      expect(await read(first)).toBe('fresh');
      expect(await names()).toEqual([first]);
      // The same under the name of a slot, for a file that must be there.
      for (const slot of slots) {
        await fs.rm(path.join(folder, slot), { force: true });
        await trap(path.join(folder, slot));
      }
      expect(await drop('held')).toEqual({ outcome: 'full', unread: 4 });
      expect(await drop('forced', { force: true })).toMatchObject({ outcome: 'replaced' });
      expect(await fs.readFile(secret, 'utf8')).toBe('secret');
      for (const name of await names()) await fs.rm(path.join(folder, name));
    }
  });

  it('can block its own names with folders, and is told of as a fault, with nothing left behind', async () => {
    for (const slot of slots) await fs.mkdir(path.join(folder, slot));
    expect(await drop('x')).toMatchObject({ outcome: 'full' });
    await expect(drop('x', { force: true })).rejects.toMatchObject(code('ERR_MAILBOX_WRITE'));
    expect(await names()).toEqual([...slots].sort());
    await fs.rmdir(path.join(folder, second));
    await fs.writeFile(path.join(folder, second), 'old');
    expect(await drop('forced', { force: true })).toMatchObject({ outcome: 'replaced' });
    expect(await read(second)).toBe('forced');
    await fs.mkdir(path.join(folder, `.${first}.part`));
    await expect(drop('x', { force: true })).rejects.toMatchObject(code('ERR_MAILBOX_WRITE'));
  });

  it('makes no drop slower by filling its folder', async () => {
    for (let i = 0; i < 5_000; i += 1) await fs.symlink('nowhere', path.join(folder, `junk-${i}`));
    let listings = 0;
    const count = (): never => {
      listings += 1;
      throw new Error('listed');
    };
    await drop('one', { changed: { readdir: count, opendir: count } as unknown as Partial<typeof fs> });
    expect([listings, await read(first)]).toEqual([0, 'one']);
  });

  it('cannot lead a drop elsewhere by replacing its folder in the middle of it', async () => {
    const moved = path.join(outside, 'moved');
    const target = path.join(outside, 'target');
    await fs.mkdir(target);
    const rename = async (from: PathLike, to: PathLike): Promise<void> => {
      await fs.rename(folder, moved);
      await fs.symlink(target, folder);
      await fs.rename(from, to);
    };
    await drop('one', { changed: { rename } });
    expect(await fs.readdir(target)).toEqual([]);
    expect(await fs.readdir(moved)).toEqual([first]);
  });

  it('that swaps the temporary file gets what it put there itself', async () => {
    const rename = async (from: PathLike, to: PathLike): Promise<void> => {
      await fs.unlink(from);
      await fs.symlink('/etc/passwd', String(from));
      await fs.rename(from, to);
    };
    await drop('one', { changed: { rename } });
    expect(await fs.readlink(path.join(folder, first))).toBe('/etc/passwd');
  });
});

needs('mount', 'umount')('a disk that is full', () => {
  it.skipIf(!isRoot)(
    'is a named fault, nothing half written stays, and all is well when there is room (needs root)',
    async (test) => {
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=0700', 'tmpfs', folder]);
      // A container without the right to.
      if (mounted.status !== 0) return test.skip('mount is not permitted');
      try {
        await fs.writeFile(path.join(folder, 'big'), Buffer.alloc(16_384)).catch(() => undefined);
        await expect(drop('one')).rejects.toMatchObject(code('ERR_MAILBOX_WRITE'));
        expect(await names()).toEqual(['big']);
        await fs.unlink(path.join(folder, 'big'));
        expect(await drop('one')).toMatchObject({ outcome: 'dropped' });
      } finally {
        spawnSync('umount', [folder]);
      }
    },
  );
});
