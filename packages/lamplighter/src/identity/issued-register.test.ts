import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeIssued, type IssuedEntry } from './issued-entry.js';
import { isRegisterThere, newestByHolder, readRegister, recordIssued, serialsOf } from './issued-register.js';

const DAY_MS = 86_400_000;
let folder = '';
let file = '';
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-'));
  file = join(folder, 'issued.jsonl');
});
afterEach(() => fs.rm(folder, { recursive: true }));

function entry(change: Partial<IssuedEntry> = {}): IssuedEntry {
  const atMs = Math.floor(Date.now() / 1_000) * 1_000;
  return {
    atMs,
    role: 'machine',
    name: 'm',
    serial: randomBytes(16).toString('hex').toUpperCase(),
    notAfterMs: atMs + DAY_MS,
    root: 'ab'.repeat(32),
    trust: 1,
    how: 'issue',
    ...change,
  };
}

async function all(onDamaged?: () => void): Promise<IssuedEntry[]> {
  const found: IssuedEntry[] = [];
  for await (const found_ of readRegister(folder, onDamaged)) found.push(found_);
  return found;
}

describe('a register', () => {
  it('is empty before anything was issued', async () => {
    expect(await all()).toEqual([]);
    expect(await isRegisterThere(folder)).toBe(false);
    expect(await isRegisterThere(join(folder, 'none'))).toBe(false);
  });

  it('holds what was recorded, in order, for its owner only', async () => {
    const entries = [entry(), entry({ role: 'relay', how: 'renew', trust: 3 }), entry({ how: 'enroll' })];
    for (const one of entries) await recordIssued(folder, one);
    expect(await all()).toEqual(entries);
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600);
    expect(await isRegisterThere(folder)).toBe(true);
  });

  it('loses none of many appends at once', async () => {
    const entries = Array.from({ length: 60 }, () => entry());
    await Promise.all(entries.map((one) => recordIssued(folder, one)));
    const serials = (await all()).map(({ serial }) => serial).sort();
    expect(serials).toEqual(entries.map(({ serial }) => serial).sort());
  });

  it('loses none while full files become segments all the time', async () => {
    const old = Array.from({ length: 20 }, () => entry({ notAfterMs: Date.now() - 91 * DAY_MS }));
    const entries = Array.from({ length: 60 }, () => entry());
    await Promise.all([...entries, ...old].map((one) => recordIssued(folder, one, { segmentBytes: 1_000 })));
    const serials = new Set((await all()).map(({ serial }) => serial));
    for (const { serial } of entries) expect(serials).toContain(serial);
    expect((await fs.readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('drops what expired more than 90 days ago when the file is full, and keeps the rest', async () => {
    const [gone, kept] = [89, 91].reverse().map((days) => entry({ notAfterMs: Date.now() - days * DAY_MS }));
    if (gone === undefined || kept === undefined) throw new Error('two entries');
    await recordIssued(folder, gone);
    await recordIssued(folder, kept);
    expect(await all()).toHaveLength(2);
    await recordIssued(folder, entry({ name: 'last' }), { segmentBytes: 1 });
    expect((await all()).map(({ serial, name }) => [serial, name])).toEqual([
      [kept.serial, 'm'],
      [expect.any(String), 'last'],
    ]);
    expect(await fs.readdir(folder)).toEqual([
      expect.stringMatching(/^issued\.[0-9]{15}-[0-9a-f]{12}\.jsonl$/),
    ]);
  });

  it('removes a segment in which nothing is left', async () => {
    await recordIssued(folder, entry({ notAfterMs: Date.now() - 91 * DAY_MS }), { segmentBytes: 1 });
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it('is appended to after a line that a killed writer left half', async () => {
    const [one, two] = [entry(), entry()];
    await fs.writeFile(file, `${encodeIssued(one)}\n${encodeIssued(entry()).slice(0, 50)}`);
    await recordIssued(folder, two);
    let damaged = 0;
    expect(await all(() => (damaged += 1))).toEqual([one, two]);
    expect(damaged).toBe(1);
  });

  it('passes over damaged lines, however long, and counts them', async () => {
    const [one, two] = [entry(), entry()];
    const good = encodeIssued(one);
    const bad = [
      'garbage',
      '{}',
      '[]',
      'null',
      ' '.repeat(300_000),
      good.replace('machine', 'king'),
      good.replace('"m"', '"../m"'),
      good.replace(one.serial, 'xyz'),
      good.replace('"trust":1', '"trust":1.5'),
      good.replace('issue"', 'theft"'),
      good.replace(/"at":"[^"]+"/, '"at":"never"'),
    ];
    await fs.writeFile(file, [good, ...bad, '', encodeIssued(two), ''].join('\n'));
    let damaged = 0;
    expect(await all(() => (damaged += 1))).toEqual([one, two]);
    expect(damaged).toBe(bad.length);
  });

  it('says when it cannot be written or read', async () => {
    await fs.mkdir(file);
    await expect(recordIssued(folder, entry())).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    await expect(all()).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
    await expect(recordIssued(join(folder, 'none'), entry())).rejects.toMatchObject({ code: 'ERR_CA_FILE' });
  });
});

it('tells the unexpired serials of a name, each once, in whatever role', async () => {
  const [one, two] = [entry(), entry({ role: 'relay' })];
  for (const each of [one, one, entry({ name: 'n' }), entry({ notAfterMs: Date.now() - 1 }), two]) {
    await recordIssued(folder, each);
  }
  expect(await serialsOf(folder, 'm')).toEqual(
    [one, two].map(({ serial, notAfterMs }) => ({ serial, notAfter: new Date(notAfterMs) })),
  );
  expect(await serialsOf(folder, 'x')).toEqual([]);
});

it('tells the newest certificate of each holder', async () => {
  const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
  const [older, newer] = [entry({ atMs: nowMs - 1_000 }), entry({ atMs: nowMs })];
  const relay = entry({ role: 'relay', atMs: nowMs - 5_000 });
  for (const each of [newer, older, relay]) await recordIssued(folder, each);
  expect(Object.fromEntries(await newestByHolder(folder))).toEqual({ 'machine/m': newer, 'relay/m': relay });
});
