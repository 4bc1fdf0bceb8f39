import type { PathLike } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Environment, systemEnvironment } from '../../local/environment.js';
import { needs } from '../../needs.fixture.js';
import { mailboxSource } from '../../sources/mailbox/mailbox.js';
import { isMailboxName } from '../../wire/mailbox.js';
import { type TestNode, testNode } from '../context.fixture.js';
import { describeOutletCompliance } from '../outlet.compliance.js';
import { WITHIN } from '../../within.fixture.js';
import { type MailboxOutlet, type MailboxOutletOptions, mailboxOutlet } from './mailbox.js';

const environment = systemEnvironment();
const never = new AbortController().signal;

let parent: string;
let node: TestNode;
let outlets: MailboxOutlet[] = [];

beforeEach(async () => {
  parent = await fs.mkdtemp(path.join(os.tmpdir(), 'mailbox-'));
  node = testNode();
});

afterEach(async () => {
  for (const outlet of outlets) await outlet.stop(0);
  outlets = [];
  // A write that hung may end only now.
  await fs.rm(parent, { recursive: true, maxRetries: 20, retryDelay: 50 });
});

async function boxes(...names: string[]): Promise<string[]> {
  const folders = names.map((name) => path.join(parent, name));
  for (const folder of folders) await fs.mkdir(folder, { mode: 0o700 });
  return folders;
}

async function started(folders: readonly string[], options: Partial<MailboxOutletOptions> = {}) {
  const outlet = mailboxOutlet({ name: 'mailbox', environment, folders, ...options });
  outlets.push(outlet);
  await outlet.start(node.context, never);
  return outlet;
}

/** What a guest takes: reads and removes all. */
async function take(folder: string): Promise<Buffer[]> {
  const names = (await fs.readdir(folder)).filter(isMailboxName);
  return Promise.all(
    names.map(async (name) => {
      const bytes = await fs.readFile(path.join(folder, name));
      await fs.unlink(path.join(folder, name));
      return bytes;
    }),
  );
}

const files = async (folder: string): Promise<number> =>
  (await fs.readdir(folder)).filter(isMailboxName).length;
const untilFiles = (folder: string, count: number): Promise<void> =>
  vi.waitFor(async () => expect(await files(folder)).toBe(count), 10_000);

describeOutletCompliance('mailbox', async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'mailbox-'));
  const outlet = mailboxOutlet({ name: 'mailbox', environment, folders: [folder], periodMs: 100 });
  let takenBytes = 0;
  return {
    outlet,
    ask: () =>
      vi
        .waitFor(async () => {
          const [bytes] = await take(folder);
          if (bytes === undefined) throw new Error('nothing yet');
          takenBytes += bytes.length;
          // It is there before it is counted: the folder is made durable in between.
          await vi.waitFor(() => expect(outlet.status().bytes).toBeGreaterThanOrEqual(takenBytes), 10_000);
          return bytes;
        }, 700)
        .catch(() => undefined),
    cleanUp: () => fs.rm(folder, { recursive: true }),
  };
});

