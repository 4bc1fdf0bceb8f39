import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { BASIS_HEADER, BEACON_CONTENT_TYPE } from '../wire/beacon.js';
import { Listener } from '../wire/listener.js';
import { OutgoingConnections } from '../wire/outgoing.js';
import {
  type PollenScript,
  response,
  rightAnswer,
  type ScriptedPollen,
  scriptedPollen,
} from '../wire/pollen-server.fixture.js';
import { boot, type BootReport, exitCodeOf } from './boot.js';
import { agentConfig } from './config.js';

/*
 * Boots on a machine on which nothing moves, with pollen servers that are really asked: whatever changes what the kernel gets came
 * from them.
 */

/** The same in every run, and after every certificate was made. */
const NOW_MS = Date.now() + 60_000;
/** Nobody listens there. */
const NOWHERE = 'https://127.0.0.1:9';

let folder: string;
let authority: TestAuthority;
let pinned: { cert: Buffer; key: Buffer };
const servers: ScriptedPollen[] = [];
const listeners: Listener[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-boot-'));
  authority = await testAuthority();
  const machine = await authority.material({ role: 'machine', name: 'web-1' });
  await writeFile(join(folder, 'ca.pem'), authority.pem);
  await writeFile(join(folder, 'web.pem'), machine.cert);
  await writeFile(join(folder, 'web.key'), machine.key, { mode: 0o600 });
  const other = await testAuthority('Somebody else');
  await writeFile(join(folder, 'pollen-ca.pem'), other.pem);
  pinned = await other.make();
});

afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.stop(0)));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  await rm(folder, { recursive: true });
});

/** Gives this second line to everybody, as a server that somebody owns may. */
const giving =
  (second: string): PollenScript =>
  (challenge, socket) =>
    socket.end(response(200, rightAnswer(challenge, second)));

/** 64 bytes as hex, in which nothing repeats. */
const second = (first: number): string =>
  Buffer.from(Array.from({ length: 64 }, (_, index) => first + index)).toString('hex');

async function pollen(script: PollenScript, secure: boolean): Promise<number> {
  const server = await scriptedPollen(script, secure ? { tls: pinned } : {});
  servers.push(server);
  return server.port;
}

const overTls = async (name: string, script: PollenScript): Promise<object> => ({
  name,
  url: `https://localhost:${await pollen(script, true)}/`,
  ca: join(folder, 'pollen-ca.pem'),
});
const inTheClear = async (name: string, script: PollenScript): Promise<object> => ({
  name,
  url: `http://127.0.0.1:${await pollen(script, false)}/`,
});

/** A relay whose beacons are all this byte. */
async function relay(byte: number): Promise<string> {
  const listener = new Listener(await authority.material({ role: 'relay', name: 'relay' }));
  listeners.push(listener);
  listener.route({
    method: 'POST',
    path: '/v1/beacon',
    roles: ['machine'],
    maxBodyBytes: 64,
    handle: async (exchange) =>
      exchange.reply(
        200,
        { 'content-type': BEACON_CONTENT_TYPE, [BASIS_HEADER]: 'physical' },
        new Uint8Array(64).fill(byte),
      ),
  });
  const { port } = await listener.listen({ host: '127.0.0.1', port: 0 });
  return `https://127.0.0.1:${port}`;
}

interface Booted {
  readonly report: BootReport;
  /** What the kernel got. */
  readonly kernel: string | undefined;
  /** What another boot of the same machine makes of the seed it left. */
  readonly seed: string;
}

/** One boot of a machine whose seed is the same each time. */
async function bootWith(servers: readonly object[], relayUrl = NOWHERE, rest: object = {}): Promise<Booted> {
  const state = await mkdtemp(join(folder, 'state-'));
  const at = (file: string): string => join(folder, file);
  const config = agentConfig.parse({
    tls: { ca: at('ca.pem'), cert: at('web.pem'), key: at('web.key') },
    relays: [{ name: 'relay-1', url: relayUrl, peer: 'relay' }],
    pollen: servers,
    state,
    ...rest,
  });
  const fixed = fixedEnvironment();
  const aheadNs = BigInt(NOW_MS) * 1_000_000n - fixed.realtimeNs();
  const environment = { ...fixed, realtimeNs: () => fixed.realtimeNs() + aheadNs };
  const notes: { call: string; bytes: string }[] = [];
  const [process, native] = [fixedProcess(environment), notingNative(notes)];
  const keeper = new SeedKeeper(state, { environment, native, process });
  await keeper.store.create(new Uint8Array(64).fill(7), { replace: true });
  const outgoing = new OutgoingConnections(environment, () => undefined);
  const report = await boot(
    config,
    { environment, native, process, keeper, outgoing },
    { signal: new AbortController().signal, use: keeper.open() },
  );
  expect(outgoing.size).toBe(0);
  return {
    report,
    kernel: notes.find(({ call }) => call === 'addEntropy(0)')?.bytes,
    seed: Buffer.from((await keeper.use()) ?? []).toString('hex'),
  };
}

