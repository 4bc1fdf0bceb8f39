import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeToken, tokenKeys } from './token.js';
import { createToken, type NewToken } from './token-create.js';
import { TokenFolder } from './token-folder.js';
import { listTokens } from './token-list.js';
import { decodeTokenRecord, encodeTokenRecord, type TokenRecord } from './token-record.js';

const NOW_MS = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const USUAL: NewToken = {
  role: 'machine',
  dns: [],
  ip: [],
  ttlMs: 3_600_000,
  uses: 1,
  isRevoked: () => false,
  nowMs: NOW_MS,
};
const anyName = { mayBe: () => true, nowMs: NOW_MS };
const csr = (number: number): string => String(number).padStart(64, '0');

let folder: string;
let tokens: TokenFolder;
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-tokens-'));
  tokens = new TokenFolder(folder);
});
afterEach(() => fs.rm(folder, { recursive: true }));

const files = async (): Promise<string[]> => (await fs.readdir(join(folder, 'tokens'))).sort();

async function make(more: Partial<NewToken> = {}): Promise<TokenRecord & { readonly text: string }> {
  const { text, record } = await createToken(folder, new Uint8Array(32).fill(9), { ...USUAL, ...more });
  return { ...(await tokens.usable(record.id, NOW_MS)), text };
}

describe('making a token', () => {
  it('keeps what is needed to check it, and not its secret', async () => {
    const { text, id, proofKey } = await make({ name: 'web-1', lifeMs: 60_000 });
    const token = decodeToken(text);
    expect(token).toMatchObject({ role: 'machine', expiresAtMs: NOW_MS + 3_600_000 });
    expect(Buffer.from(token.id).toString('hex')).toBe(id);
    expect(proofKey).toEqual(tokenKeys(token.secret).proof);
    const path = join(folder, 'tokens', `${id}.json`);
    const content = await fs.readFile(path, 'utf8');
    const { hedge, seed } = tokenKeys(token.secret);
    for (const secret of [token.secret, hedge, seed]) {
      const bytes = Buffer.from(secret);
      for (const encoding of ['hex', 'base64', 'base64url'] as const) {
        expect(content).not.toContain(bytes.toString(encoding).slice(0, 16));
      }
    }
    expect((await fs.stat(path)).mode & 0o777).toBe(0o600);
    expect((await fs.stat(join(folder, 'tokens'))).mode & 0o777).toBe(0o700);
    expect(await files()).toEqual([`${id}.json`]);
  });

  it.each<[string, Partial<NewToken>, string]>([
    ['a name for several', { name: 'web', uses: 2 }, 'ERR_USAGE'],
    ['a name and a prefix', { name: 'web', prefix: 'web' }, 'ERR_USAGE'],
    ['what is no name', { name: '../web' }, 'ERR_USAGE'],
    ['a prefix too long', { prefix: 'a'.repeat(53) }, 'ERR_USAGE'],
    ['no uses', { uses: 0 }, 'ERR_USAGE'],
    ['too many uses', { uses: 1_001 }, 'ERR_USAGE'],
    ['a life of more than 30 days', { ttlMs: 31 * DAY_MS }, 'ERR_USAGE'],
    ['a server without an address', { role: 'relay' }, 'ERR_USAGE'],
    ['a machine with one', { ip: ['127.0.0.1'] }, 'ERR_USAGE'],
    ['a revoked name', { name: 'web', isRevoked: (name) => name === 'web' }, 'ERR_REVOKED'],
  ])('refuses %s, and keeps nothing', async (_what, more, code) => {
    await expect(make(more)).rejects.toMatchObject({ code });
    await expect(files()).rejects.toThrow('ENOENT');
  });

  it('takes the longest prefix there is', async () => {
    const { prefix } = await make({ prefix: 'a'.repeat(52) });
    expect(prefix).toHaveLength(52);
  });
});

