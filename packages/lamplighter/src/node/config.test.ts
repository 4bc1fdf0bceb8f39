import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadAgentConfig } from '../agent/config-file.js';
import { systemEnvironment } from '../local/environment.js';
import { changedEntries, refuseFixedChanges } from './config-change.js';
import { loadNodeConfig, type NodeConfig, nodeConfig } from './config.js';

const environment = systemEnvironment();
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function load(text: string): Promise<NodeConfig> {
  const path = join(folder, 'node.yaml');
  await writeFile(path, text);
  return loadNodeConfig(environment, path);
}

async function fault(text: string): Promise<LamplighterError> {
  const error: unknown = await load(text).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof LamplighterError)) throw new Error('expected a fault');
  return error;
}

const LEAST = 'name: here\nstate: state\nsources: [{ kind: os }]\n';
const TLS = 'tls: { ca: ca.pem, cert: here.pem, key: here.key }\n';

describe('a node’s configuration', () => {
  it('is small where the defaults do', async () => {
    expect(await load(LEAST)).toEqual({
      name: 'here',
      state: join(folder, 'state'),
      carriers: [],
      admin: { host: '127.0.0.1', port: 9600, roles: ['admin'], preview: true },
      schedule: 'improved',
      seedDeadlineMs: 10_000,
      quotas: {},
      log: { level: 'info' },
      sources: [{ kind: 'os', name: 'os', required: false, periodMs: 1_000 }],
      outlets: [],
    });
  });

  it('needs no address where guests come over serial lines', async () => {
    const carriers = 'carriers: [{ listen: run/guests.sock }, { name: a, connect: a.sock }]\n';
    const beacon = 'outlets: [{ kind: beacon }]\n';
    const config = await load(LEAST + TLS + carriers + beacon);
    expect(config.listen).toBe(undefined);
    expect(config.carriers).toMatchObject([
      { name: 'carrier', listen: join(folder, 'run/guests.sock'), maxLines: 256 },
      { name: 'a', connect: join(folder, 'a.sock') },
    ]);
    await expect(load(LEAST + carriers)).rejects.toThrow(/tls: missing/);
    const twice = 'carriers: [{ listen: a.sock }, { listen: b.sock }]\n';
    await expect(load(LEAST + TLS + twice)).rejects.toThrow(/carriers\[1\].name: 'carrier' is used twice/);
  });

  it('takes its paths from the folder it stands in', async () => {
    const { tls } = await load(LEAST + TLS);
    expect(tls).toEqual({
      ca: join(folder, 'ca.pem'),
      cert: join(folder, 'here.pem'),
      key: join(folder, 'here.key'),
    });
  });

  it.each([
    ['name: UPPER\nstate: s\nsources: [{ kind: os }]', 'name: expected a name of a-z'],
    ['name: here\nsources: [{ kind: os }]', 'state: '],
    ['name: here\nstate: s\nsources: []', 'sources: '],
    ['name: here\nstate: s\nsources: [{ kind: os, periodMs: 1 }]', 'sources[0].periodMs: '],
    ['name: here\nstate: s\nsources: [{ kind: oz }]', 'sources[0].kind: '],
    [`${LEAST}colour: red\n`, 'colour'],
    [`${LEAST}outlets: [{ kind: kernel, pace: 3 }]\n`, 'outlets[0]: '],
    [
      `${LEAST}${TLS}`.replace('{ kind: os }', '{ kind: feed, url: "http://a" }'),
      'sources[0].url: expected a URL that begins with https://',
    ],
  ])('names the key path of a fault: %j', async (text, path) => {
    const { code, message, hint } = await fault(text);
    expect(code).toBe('ERR_CONFIG');
    expect(message).toContain(`node.yaml: ${path}`.replace('node.yaml: colour', 'node.yaml: the file: '));
    expect(hint).toBeDefined();
  });

  it('names every fault, not only the first', async () => {
    const { message } = await fault('name: UPPER\nstate: s\nsources: [{ kind: os, periodMs: 1 }]');
    expect(message).toContain('name: ');
    expect(message).toContain('sources[0].periodMs: ');
  });

  it('names the place of what is not YAML', async () => {
    expect((await fault('name: here\nsources: [')).message).toMatch(/node\.yaml:\d+:\d+: /);
  });

  it('refuses what no entry alone can know', async () => {
    expect((await fault(`${LEAST}outlets: [{ kind: kernel }, { kind: kernel }]\n`)).message).toContain(
      "outlets[1].name: 'kernel' is used twice",
    );
    expect((await fault(`${LEAST}${TLS}outlets: [{ kind: beacon }]\n`)).message).toContain('listen: missing');
    expect((await fault(`${LEAST}listen: { port: 1 }\n`)).message).toContain('tls: missing');
  });

  it('says which file cannot be read', async () => {
    await expect(loadNodeConfig(environment, join(folder, 'none.yaml'))).rejects.toMatchObject({
      code: 'ERR_CONFIG_FILE',
    });
    await writeFile(join(folder, 'large.yaml'), Buffer.alloc(1024 * 1024 + 1, '#'));
    await expect(loadNodeConfig(environment, join(folder, 'large.yaml'))).rejects.toMatchObject({
      code: 'ERR_CONFIG_FILE',
    });
  });

  it('does not grow without bound from aliases', async () => {
    const bomb = [
      'a: &a [x]',
      ...'bcdefghij'
        .split('')
        .map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]`),
    ];
    await expect(load(bomb.join('\n'))).rejects.toThrow();
  });

  it('has a JSON Schema that describes every key', () => {
    const schema = z.toJSONSchema(nodeConfig, { io: 'input' });
    expect(Object.keys(schema.properties ?? {}).sort()).toEqual(Object.keys(nodeConfig.shape).sort());
    expect(schema.required).toEqual(['name', 'state', 'sources']);
  });
});

describe('docs/CONFIGURATION.md', () => {
  it('has a row for every source and every outlet', async () => {
    const text = await readFile(new URL('../../../../docs/CONFIGURATION.md', import.meta.url), 'utf8');
    const { sources, outlets } = nodeConfig.shape;
    for (const entry of [...sources.element.options, ...outlets.unwrap().element.options]) {
      const [kind] = entry.shape.kind.values;
      expect(text).toContain(`\n| \`${kind}\` |`);
    }
  });
});

