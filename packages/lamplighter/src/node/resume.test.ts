import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthority, issueCertificate } from '../identity/authority.js';
import { loadTlsFiles, type TlsMaterial } from '../identity/tls-files.js';
import { type Ability, able, unable } from '../local/ability.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { fetchBeacon } from '../wire/beacon.js';
import { request, UpstreamAgent, type Upstream } from '../wire/client.js';
import { nodeConfig } from './config.js';
import { openLog } from './log.js';
import { Node } from './node.js';

/*
 * A whole node whose machine is put aside and restored: real TLS, everything else held still, so that two lives are the
 * same to the byte until something tells them apart.
 */

let folder: string;
let machineTls: TlsMaterial;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-'));
  await createAuthority({ directory: join(folder, 'ca') });
  const issue = { authorityDirectory: join(folder, 'ca'), outDirectory: folder };
  await issueCertificate({ ...issue, role: 'relay', name: 'relay', ip: ['127.0.0.1'] });
  await issueCertificate({ ...issue, role: 'machine', name: 'machine' });
  await issueCertificate({ ...issue, role: 'service', name: 'service' });
  machineTls = await loadTlsFiles(tlsFiles('machine'));
});
afterAll(() => rm(folder, { recursive: true }));

const tlsFiles = (name: string) => ({
  ca: join(folder, 'ca.pem'),
  cert: join(folder, `${name}.pem`),
  key: join(folder, `${name}.key`),
});

/** One life of a node, seeded; `generation` is what the hypervisor tells. */
async function life(sources: readonly object[] = []) {
  const notes: { call: string; bytes: string }[] = [];
  const machine = { ...fixedEnvironment(), generation: 1 };
  const environment = { ...machine, vmGeneration: () => able(Uint8Array.of(machine.generation)) };
  const state = await mkdtemp(join(folder, 'state-'));
  const config = nodeConfig.parse({
    name: 'relay',
    state,
    tls: tlsFiles('relay'),
    listen: { host: '127.0.0.1', port: 0 },
    admin: { port: 0 },
    log: { level: 'error' },
    sources: [{ kind: 'os', periodMs: 3_600_000 }, ...sources],
    outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
  });
  const node = new Node(config, {
    environment,
    process: fixedProcess(environment),
    native: notingNative(notes),
    log: openLog('error', 'relay'),
    file: 'none',
  });
  await node.start();
  if (sources.length === 0) await node.ready();
  // The hedge at start.
  expect(notes.splice(0).map(({ call }) => call)).toEqual(['reseedOpenssl']);
  const upstream: Upstream = {
    url: new URL(`https://127.0.0.1:${node.status().listen?.port ?? 0}`),
    tls: machineTls,
    roles: ['relay'],
  };
  const agent = new UpstreamAgent(upstream);
  return {
    node,
    machine,
    environment,
    notes,
    upstream,
    /** Over a connection of its own, or over one that is kept. */
    beacon: async (over?: 'kept') => {
      const kept = over === undefined ? {} : { agent };
      const answer = await fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 5_000, ...kept });
      return Buffer.from(answer.bytes).toString('hex');
    },
    end: async () => {
      agent.destroy();
      await node.stop();
    },
  };
}

