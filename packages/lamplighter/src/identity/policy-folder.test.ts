import { execFileSync } from 'node:child_process';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_POLICY_ENTRIES, NO_POLICY } from './policy.js';
import { entryFile, entryOf } from './policy-entry.js';
import { PolicyFolder, policyDirectory, readPolicy } from './policy-folder.js';

let ca: string;
let directory: string;
beforeEach(async () => {
  ca = await fs.mkdtemp(join(tmpdir(), 'lamplighter-policy-'));
  directory = policyDirectory(ca);
  await fs.mkdir(directory);
});
afterEach(() => fs.rm(ca, { recursive: true, force: true }));

const put = (file: string, content: string | object): Promise<void> =>
  fs.writeFile(join(directory, file), typeof content === 'string' ? content : `${JSON.stringify(content)}\n`);

/** What the folder says, and what is wrong with it, after everything was looked into. */
async function readAll(folder = new PolicyFolder(fs, directory)) {
  const policy = await folder.read();
  while (await folder.inspect(1_000));
  return { policy, faults: folder.faults.map(({ message }) => message.replace(`${directory}/`, '')) };
}

describe('the names of entries', () => {
  it('are read as they are written', () => {
    for (const key of [
      { kind: 'name', of: 'web-1' },
      { kind: 'name', of: 'a.json' },
      { kind: 'quota', of: 'name-x' },
      { kind: 'serial', of: '40AB' },
    ] as const) {
      expect(entryOf(entryFile(key))).toEqual(key);
    }
  });

  it.each(['..', '../x', 'a/b', '/etc/passwd', '.hidden', '', 'a\0b', 'Web-1', 'x'.repeat(64), 'a b'])(
    'never come from %j',
    (of) => {
      expect(() => entryFile({ kind: 'name', of })).toThrow(RangeError);
      expect(() => entryFile({ kind: 'quota', of })).toThrow(RangeError);
      expect(() => entryFile({ kind: 'serial', of })).toThrow(RangeError);
    },
  );

  it.each(['0A', 'ab', '../AB', 'AB/CD', 'AB.json', ''])('never come from the serial %j', (of) => {
    expect(() => entryFile({ kind: 'serial', of })).toThrow(RangeError);
  });
});

describe('readPolicy', () => {
  it('finds what was decided', async () => {
    await put('name-web-1.json', { at: '2025-01-01T00:00:00Z', reason: 'stolen' });
    await put('serial-40AB.json', { at: '2025-01-01T00:00:00Z', notAfter: '2026-01-01T00:00:00Z' });
    await put('quota-web-2.json', { at: '2025-01-01T00:00:00Z', beaconBurst: 7 });
    const faults: LamplighterError[] = [];
    expect(await readPolicy(ca, (fault) => faults.push(fault))).toEqual({
      revokedNames: new Set(['web-1']),
      revokedSerials: new Set(['40AB']),
      quotas: new Map([['web-2', { beaconBurst: 7 }]]),
    });
    expect(faults).toEqual([]);
  });

  it('is empty for a CA that has decided nothing, and an error where there is no folder at all', async () => {
    await fs.rmdir(directory);
    expect(await readPolicy(ca)).toEqual(NO_POLICY);
    await expect(readPolicy(join(ca, 'elsewhere'))).rejects.toMatchObject({ code: 'ERR_POLICY_FILE' });
    await fs.writeFile(directory, 'a file');
    await expect(readPolicy(ca)).rejects.toMatchObject({ code: 'ERR_POLICY_FILE' });
  });

  it('revokes whoever a file is named after, however torn it is, and tells of it', async () => {
    await put('name-empty.json', '');
    await put('name-torn.json', '{"at":"2025-01-');
    await put('name-long.json', `{"reason":"${'x'.repeat(5_000)}"}`);
    await put('name-list.json', '[]');
    await put('name-esc.json', { reason: '\u001b[2J' });
    await put('serial-40ab.json', { notAfter: 'soon' });
    await fs.mkdir(join(directory, 'name-folder.json'));
    await fs.symlink('/nowhere/at/all', join(directory, 'name-link.json'));
    execFileSync('mkfifo', [join(directory, 'name-fifo.json')]);
    const { policy, faults } = await readAll();
    expect([...policy.revokedNames].sort()).toEqual(
      ['empty', 'esc', 'fifo', 'folder', 'link', 'list', 'long', 'torn'].sort(),
    );
    expect(policy.revokedSerials).toEqual(new Set(['40AB']));
    expect(faults.sort()).toEqual(
      [
        'name-empty.json is not JSON',
        'name-torn.json is not JSON',
        'name-long.json has more than 4096 bytes',
        'name-list.json holds no JSON object',
        'name-esc.json has no text as reason',
        'name-fifo.json is no file',
        'name-folder.json is no file',
        'serial-40ab.json has no moment as notAfter',
        'serial-40ab.json should be called serial-40AB.json',
      ].sort(),
    );
  });

  it('does not take two names for two that are written alike, and tells of the one that is wrong', async () => {
    await put('name-Web-1.json', {});
    await put('serial-00ab.json', {});
    await put('serial-AB.json', {});
    await put('quota-web-2.json', { beaconBurst: 5 });
    await put('quota-WEB-2.json', { beaconBurst: 6_000_000 });
    const { policy, faults } = await readAll();
    expect(policy).toEqual({
      revokedNames: new Set(['web-1']),
      revokedSerials: new Set(['AB']),
      quotas: new Map([['web-2', { beaconBurst: 5 }]]),
    });
    expect(faults.sort()).toEqual([
      'name-Web-1.json should be called name-web-1.json',
      'quota-WEB-2.json should be called quota-web-2.json',
      'serial-00ab.json should be called serial-AB.json',
    ]);
  });

  it('names what is no entry, and knows what is still being written', async () => {
    for (const file of ['README', 'name-web-1', 'name-.json', 'quota-é.json', 'serial-XYZ.json'])
      await put(file, '');
    await put('.name-web-1.json.swp', '');
    await put('name-web-1.json.0123456789ab.tmp', '{}');
    const { policy, faults } = await readAll();
    expect(policy).toEqual(NO_POLICY);
    expect(faults).toHaveLength(5);
  });

  it('gives no quota out of a file that says anything but a quota', async () => {
    await put('quota-a.json', { beaconBurst: 0 });
    await put('quota-b.json', { beaconsBurst: 5 });
    await put('quota-c.json', '');
    const { policy, faults } = await readAll();
    expect(policy).toEqual(NO_POLICY);
    expect(faults.sort()).toEqual([
      'quota-a.json holds a number that no quota may be',
      'quota-b.json has a key that is no quota: beaconsBurst',
      'quota-c.json is not JSON',
    ]);
  });
});

