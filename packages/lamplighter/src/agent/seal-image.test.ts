import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seedFacts } from '../doctor/seed-facts.js';
import { systemRuntime } from '../doctor/subject.js';
import { unable } from '../local/ability.js';
import { systemEnvironment } from '../local/environment.js';
import { systemNative } from '../local/native-doors.js';
import { SeedStore } from '../local/seed/seed-store.js';
import { elsewhere } from './seal-image-elsewhere.js';
import type { SealedPlace } from './seal-image-plan.js';
import { sealImage } from './seal-image.js';

const hasAddon = systemNative.available().supported;
const environment = systemEnvironment();
const doors = { environment, native: systemNative };
const SECRET = 'a secret that no copy may have';

let folder: string;
let agent: SealedPlace;
let node: SealedPlace;

beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'lamplighter-seal-'));
  const at = (...names: string[]): string => join(folder, ...names);
  for (const name of ['etc', 'lib/machine', 'lib/machine-node/login', 'log']) {
    await fs.mkdir(at(name), { recursive: true });
  }
  const identity = at('etc/identity.pem');
  agent = {
    kind: 'agent',
    config: at('etc/agent.yaml'),
    state: at('lib/machine'),
    report: at('run/agent.json'),
    identities: [{ key: identity, cert: identity }],
    trust: [at('etc/ca.pem')],
  };
  const [key, cert] = [at('lib/machine-node/relay.key'), at('lib/machine-node/relay.pem')];
  node = {
    kind: 'node',
    config: at('etc/node.yaml'),
    state: at('lib/machine-node'),
    identities: [{ key, cert }],
    trust: [at('lib/machine-node/ca.pem')],
    audit: at('log'),
  };
});
afterEach(() => fs.rm(folder, { recursive: true, force: true }));

const seal = (dryRun = false) => sealImage([agent, node], doors, { dryRun });

/** Every file below the folder, with what is in it. */
async function files(): Promise<Readonly<Record<string, string>>> {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const pairs = found.map(async (path) => [path.slice(folder.length + 1), await fs.readFile(path, 'latin1')]);
  return Object.fromEntries((await Promise.all(pairs)) as [string, string][]);
}

const LEAVES = [
  'etc/identity.pem',
  'etc/identity.pem.next',
  'etc/identity.pending',
  'etc/identity.pem.0123456789ab.part',
  'etc/token',
  'lib/machine/seed',
  'lib/machine/seed.new',
  'lib/machine-node/seed',
  'lib/machine-node/start-number',
  'lib/machine-node/relay.key',
  'lib/machine-node/relay.key.next',
  'lib/machine-node/relay.pem',
  'lib/machine-node/login/address',
  `lib/machine-node/login/${'ab'.repeat(32)}`,
  'log/relay.jsonl',
  'log/relay.jsonl.1',
];
const STAYS = [
  'etc/agent.yaml',
  'etc/node.yaml',
  'etc/ca.pem',
  'etc/enroll.env',
  'lib/machine-node/ca.pem',
  'lib/machine-node/policy.json',
];
/** By nobody named, so nobody may say that it is fine, or remove it. */
const UNKNOWN = 'lib/machine/notes';

async function fill(): Promise<void> {
  for (const path of [...LEAVES, ...STAYS, UNKNOWN]) {
    await fs.writeFile(join(folder, path), `${SECRET} ${path}`, { mode: 0o600 });
  }
  await fs.writeFile(join(folder, 'lib/machine-node/login/address'), 'http://127.0.0.1:1/\n');
}

