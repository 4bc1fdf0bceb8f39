import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { systemNative } from '../local/native-doors.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { BASIS_HEADER, BEACON_CONTENT_TYPE } from '../wire/beacon.js';
import type { Exchange } from '../wire/listener.js';
import { Listener } from '../wire/listener.js';
import { Agent } from './agent.js';
import { type BootReport, exitCodeOf } from './boot.js';
import { type AgentConfig, agentConfig } from './config.js';

/*
 * The agent on a machine on which nothing moves unless the test moves it, with relays that are really asked over TLS.
 */

/** The same in every run, and after every certificate was made. */
const NOW_MS = Date.now() + 60_000;

let folder: string;
let authority: TestAuthority;
const listeners: Listener[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-agent-'));
  authority = await testAuthority();
  const machine = await authority.material({ role: 'machine', name: 'web-1' });
  await writeFile(join(folder, 'ca.pem'), authority.pem);
  await writeFile(join(folder, 'web.pem'), machine.cert);
  await writeFile(join(folder, 'web.key'), machine.key, { mode: 0o600 });
});
afterEach(async () => {
  await Promise.all(listeners.splice(0).map((listener) => listener.stop(0)));
  await rm(folder, { recursive: true });
});

/** A relay that gives whatever the test says. @returns its port */
async function relay(answer: (exchange: Exchange) => void): Promise<number> {
  const listener = new Listener(await authority.material({ role: 'relay', name: 'relay' }));
  listeners.push(listener);
  listener.route({
    method: 'POST',
    path: '/v1/beacon',
    roles: ['machine'],
    maxBodyBytes: 64,
    handle: async (exchange) => answer(exchange),
  });
  return (await listener.listen({ host: '127.0.0.1', port: 0 })).port;
}

/** Gives this beacon to everybody, as a relay that somebody owns may. */
const giving =
  (byte: number) =>
  (exchange: Exchange): void =>
    exchange.reply(
      200,
      { 'content-type': BEACON_CONTENT_TYPE, [BASIS_HEADER]: 'physical' },
      new Uint8Array(64).fill(byte),
    );

function configured(ports: readonly number[], rest: object = {}): AgentConfig {
  return agentConfig.parse({
    tls: { ca: join(folder, 'ca.pem'), cert: join(folder, 'web.pem'), key: join(folder, 'web.key') },
    relays: ports.map((port, at) => ({
      name: `relay-${at + 1}`,
      url: `https://127.0.0.1:${port}`,
      peer: 'relay',
    })),
    state: join(folder, 'state'),
    report: join(folder, 'agent.json'),
    ...rest,
  });
}

/** An agent on a fixed machine: what it handed to the kernel, and what it reported. */
function fixedAgent(config: AgentConfig, realtimeMs = Date.now()) {
  const fixed = fixedEnvironment();
  const clock = { aheadNs: BigInt(realtimeMs) * 1_000_000n - fixed.realtimeNs() };
  const environment = { ...fixed, realtimeNs: () => fixed.realtimeNs() + clock.aheadNs };
  const notes: { call: string; bytes: string }[] = [];
  const process = fixedProcess(environment);
  const native = notingNative(notes);
  const reports: BootReport[] = [];
  const faults: unknown[] = [];
  const agent = new Agent(config, {
    environment,
    process,
    native,
    keeper: new SeedKeeper(config.state, { environment, native, process }),
    requireHedge: false,
    onReport: (report) => reports.push(report),
    onFault: (error) => faults.push(error),
    onResume: () => undefined,
  });
  return {
    agent,
    environment,
    clock,
    reports,
    faults,
    handedOver: () => notes.filter(({ call }) => call === 'addEntropy(0)').map(({ bytes }) => bytes),
  };
}

/** One boot on a new machine; what the kernel got. */
async function kernelBytes(beacons: readonly number[], seed: number): Promise<string | undefined> {
  const ports = await Promise.all(beacons.map((byte) => relay(giving(byte))));
  const config = configured(ports);
  const one = fixedAgent(config, NOW_MS);
  const { environment } = one;
  const process = fixedProcess(environment);
  const keeper = new SeedKeeper(config.state, { environment, native: notingNative(), process });
  await keeper.store.create(new Uint8Array(64).fill(seed), { replace: true });
  expect((await one.agent.start()).beacons).toBe(beacons.length);
  await one.agent.stop();
  return one.handedOver()[0];
}

describe.skipIf(!systemNative.available().supported)('an attacker who', () => {
  it('owns one relay of two, and knows all that the OS gives, does not know what the kernel gets', async () => {
    const known = await kernelBytes([1, 2], 7);
    expect(await kernelBytes([1, 2], 7)).toBe(known);
    // The beacon of the other relay decides, whichever of the two he owns.
    expect(await kernelBytes([1, 3], 7)).not.toBe(known);
    expect(await kernelBytes([3, 2], 7)).not.toBe(known);
  });

  it('owns every relay, and knows all that the OS gives, does not know it without the seed', async () => {
    expect(await kernelBytes([1, 2], 8)).not.toBe(await kernelBytes([1, 2], 7));
  });
});