describe('an agent’s configuration', () => {
  it('is small where the defaults do, and names its faults', async () => {
    const path = join(folder, 'agent.yaml');
    await writeFile(path, `${TLS}relays: [{ name: a, url: "https://relay:9443" }]\n`);
    expect(await loadAgentConfig(environment, path)).toMatchObject({
      require: 1,
      deadlineMs: 5_000,
      kernel: { device: '/dev/random' },
    });
    await writeFile(path, `${TLS}relays: []\n`);
    await expect(loadAgentConfig(environment, path)).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringContaining('relays: ') as string,
    });
  });
});

describe('a changed configuration', () => {
  it('is followed entry by entry', () => {
    const before = [
      { name: 'a', url: 1 },
      { name: 'b', url: 1 },
      { name: 'c', url: 1 },
    ];
    const after = [
      { name: 'a', url: 1 },
      { name: 'b', url: 2 },
      { name: 'd', url: 1 },
    ];
    expect(changedEntries(before, after)).toEqual({ gone: ['b', 'c'], fresh: [after[1], after[2]] });
    expect(changedEntries(before, before)).toEqual({ gone: [], fresh: [] });
  });

  it('is refused where only a restart can follow it', async () => {
    const before = await load(LEAST);
    expect(() => refuseFixedChanges(before, { ...before, seedDeadlineMs: 200 })).not.toThrow();
    expect(() => refuseFixedChanges(before, { ...before, name: 'other', state: '/elsewhere' })).toThrow(
      'cannot change while running: name, state',
    );
  });
});