describe('PolicyFolder', () => {
  it('is the same object until something changes, and opens only what is new', async () => {
    const opened: string[] = [];
    const watched: typeof fs = {
      ...fs,
      open: (path, ...rest) => {
        opened.push(String(path).slice(directory.length + 1));
        return fs.open(path, ...rest);
      },
    };
    const folder = new PolicyFolder(watched, directory);
    await put('name-a.json', {});
    await put('quota-a.json', { connections: 3 });
    const first = (await readAll(folder)).policy;
    expect((await readAll(folder)).policy).toBe(first);
    await put('name-b.json', {});
    const second = (await readAll(folder)).policy;
    expect(second).not.toBe(first);
    expect(opened.sort()).toEqual(['name-a.json', 'name-b.json', 'quota-a.json']);
    expect(first.revokedNames).toEqual(new Set(['a']));
    await fs.rm(join(directory, 'name-a.json'));
    await put('quota-a.json', { connections: 4 });
    expect((await readAll(folder)).policy).toEqual({
      revokedNames: new Set(['b']),
      revokedSerials: new Set(),
      quotas: new Map([['a', { connections: 4 }]]),
    });
  });

  it('keeps what it knew when the folder cannot be read', async () => {
    await put('name-a.json', {});
    const folder = new PolicyFolder(fs, directory);
    const policy = await folder.read();
    await fs.rename(directory, `${directory}-aside`);
    await expect(folder.read()).rejects.toMatchObject({ code: 'ERR_POLICY_FILE' });
    await fs.rename(`${directory}-aside`, directory);
    expect(await folder.read()).toBe(policy);
  });

  it('tells no more of a fault that was put right', async () => {
    await put('name-a.json', 'torn');
    const folder = new PolicyFolder(fs, directory);
    expect((await readAll(folder)).faults).toHaveLength(1);
    await put('name-a.json', {});
    expect((await readAll(folder)).faults).toEqual([]);
  });

  it('takes no more than its bound, forgets none of them, and says so', { timeout: 120_000 }, async () => {
    const touch = `seq -f name-n%.0f.json ${MAX_POLICY_ENTRIES + 1} | xargs touch`;
    execFileSync('sh', ['-c', touch], { cwd: directory });
    const folder = new PolicyFolder(fs, directory);
    expect((await folder.read()).revokedNames.size).toBe(MAX_POLICY_ENTRIES);
    expect(folder.faults.map(({ code }) => code)).toEqual(['ERR_POLICY_FILE']);
    await fs.rm(join(directory, 'name-n1.json'));
    expect((await folder.read()).revokedNames.size).toBe(MAX_POLICY_ENTRIES);
    expect(folder.faults).toEqual([]);
  });

  it('knows which certificates came to their end', async () => {
    await put('serial-A.json', { notAfter: '2025-01-01T00:00:00Z' });
    await put('serial-B.json', { notAfter: '2025-01-03T00:00:00Z' });
    await put('serial-C.json', {});
    await put('name-d.json', { notAfter: '2020-01-01T00:00:00Z' });
    const folder = new PolicyFolder(fs, directory);
    await readAll(folder);
    expect(folder.endedBefore(Date.parse('2025-01-02T00:00:00Z'))).toEqual(['serial-A.json']);
  });
});