describe('sealing a machine', () => {
  it('removes what no two machines may share, and says of each file what became of it', async () => {
    await fill();
    const { removed, remaining } = await seal();
    const paths = (list: readonly { path: string }[]): string[] =>
      list.map(({ path }) => path.slice(folder.length + 1)).toSorted();
    expect(paths(removed)).toEqual(LEAVES.toSorted());
    expect(removed.every(({ what, flaw }) => what !== '' && flaw === undefined)).toBe(true);
    const told = (is: 'fine' | 'look') => paths(remaining.filter((one) => one.is === is));
    expect(told('fine')).toEqual(expect.arrayContaining(STAYS));
    expect(told('look')).toEqual([UNKNOWN]);
    const left = Object.keys(await files());
    expect(left.filter((path) => LEAVES.includes(path))).toEqual([]);
    expect(left).toEqual(expect.arrayContaining([...STAYS, UNKNOWN]));
  });

  it('does nothing new the second time', async () => {
    await fill();
    await seal();
    const { 'lib/machine/sealed': first, ...before } = await files();
    const again = await seal();
    expect(again.removed).toEqual([]);
    const { 'lib/machine/sealed': second, ...after } = await files();
    const others = ({ 'lib/machine-node/sealed': _mark, ...rest }: Readonly<Record<string, string>>) => rest;
    expect(others(after)).toEqual(others(before));
    expect([first, second].every((mark) => !Number.isNaN(Date.parse((mark ?? '').trim())))).toBe(true);
  });

  it('changes nothing when it shall only look', async () => {
    await fill();
    const before = await files();
    const { removed } = await seal(true);
    expect(removed).toHaveLength(LEAVES.length);
    expect(await files()).toEqual(before);
  });

  it('overwrites secrets before their names go', async () => {
    await fill();
    const other = join(folder, 'another-name');
    await fs.link(join(folder, 'lib/machine/seed'), other);
    const { removed } = await seal();
    expect((await fs.readFile(other)).every((byte) => byte === 0)).toBe(true);
    const seed = removed.find(({ path }) => path.endsWith('machine/seed'));
    expect(seed?.flaw).toContain('1 more name');
  });

  it('follows a link to a key, and removes both', async () => {
    await fill();
    const real = join(folder, 'real.pem');
    await fs.writeFile(real, SECRET, { mode: 0o600 });
    await fs.rm(join(folder, 'etc/identity.pem'));
    await fs.symlink(real, join(folder, 'etc/identity.pem'));
    await seal();
    await expect(fs.lstat(real)).rejects.toThrow('ENOENT');
    await expect(fs.lstat(join(folder, 'etc/identity.pem'))).rejects.toThrow('ENOENT');
  });

  it('asks to look at a configuration that names another key than enrolment writes', async () => {
    await fill();
    const key = join(folder, 'etc/machine.key');
    const { remaining } = await sealImage([{ ...agent, identities: [{ key, cert: key }] }, node], doors, {
      dryRun: true,
    });
    expect(remaining.find(({ path }) => path === agent.config)).toMatchObject({ is: 'look' });
  });

  it('leaves no mark when something could not be removed', async () => {
    await fill();
    await fs.rm(join(folder, 'lib/machine/seed'));
    await fs.mkdir(join(folder, 'lib/machine/seed'));
    await expect(seal()).rejects.toMatchObject({ code: 'ERR_STATE_FILE' });
    expect(Object.keys(await files()).filter((path) => basename(path) === 'sealed')).toEqual([]);
  });
});