describe('the agent that stays', () => {
  it('asks no relay while the clock cannot be right, seeds the kernel all the same, and asks once it is', async () => {
    const port = await relay(giving(1));
    const one = fixedAgent(configured([port], { refreshMs: 600_000 }), 0);
    const first = await one.agent.start();
    expect(first).toMatchObject({
      seeded: true,
      beacons: 0,
      clock: { code: 'ERR_CLOCK' },
      relays: [{ answered: false, reason: { code: 'ERR_CLOCK' } }],
    });
    expect(one.handedOver()).toHaveLength(1);
    one.clock.aheadNs += BigInt(Date.now()) * 1_000_000n;
    one.environment.advance(5_000);
    await expect.poll(() => one.reports.at(-1)?.beacons, { timeout: 10_000 }).toBe(1);
    expect(one.reports.at(-1)?.clock).toBeUndefined();
    await one.agent.stop();
    expect(one.faults).toEqual([]);
  });

  it('whose certificate has expired asks no relay, seeds the kernel all the same, and asks with a new one', async () => {
    const dayMs = 86_400_000;
    const [notBefore, notAfter] = [new Date(Date.now() - 40 * dayMs), new Date(Date.now() - 10 * dayMs)];
    const expired = await authority.material({ role: 'machine', name: 'web-1', notBefore, notAfter });
    const fresh = await authority.material({ role: 'machine', name: 'web-1' });
    const use = async ({ cert, key }: { cert: Buffer; key: Buffer }): Promise<void> => {
      await writeFile(join(folder, 'web.pem'), cert);
      await writeFile(join(folder, 'web.key'), key, { mode: 0o600 });
    };
    await use(expired);
    const one = fixedAgent(configured([await relay(giving(1))], { refreshMs: 2_000 }));
    const first = await one.agent.start();
    const reason = { code: 'ERR_CERTIFICATE_EXPIRED' };
    expect(first).toMatchObject({ seeded: true, beacons: 0, relays: [{ answered: false, reason }] });
    expect(exitCodeOf(first, false)).toBe(2);
    expect(one.handedOver()).toHaveLength(1);
    await use(fresh);
    one.environment.advance(60_000);
    await expect.poll(() => one.reports.at(-1)?.beacons, { timeout: 10_000 }).toBe(1);
    await one.agent.stop();
  });

  it('does not ask a relay before it wants to be asked, and then asks again', async () => {
    let asked = 0;
    const port = await relay(() => {
      asked += 1;
      throw new LamplighterError('ERR_NOT_SEEDED', 'not ready');
    });
    const one = fixedAgent(configured([port], { refreshMs: 2_000 }));
    const first = await one.agent.start();
    const retryAfterMs = first.relays[0]?.retryAfterMs ?? 0;
    expect(retryAfterMs).toBeGreaterThan(0);
    one.environment.advance(retryAfterMs - 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toBe(1);
    one.environment.advance(10_000);
    await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(1);
    await one.agent.stop();
  });

  it('asks a relay that is busy again within half a minute, however often it was refused', async () => {
    let asked = 0;
    const port = await relay(() => {
      asked += 1;
      throw new LamplighterError('ERR_OVERLOADED', 'too much to do');
    });
    const one = fixedAgent(configured([port], { refreshMs: 600_000 }));
    await one.agent.start();
    for (let refused = 1; refused < 12; refused += 1) {
      await expect.poll(() => one.reports.length, { timeout: 10_000 }).toBe(refused);
      one.environment.advance(30_000);
      await expect.poll(() => asked, { timeout: 10_000 }).toBe(refused + 1);
    }
    await one.agent.stop();
  });

  it('tells a relay nothing of its machine but its certificate and a nonce', async () => {
    const seen: { headers: string[]; nonce: string }[] = [];
    const port = await relay((exchange) => {
      const nonce = Buffer.from(exchange.body).toString('hex');
      seen.push({
        headers: Object.entries(exchange.headers).map(([name, value]) => `${name}: ${String(value)}`),
        nonce,
      });
      giving(1)(exchange);
    });
    for (let boot = 0; boot < 2; boot += 1) {
      const one = fixedAgent(configured([port]));
      await one.agent.start();
      await one.agent.stop();
    }
    const [first, second] = seen;
    expect(first?.headers.sort()).toEqual([
      'connection: close',
      'content-length: 32',
      'content-type: application/octet-stream',
      `host: 127.0.0.1:${port}`,
    ]);
    expect(second?.headers.sort()).toEqual(first?.headers);
    expect(first?.nonce).toHaveLength(64);
  });

  it('is never busy: a hundred failures take as long as their back-off', async () => {
    const one = fixedAgent(configured([9], { refreshMs: 10_000, deadlineMs: 1_000 }));
    await one.agent.start();
    for (let second = 0; second < 20; second += 1) {
      one.environment.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // Each wait is at least a second of its own clock.
    expect(one.reports.length).toBeLessThanOrEqual(21);
    await one.agent.stop();
  });
});
