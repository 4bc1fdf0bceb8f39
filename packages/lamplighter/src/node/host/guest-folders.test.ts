import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeConfig, type NodeConfig } from '../config.js';
import { prepareGuestFolders } from './guest-folders.js';
import type { QemuGroup } from './host-machine.js';

const own: QemuGroup = { name: 'ours', id: process.getegid?.() ?? 0, because: 'we are in it' };
/** A group that this user can give a folder to only as root. */
const other: QemuGroup = { name: 'theirs', id: 64_055, because: 'somebody says so' };
const isRoot = process.geteuid?.() === 0;

let folder: string;
beforeEach(async () => {
  folder = await fs.mkdtemp(path.join(os.tmpdir(), 'guest-folders-'));
});
afterEach(() => fs.rm(folder, { recursive: true }));

const socketFolder = (): string => path.join(folder, 'lamplighter');

function config(folderMode = '0750', listen = `unix:${socketFolder()}/egd.sock`): NodeConfig {
  const outlets = [{ kind: 'egd', listen, folderMode }];
  return nodeConfig.parse({ name: 'host', state: folder, sources: [{ kind: 'os' }], outlets });
}

async function seen(): Promise<{ mode: string; gid: number } | undefined> {
  const stat = await fs.stat(socketFolder()).catch(() => undefined);
  return stat && { mode: (stat.mode & 0o7777).toString(8), gid: stat.gid };
}

describe('prepareGuestFolders', () => {
  it('makes a folder that QEMU’s group may enter, and whose files get that group', async () => {
    expect(await prepareGuestFolders(config(), own, { fs })).toEqual([]);
    expect(await seen()).toEqual({ mode: '2750', gid: own.id });
    await fs.writeFile(path.join(socketFolder(), 'made'), '');
    expect((await fs.stat(path.join(socketFolder(), 'made'))).gid).toBe(own.id);
    // Again, as at a restart.
    expect(await prepareGuestFolders(config(), own, { fs })).toEqual([]);
  });

  it.runIf(isRoot)('gives it to a group that is not ours (as root)', async () => {
    expect(await prepareGuestFolders(config(), other, { fs })).toEqual([]);
    expect(await seen()).toEqual({ mode: '2750', gid: other.id });
  });

  it('says when it may not give it away, and leaves a folder that works for us', async () => {
    const refused = (): Promise<never> => Promise.reject(Object.assign(new Error(), { code: 'EPERM' }));
    const faults = await prepareGuestFolders(config(), other, { fs: { ...fs, chown: refused } });
    expect(faults).toMatchObject([{ code: 'ERR_SOCKET_FOLDER' }]);
    expect(faults[0]?.message).toMatch(/theirs cannot enter .*EPERM/);
    expect(await seen()).toMatchObject({ mode: '750' });
  });

  it('looks at a folder that is there, and leaves it as it is', async () => {
    await fs.mkdir(socketFolder(), 0o700);
    await fs.chmod(socketFolder(), 0o700);
    expect((await prepareGuestFolders(config(), own, { fs }))[0]?.message).toMatch(
      /does not let its group in/,
    );
    expect((await prepareGuestFolders(config(), other, { fs }))[0]?.message).toMatch(/its group is number/);
    expect(await seen()).toMatchObject({ mode: '700' });
  });

  it('makes none for 0700, for TCP, and where the parent is missing', async () => {
    expect(await prepareGuestFolders(config('0700'), own, { fs })).toEqual([]);
    expect(await prepareGuestFolders(config('0750', 'tcp:127.0.0.1:8888'), own, { fs })).toEqual([]);
    const nowhere = config('0750', `unix:${folder}/a/b/egd.sock`);
    expect(await prepareGuestFolders(nowhere, own, { fs })).toEqual([]);
    expect(await fs.readdir(folder)).toEqual([]);
  });
});