describe('a machine that is not fit to be sealed', () => {
  const refused = async (): Promise<string> => {
    const before = await files();
    const error = await seal().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'ERR_SEAL' });
    const { 'lib/machine/seed.lock': _mine, 'lib/machine-node/seed.lock': _ours, ...after } = await files();
    const { 'etc/enroll.lock': _lock, ...rest } = after;
    expect(rest).toEqual(before);
    return String(error);
  };

  it('because an agent runs there', async () => {
    await fill();
    const stat = await fs.readFile('/proc/self/stat', 'latin1');
    const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    const boot = environment.bootId();
    const bootId = boot.supported ? Buffer.from(boot.value).toString('hex') : '';
    await fs.mkdir(join(folder, 'run'));
    const report = { version: 1, pid: process.pid, resident: true, started: `${bootId}/${started}` };
    await fs.writeFile(agent.report ?? '', JSON.stringify(report));
    expect(await refused()).toContain(`process ${process.pid}`);
    // The same number, another process: that one is over.
    await fs.writeFile(agent.report ?? '', JSON.stringify({ ...report, started: `${bootId}/1` }));
    await expect(seal()).resolves.toBeDefined();
  });

  it('because a node answers where it said', async () => {
    await fill();
    const server = net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await fs.writeFile(join(node.state, 'login/address'), `http://127.0.0.1:${port}/\n`);
    try {
      expect(await refused()).toContain('a node runs on');
    } finally {
      server.close();
      await once(server, 'close');
    }
    await expect(seal()).resolves.toBeDefined();
  });

  it.skipIf(!hasAddon)('because somebody uses the seed or enrols (needs the native addon)', async () => {
    await fill();
    for (const [path, code] of [
      [join(agent.state, 'seed.lock'), 'ERR_SEAL'],
      [join(folder, 'etc/enroll.lock'), 'ERR_OUTPUT_FILE'],
    ] as const) {
      const lock = await fs.open(path, 'w');
      systemNative.lockFile(lock.fd, { exclusive: true });
      await expect(seal()).rejects.toMatchObject({ code });
      await lock.close();
    }
    expect(Object.keys(await files())).toEqual(expect.arrayContaining(LEAVES));
    await expect(seal()).resolves.toBeDefined();
  });

  it('because the key of a CA is here', async () => {
    await fill();
    await fs.writeFile(join(node.state, 'ca.key'), SECRET);
    expect(await refused()).toContain('is the key of a CA');
  });

  it('because the state of a node is here that nobody named', async () => {
    await fill();
    const other = join(folder, 'lib/machine-node-b');
    await fs.mkdir(other);
    await fs.writeFile(join(other, 'seed'), SECRET);
    expect(await refused()).toContain(other);
  });
});

describe.skipIf(!hasAddon)('the doctor (needs the native addon)', () => {
  it('says "sealed" until there is a seed again', async () => {
    const store = new SeedStore(agent.state, doors);
    const subject = { ...doors, runtime: systemRuntime(), state: agent.state };
    const look = async () => (await seedFacts(subject)).find(({ id }) => id === 'seed');
    await store.create(randomBytes(64), { replace: false });
    expect((await look())?.values).toMatchObject({ state: 'there' });
    await seal();
    const sealed = await look();
    expect(sealed).toMatchObject({ level: 'weak', values: { state: 'missing', code: 'ERR_SEED_MISSING' } });
    expect(sealed?.text).toMatch(/^sealed at \d{4}-/);
    expect(sealed?.action).toContain('lamplighter enroll');
    await store.create(randomBytes(64), { replace: false });
    expect((await look())?.text).not.toContain('sealed');
  });

  it('is not taken in by a mark that is none', async () => {
    await fs.writeFile(join(agent.state, 'sealed'), 'long ago\n'.repeat(100));
    const subject = { ...doors, runtime: systemRuntime(), state: agent.state };
    expect((await seedFacts(subject))[0]?.text).toContain('there is none');
  });
});

it('seals without the addon, by the checks that need no lock', async () => {
  await fill();
  const native = { lockFile: () => unable('not here') };
  const { removed } = await sealImage([agent, node], { environment, native }, { dryRun: false });
  expect(removed).toHaveLength(LEAVES.length);
});

it('tells of what is not ours, and of nothing else', async () => {
  expect(await elsewhere(environment, folder)).toEqual([]);
  await fs.mkdir(join(folder, 'etc/ssh'));
  await fs.writeFile(join(folder, 'etc/machine-id'), 'uninitialized\n');
  for (const name of ['ssh_host_ed25519_key', 'ssh_host_ed25519_key.pub', 'sshd_config']) {
    await fs.writeFile(join(folder, 'etc/ssh', name), 'x');
  }
  expect((await elsewhere(environment, folder)).map(({ path }) => path)).toEqual([
    '/etc/ssh/ssh_host_ed25519_key',
  ]);
  await fs.writeFile(join(folder, 'etc/machine-id'), `${'a0'.repeat(16)}\n`);
  await fs.mkdir(join(folder, 'var/lib/systemd'), { recursive: true });
  await fs.writeFile(join(folder, 'var/lib/systemd/random-seed'), 'x');
  expect((await elsewhere(environment, folder)).map(({ path }) => path)).toEqual([
    '/var/lib/systemd/random-seed',
    '/etc/machine-id',
    '/etc/ssh/ssh_host_ed25519_key',
  ]);
});