describe('an answer over pinned TLS', () => {
  it('is mixed, counts towards what is required, and is folded', async () => {
    const one = await bootWith([await overTls('pollen-1', giving(second(1)))]);
    expect(one.report).toMatchObject({
      seeded: true,
      beacons: 1,
      relays: [{ answered: false, reason: { code: 'ERR_UPSTREAM_UNREACHABLE' } }],
      pollen: [{ name: 'pollen-1', answered: true, counted: true, protocol: 'TLSv1.3' }],
      sources: { 'pollen/pollen-1': 64 },
      seed: { folded: true },
      basis: [],
    });
    expect(exitCodeOf(one.report, true)).toBe(0);
    const other = await bootWith([await overTls('pollen-1', giving(second(2)))]);
    expect(other.kernel).not.toBe(one.kernel);
    expect(other.seed).not.toBe(one.seed);
  });

  it('of two is worth two, and one that failed says why', async () => {
    const good = [await overTls('pollen-1', giving(second(1))), await overTls('pollen-2', giving(second(2)))];
    const bad = await overTls('pollen-3', (_, socket) => socket.end(response(503, '', 'Retry-After: 9\r\n')));
    const { report } = await bootWith([...good, bad], NOWHERE, { require: 2 });
    expect(report.beacons).toBe(2);
    expect(exitCodeOf(report, true)).toBe(0);
    expect(report.pollen?.[2]).toEqual({
      name: 'pollen-3',
      url: expect.stringContaining('https://localhost:') as string,
      answered: false,
      counted: false,
      reason: expect.objectContaining({ code: 'ERR_UPSTREAM_NOT_READY' }) as object,
      retryAfterMs: 9_000,
    });
  });

  it('is nothing from a server that is not the one named', async () => {
    await writeFile(join(folder, 'pollen-ca.pem'), authority.pem);
    const { report } = await bootWith([await overTls('pollen-1', giving(second(1)))]);
    expect(report).toMatchObject({
      beacons: 0,
      pollen: [{ answered: false, counted: false, reason: { code: 'ERR_UPSTREAM_CERTIFICATE' } }],
      sources: { 'pollen/pollen-1': 0 },
      seed: { folded: false },
    });
  });

  it('that is a constant is mixed, and neither counted nor folded', async () => {
    const { report } = await bootWith([await overTls('pollen-1', giving('00'.repeat(64)))]);
    expect(report).toMatchObject({
      beacons: 0,
      pollen: [{ answered: true, counted: false, reason: { code: 'ERR_SOURCE_STUCK' } }],
      sources: { 'pollen/pollen-1': 64 },
      seed: { folded: false },
    });
  });
});

describe('an answer in the clear', () => {
  it('is mixed, never counts, and is never folded alone', async () => {
    const without = await bootWith([await inTheClear('pollen-1', (_, socket) => socket.destroy())]);
    const one = await bootWith([await inTheClear('pollen-1', giving(second(1)))]);
    expect(one.report).toMatchObject({
      seeded: true,
      beacons: 0,
      pollen: [{ answered: true, counted: false }],
      sources: { 'pollen/pollen-1': 64 },
      seed: { folded: false },
    });
    expect(exitCodeOf(one.report, false)).toBe(2);
    expect(exitCodeOf(one.report, true)).toBe(1);
    expect(one.kernel).not.toBe(without.kernel);
    // Nothing of it is in the seed: whatever it was, the seed is what it would have been without.
    expect(one.seed).toBe(without.seed);
  });

  it('is folded together with a secret one', async () => {
    const url = await relay(5);
    const [one, other] = [
      await bootWith([await inTheClear('pollen-1', giving(second(1)))], url),
      await bootWith([await inTheClear('pollen-1', giving(second(2)))], url),
    ];
    for (const { report } of [one, other])
      expect(report).toMatchObject({ beacons: 1, seed: { folded: true } });
    expect(one.seed).not.toBe(other.seed);
    const pinnedToo = await overTls('pollen-2', giving(second(3)));
    const both = await bootWith([await inTheClear('pollen-1', giving(second(1))), pinnedToo]);
    expect(both.report).toMatchObject({ beacons: 1, seed: { folded: true } });
  });

  it('replayed by whoever is on the way does not answer our challenge', async () => {
    const recorded = rightAnswer('the challenge of yesterday');
    const { report } = await bootWith([
      await inTheClear('pollen-1', (_, socket) => socket.end(response(200, recorded))),
    ]);
    expect(report.pollen?.[0]).toMatchObject({ answered: false, reason: { code: 'ERR_POLLEN_ANSWER' } });
  });

  it('chosen by whoever is on the way does not decide what the kernel gets', async () => {
    const chosen = await inTheClear('pollen-1', giving(second(9)));
    const [one, other] = [await bootWith([chosen], await relay(1)), await bootWith([chosen], await relay(2))];
    expect(one.kernel).not.toBe(other.kernel);
    expect(one.kernel).not.toContain(second(9));
  });
});

describe('where no pollen server is configured', () => {
  it('nothing is said of any', async () => {
    const { report } = await bootWith([], await relay(1));
    expect(report).not.toHaveProperty('pollen');
    expect(report.beacons).toBe(1);
  });
});

it('asks nobody while the clock cannot be right', async () => {
  const server = await scriptedPollen(giving(second(1)), { tls: pinned });
  servers.push(server);
  const certificate = await later();
  await writeFile(join(folder, 'web.pem'), certificate.cert);
  await writeFile(join(folder, 'web.key'), certificate.key, { mode: 0o600 });
  const { report } = await bootWith([
    { name: 'pollen-1', url: `https://localhost:${server.port}/`, ca: join(folder, 'pollen-ca.pem') },
  ]);
  expect(report).toMatchObject({
    seeded: true,
    clock: { code: 'ERR_CLOCK' },
    pollen: [{ answered: false, counted: false, reason: { code: 'ERR_CLOCK' } }],
  });
  expect(server.connections).toBe(0);
});

/** A certificate that begins a year from now. */
function later(): Promise<{ cert: Buffer; key: Buffer }> {
  const notBefore = new Date(Date.now() + 365 * 86_400_000);
  return authority.make({
    role: 'machine',
    name: 'web-1',
    notBefore,
    notAfter: new Date(notBefore.getTime() + 86_400_000),
  });
}