describe('a mailbox outlet', () => {
  it('drops a file into each folder as soon as the node is seeded, no two alike, and then by timer', async () => {
    const folders = await boxes('web', 'db', 'mail');
    const outlet = await started(folders, { periodMs: 200 });
    expect(outlet.status().state).toBe('waiting');
    for (const folder of folders) expect(await files(folder)).toBe(0);
    node.seed();
    const seen: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (const folder of folders) {
        await vi.waitFor(async () => {
          const taken = await take(folder);
          expect(taken.length).toBeGreaterThan(0);
          seen.push(...taken.map((bytes) => bytes.toString('hex')));
        }, 10_000);
      }
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.every((hex) => hex.length === 128)).toBe(true);
    expect(outlet.status()).toMatchObject({
      state: 'ok',
      details: { folders: 3, faultyFolders: 0, failures: 0 },
    });
  });

  needs('find', 'setpriv')('and the mailbox source of a guest', () => {
    it('understand each other: every file is heard once, and gone', async () => {
      const [folder = ''] = await boxes('web');
      node.seed();
      const outlet = await started([folder], { periodMs: 100 });
      const heard: number[] = [];
      const source = mailboxSource({ folder, periodMs: 100 }, environment);
      try {
        await source.start({ hear: (bytes) => heard.push(bytes.length) }, never);
        await vi.waitFor(
          () => expect(Number(source.status().details['heardFiles'])).toBeGreaterThan(4),
          15_000,
        );
        expect(source.status()).toMatchObject({ state: 'ok', details: { refused: 0, left: 0 } });
        await outlet.stop(1_000);
        const { files } = outlet.status().details;
        await vi.waitFor(() => expect(source.status().details['heardFiles']).toBe(files), 15_000);
        expect(await fs.readdir(folder)).toEqual([]);
      } finally {
        await source.stop();
      }
    });
  });

  it('holds back when a guest takes nothing, and goes on when it does', async () => {
    const [folder = ''] = await boxes('web');
    node.seed();
    const outlet = await started([folder], { periodMs: 100, maxUnread: 2 });
    await vi.waitFor(() => expect(Number(outlet.status().details['heldBack'])).toBeGreaterThan(2), 10_000);
    expect(await files(folder)).toBe(2);
    expect(outlet.status().details).toMatchObject({ files: 2, unread: 2 });
    await take(folder);
    await untilFiles(folder, 2);
  });

  it('drops at once at a resume: everywhere, or for one guest; in place of the oldest when it is full', async () => {
    const [web = '', db = ''] = await boxes('web', 'db');
    node.seed();
    const outlet = await started([web, db], { maxUnread: 1 });
    await untilFiles(web, 1);
    await untilFiles(db, 1);
    const before = await Promise.all([web, db].map((folder) => fs.readdir(folder)));
    const content = (folder: string, at: number) =>
      fs.readFile(path.join(folder, before[at]?.[0] ?? ''), 'hex');
    const old = [await content(web, 0), await content(db, 1)];
    outlet.resume('db');
    await vi.waitFor(async () => expect(await content(db, 1)).not.toBe(old[1]), 10_000);
    expect(await content(web, 0)).toBe(old[0]);
    outlet.resume();
    await vi.waitFor(async () => expect(await content(web, 0)).not.toBe(old[0]), 10_000);
    expect(outlet.status().details).toMatchObject({ unread: 2 });
    outlet.resume('nobody');
    expect(await files(web)).toBe(1);
  });

  it('does nothing at a resume before it is seeded, or when it is stopped', async () => {
    const [folder = ''] = await boxes('web');
    const outlet = await started([folder]);
    outlet.resume();
    await outlet.stop(100);
    outlet.resume();
    node.seed();
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it('serves all others beside folders that are bad, names them, and serves those when they are good', async () => {
    const [web = '', open = ''] = await boxes('web', 'open');
    await fs.chmod(open, 0o777);
    const missing = path.join(parent, 'missing');
    const link = path.join(parent, 'link');
    await fs.symlink('web', link);
    node.seed();
    const outlet = await started([missing, open, link, web], { periodMs: 200 });
    await vi.waitFor(async () => expect((await take(web)).length).toBeGreaterThan(0), 10_000);
    await vi.waitFor(() => expect(outlet.status().details['faultyFolders']).toBe(3), WITHIN);
    expect(outlet.status()).toMatchObject({ state: 'ok', reason: { code: 'ERR_MAILBOX_GONE' } });
    await fs.mkdir(missing, { mode: 0o700 });
    await vi.waitFor(async () => expect(await files(missing)).toBeGreaterThan(0), 10_000);
    expect(await fs.readdir(open)).toEqual([]);
  });

  it('is failed when there is no good folder', async () => {
    node.seed();
    const outlet = await started([path.join(parent, 'none')]);
    await vi.waitFor(() => expect(outlet.status()).toMatchObject({ state: 'failed', bytes: 0 }), WITHIN);
  });

  it('goes on beside a share that hangs, does not touch that again, and stops in time', async () => {
    const [dead = '', web = ''] = await boxes('dead', 'web');
    let [hanging, release] = [0, (): void => undefined];
    const open = ((file: PathLike, ...rest: [number]) => {
      if (file !== dead) return fs.open(file, ...rest);
      hanging += 1;
      return new Promise((resolve) => {
        release = () => resolve(fs.open(file, ...rest));
      });
    }) as Environment['fs']['open'];
    const slow: Environment = { ...environment, fs: { ...environment.fs, open } };
    node.seed();
    const outlet = await started([dead, web], { environment: slow, periodMs: 100, deadlineMs: 100 });
    for (let round = 0; round < 5; round += 1) {
      await vi.waitFor(async () => expect((await take(web)).length).toBeGreaterThan(0), 10_000);
    }
    expect(hanging).toBe(1);
    expect(outlet.status()).toMatchObject({
      reason: { code: 'ERR_DEADLINE' },
      details: { hangingFolders: 1 },
    });
    release();
    await vi.waitFor(() => expect(outlet.status().details['hangingFolders']).toBe(0), 10_000);
    await untilFiles(dead, 1);
    await vi.waitFor(() => expect(hanging).toBe(2), 10_000);
    await outlet.stop(100);
    release();
  });

  it.each([
    ['no folders', []],
    ['a relative one', ['web']],
    ['one twice', ['/srv/web', '/srv/web/']],
    ['a line end', ['/srv/w\neb']],
    ['too many', Array.from({ length: 1_025 }, (_, i) => `/srv/${i}`)],
  ])('is refused with %s', (_what, folders) => {
    const make = () => mailboxOutlet({ name: 'mailbox', environment, folders });
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }) as Error);
  });

  it.each([
    { lengthBytes: 15 },
    { lengthBytes: 4_097 },
    { periodMs: 99 },
    { maxUnread: 0 },
    { deadlineMs: 0 },
  ])('is refused with %j', (options) => {
    expect(() => mailboxOutlet({ name: 'mailbox', environment, folders: ['/a'], ...options })).toThrow(
      RangeError,
    );
  });
});