describe('a token', () => {
  it('is good until it expires or is revoked', async () => {
    const { id } = await make();
    await expect(tokens.usable(id, NOW_MS + 3_599_999)).resolves.toMatchObject({ id });
    await expect(tokens.usable(id, NOW_MS + 3_600_000)).rejects.toMatchObject({ code: 'ERR_TOKEN_EXPIRED' });
    await tokens.revoke(id);
    await tokens.revoke(id);
    await expect(tokens.usable(id, NOW_MS)).rejects.toMatchObject({ code: 'ERR_TOKEN_REVOKED' });
  });

  it.each(['', 'f'.repeat(32), '../ca', 'F'.repeat(32)])('with the id %j is unknown', async (id) => {
    await make();
    await fs.writeFile(join(folder, 'ca.json'), '{}');
    await expect(tokens.usable(id, NOW_MS)).rejects.toMatchObject({ code: 'ERR_TOKEN_UNKNOWN' });
    await expect(tokens.revoke(id)).rejects.toMatchObject({ code: 'ERR_TOKEN_UNKNOWN' });
  });

  it('is not good when its file is damaged, cut off, or a copy of another’s', async () => {
    const [one, other] = [await make(), await make()];
    const path = join(folder, 'tokens', `${one.id}.json`);
    const whole = await fs.readFile(path, 'utf8');
    const copy = await fs.readFile(join(folder, 'tokens', `${other.id}.json`), 'utf8');
    const bad = [
      '',
      '{',
      '[]',
      'null',
      whole.slice(0, -10),
      copy,
      ' '.repeat(20_000),
      whole.replace('"uses":1', '"uses":0'),
    ];
    for (const content of bad) {
      await fs.writeFile(path, content);
      await expect(tokens.usable(one.id, NOW_MS), content.slice(0, 40)).rejects.toMatchObject({
        code: 'ERR_TOKEN_FILE',
      });
    }
    expect((await listTokens(folder, NOW_MS)).damaged).toHaveLength(1);
  });

  it('is read back as it was written', async () => {
    const relay = await make({
      role: 'relay',
      name: 'r',
      dns: ['relay.example'],
      ip: ['::1'],
      lifeMs: 1_000,
    });
    const { text, ...record } = relay;
    expect(text).toContain('lamplighter-token-1.');
    expect(decodeTokenRecord(encodeTokenRecord(record), 'file')).toEqual(record);
  });
});

describe('spending', () => {
  it('gives the token’s one name once', async () => {
    const token = await make({ name: 'web-1' });
    expect(await tokens.spend(token, csr(1), anyName)).toEqual({
      number: 0,
      name: 'web-1',
      isRepeated: false,
    });
    await expect(tokens.spend(token, csr(2), anyName)).rejects.toMatchObject({ code: 'ERR_TOKEN_SPENT' });
  });

  it('gives the same request the same again, also when all uses are taken', async () => {
    const token = await make({ prefix: 'web', uses: 2 });
    const first = await tokens.spend(token, csr(1), anyName);
    expect(first.name).toMatch(/^web-[0-9a-f]{10}$/);
    const second = await tokens.spend(token, csr(2), anyName);
    expect(second).toMatchObject({ number: 1, isRepeated: false });
    expect(second.name).not.toBe(first.name);
    expect(await tokens.spend(token, csr(1), anyName)).toEqual({ ...first, isRepeated: true });
    expect((await files()).filter((file) => file.includes('.use-'))).toHaveLength(2);
  });

  it('names machines after their role where nothing else is said', async () => {
    const { name } = await tokens.spend(await make(), csr(1), anyName);
    expect(name).toMatch(/^machine-[0-9a-f]{10}$/);
  });

  it('takes nothing for a name that is revoked, and gives none again that was revoked since', async () => {
    const token = await make({ name: 'web-1' });
    const revoked = { mayBe: () => false, nowMs: NOW_MS };
    await expect(tokens.spend(token, csr(1), revoked)).rejects.toMatchObject({ code: 'ERR_REVOKED' });
    expect(await files()).toEqual([`${token.id}.json`]);
    await tokens.spend(token, csr(1), anyName);
    await expect(tokens.spend(token, csr(1), revoked)).rejects.toMatchObject({ code: 'ERR_REVOKED' });
  });

  it('makes another name where the first is revoked, and no use where all are', async () => {
    const token = await make({ uses: 5 });
    let asked = 0;
    await tokens.spend(token, csr(1), { mayBe: () => (asked += 1) > 3, nowMs: NOW_MS });
    expect(asked).toBe(4);
    await expect(tokens.spend(token, csr(2), { mayBe: () => false, nowMs: NOW_MS })).rejects.toMatchObject({
      code: 'ERR_REVOKED',
    });
  });

  it('many at once, each use goes to one', async () => {
    const token = await make({ uses: 5 });
    const asking = Array.from({ length: 40 }, (_, number) => tokens.spend(token, csr(number % 20), anyName));
    const done = await Promise.allSettled(asking);
    const given = done.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
    expect(new Set(given.map(({ number }) => number)).size).toBe(5);
    expect(new Set(given.map(({ name }) => name)).size).toBe(5);
    expect(given.filter(({ isRepeated }) => !isRepeated)).toHaveLength(5);
    for (const one of done) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ERR_TOKEN_SPENT' });
    }
    expect((await files()).filter((file) => file.endsWith('.tmp'))).toEqual([]);
  });

  it('a use that cannot be read counts as taken: it fails, and is not given twice', async () => {
    const token = await make();
    await fs.writeFile(join(folder, 'tokens', `${token.id}.use-0`), '{"version":1');
    await expect(tokens.spend(token, csr(1), anyName)).rejects.toMatchObject({ code: 'ERR_TOKEN_FILE' });
  });
});