describe('a node whose machine is restored from a snapshot', () => {
  it('repeats itself where nothing tells the copies apart, and not where the VM generation does', async () => {
    const beacons = async (generation: number): Promise<string[]> => {
      const one = await life();
      const before = await one.beacon();
      one.machine.generation = generation;
      one.environment.advance(1_000);
      const after = await one.beacon();
      await one.end();
      return [before, after];
    };
    const [first, second, third] = [await beacons(1), await beacons(2), await beacons(3)];
    expect(await beacons(1)).toEqual(first);
    expect([second[0], third[0]]).toEqual([first[0], first[0]]);
    expect(new Set([first[1], second[1], third[1]]).size).toBe(3);
  });

  it('cuts every connection before it gives another byte, reseeds kernel and OpenSSL, and says what it did', async () => {
    const one = await life();
    await one.beacon('kept');
    const feed = await request(
      { ...one.upstream, tls: await loadTlsFiles(tlsFiles('service')) },
      { method: 'GET', path: '/v1/feed', deadlineMs: 5_000 },
    );
    feed.body.resume();
    const isFeedCut = new Promise<boolean>((resolve) => {
      feed.body.on('close', () => resolve(!feed.body.complete));
    });
    expect(one.node.status().resume).toBeUndefined();

    one.machine.generation = 2;
    one.environment.advance(1); // less than the node's own look: the request finds it
    await expect(one.beacon('kept')).rejects.toThrow(LamplighterError);
    expect(await isFeedCut).toBe(true);
    // The last is the rotated seed's, which is written first.
    await expect.poll(() => one.notes.length).toBe(4);
    expect(one.notes.map(({ call }) => call)).toEqual([
      'addEntropy(0)',
      'reseedKernel',
      'reseedOpenssl',
      'reseedOpenssl',
    ]);
    const { resume } = one.node.status();
    expect(resume).toMatchObject({ count: 1, sign: 'vm-generation', os: 'fresh' });
    expect(resume?.at).toMatch(/^2023-/);
    expect(resume?.undone.map(({ step }) => step)).toEqual(['hostEntropy']);
    expect(await one.beacon()).toMatch(/^[0-9a-f]{128}$/);
    expect(one.node.status().state).toBe('ready');
    await one.end();
  });

  it('takes what the host gives, which alone parts two copies', async () => {
    const after = async (host: Ability<Uint8Array>): Promise<string> => {
      const one = await life();
      Object.assign(one.environment, { readDevice: () => host });
      one.node.resume();
      if (host.supported) expect(one.node.status().resume?.undone).toEqual([]);
      const beacon = await one.beacon();
      await one.end();
      return beacon;
    };
    const first = await after(able(new Uint8Array(64).fill(1)));
    expect(await after(able(new Uint8Array(64).fill(1)))).toBe(first);
    expect(await after(able(new Uint8Array(64).fill(2)))).not.toBe(first);
    expect(await after(unable('none'))).not.toBe(first);
  });

  it('finds it by itself when nobody asks anything', async () => {
    const one = await life();
    one.machine.generation = 2;
    one.environment.advance(250);
    expect(one.node.status().resume?.count).toBe(1);
    await one.end();
  });

  it('drains no pool, and takes a clock that jumps about for one sign a second', async () => {
    const one = await life();
    const jumped = { ns: 0n };
    Object.assign(one.environment, {
      realtimeNs: () => 1_700_000_000_000_000_000n + one.environment.monotonicNs() + jumped.ns,
    });
    const scheduled = () => {
      const { reseeds, directReseeds } = one.node.status().generator;
      return reseeds - directReseeds;
    };
    const before = scheduled();
    for (let jump = 0; jump < 50; jump += 1) {
      jumped.ns += 3_600_000_000_000n;
      one.environment.advance(100);
    }
    expect(one.node.status().resume).toMatchObject({ sign: 'clock' });
    expect(one.node.status().resume?.count).toBeGreaterThanOrEqual(4);
    expect(one.node.status().resume?.count).toBeLessThanOrEqual(5);
    expect(scheduled()).toBe(before);
    await one.end();
  });

  it('does the same when somebody says so', async () => {
    const one = await life();
    const before = await one.beacon();
    one.node.resume();
    expect(one.node.status().resume).toMatchObject({ sign: 'resume', count: 1 });
    const after = await one.beacon();
    expect(after).not.toBe(before);
    await one.end();
  });

  it('has nothing to resume before it is seeded', async () => {
    const one = await life([{ kind: 'camera', name: 'wall', url: 'http://127.0.0.1:9/', required: true }]);
    expect(() => one.node.resume()).toThrow(expect.objectContaining({ code: 'ERR_NOT_SEEDED' }));
    expect(one.notes).toEqual([]);
    await one.end();
  });

  it('asks its relays for fresh beacons, over new connections', async () => {
    const above = await life();
    const below = await life([
      {
        kind: 'beacon',
        name: 'above',
        url: above.upstream.url.href,
        peer: 'relay',
        periodMs: 86_400_000,
      },
    ]);
    await below.node.ready();
    const beaconsHeard = () => below.node.status().sources.find(({ name }) => name === 'above')?.bytes ?? 0;
    const served = () =>
      above.node.status().outlets.find(({ kind }) => kind === 'beacon')?.details['beacons'];
    await expect.poll(beaconsHeard).toBeGreaterThan(0);
    await expect.poll(() => below.node.status().sources.every(({ state }) => state === 'ok')).toBe(true);
    const [heardBefore, servedBefore] = [beaconsHeard(), served()];
    below.machine.generation = 2;
    below.environment.advance(250);
    await expect.poll(beaconsHeard).toBe(heardBefore + 64);
    expect(served()).toBe(Number(servedBefore) + 1);
    await below.end();
    await above.end();
  });
});