describe('the list', () => {
  it('of a CA without tokens is empty', async () => {
    expect(await listTokens(folder, NOW_MS)).toEqual({ tokens: [], damaged: [] });
  });

  it('says of each what it is, newest first, and no key', async () => {
    const ids = {
      spent: (await make({ name: 'web-1' })).id,
      revoked: (await make({ nowMs: NOW_MS + 1_000 })).id,
      active: (await make({ nowMs: NOW_MS + 2_000, ttlMs: 2 * 3_600_000, uses: 3 })).id,
      expired: (await make({ nowMs: NOW_MS + 3_000, ttlMs: 60_000 })).id,
    };
    const spent = await tokens.usable(ids.spent, NOW_MS);
    await tokens.spend(spent, csr(1), anyName);
    await tokens.noteIssued(ids.spent, 0, { csrHash: csr(1), name: 'web-1', atMs: NOW_MS, serial: '4AB0' });
    await tokens.spend(await tokens.usable(ids.active, NOW_MS), csr(2), anyName);
    await tokens.revoke(ids.revoked);
    const listed = await listTokens(folder, NOW_MS + 120_000);
    expect(listed.damaged).toEqual([]);
    expect(listed.tokens.map(({ id, state }) => ({ id, state }))).toEqual([
      { id: ids.expired, state: 'expired' },
      { id: ids.active, state: 'active' },
      { id: ids.revoked, state: 'revoked' },
      { id: ids.spent, state: 'spent' },
    ]);
    expect(listed.tokens[3]?.taken).toMatchObject([{ name: 'web-1', serial: '4AB0', atMs: NOW_MS }]);
    expect(JSON.stringify(listed)).not.toContain('proofKey');
  });

  it('drops a token and its uses 30 days after its end, and not a day before', async () => {
    const { id, ...token } = await make();
    await tokens.spend({ ...token, id }, csr(1), anyName);
    await tokens.revoke(id);
    const endMs = NOW_MS + 3_600_000;
    expect((await listTokens(folder, endMs + 30 * DAY_MS)).tokens).toHaveLength(1);
    expect(await files()).toHaveLength(3);
    expect((await listTokens(folder, endMs + 30 * DAY_MS + 1)).tokens).toEqual([]);
    expect(await files()).toEqual([]);
  });

  it('removes what a killed writer left, once it is nobody’s', async () => {
    await make();
    const left = join(folder, 'tokens', 'x.json.0123456789ab.tmp');
    await fs.writeFile(left, '');
    const nowMs = Date.now();
    await listTokens(folder, nowMs);
    expect(await files()).toContain('x.json.0123456789ab.tmp');
    await fs.utimes(left, new Date(nowMs - 2 * 3_600_000), new Date(nowMs - 2 * 3_600_000));
    await listTokens(folder, nowMs);
    expect(await files()).not.toContain('x.json.0123456789ab.tmp');
  });
});
