import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TestAuthority, testAuthority } from '../identity/made-certificates.fixture.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { beaconOutlet } from '../outlets/beacon.js';
import { type TestNode, testNode } from '../outlets/context.fixture.js';
import type { Outlet } from '../outlets/outlet.js';
import { NO_BASIS } from '../wire/basis.js';
import { BEACON_CONTENT_TYPE, BEACON_PATH } from '../wire/beacon.js';
import { type Loopback, loopback, serveAnything } from '../wire/loopback.fixture.js';
import { beaconSource } from './beacon.js';
import { describeSourceCompliance } from './source.compliance.js';
import type { Source } from './source.js';

const LAMPS = { simulated: true, degraded: false, physical: true };

let authority: TestAuthority;
let server: Loopback;
let node: TestNode;
const sources: Source[] = [];
const outlets: Outlet[] = [];

beforeEach(async () => {
  authority = await testAuthority();
  server = await loopback({ authority });
});

afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop()));
  await Promise.all(outlets.splice(0).map((outlet) => outlet.stop(1_000)));
  await server.stop();
});

async function serveBeacons(): Promise<void> {
  node = testNode();
  node.basis = LAMPS;
  const start = { number: 1n, instanceId: new Uint8Array(16) };
  const environment = systemEnvironment();
  const outlet = beaconOutlet({ name: 'beacon', listener: server.listener, environment, start });
  await outlet.start(node.context, new AbortController().signal);
  outlets.push(outlet);
}

async function newSource(
  options: { periodMs?: number; deadlineMs?: number } = {},
  environment: Environment = systemEnvironment(),
): Promise<Source> {
  const upstream = { ...(await server.upstream('machine')), roles: ['relay'] as const };
  const source = beaconSource({ upstream, ...options }, environment);
  sources.push(source);
  return source;
}

const soon = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 8_000, interval: 5 });
const never = (): AbortSignal => new AbortController().signal;

describeSourceCompliance('beacon', async () => {
  const relay = await loopback();
  const root = testNode();
  root.seed();
  const environment = systemEnvironment();
  const start = { number: 1n, instanceId: new Uint8Array(16) };
  const outlet = beaconOutlet({ name: 'beacon', listener: relay.listener, environment, start });
  await outlet.start(root.context, new AbortController().signal);
  return {
    source: beaconSource({ upstream: await relay.upstream('machine') }, environment),
    async cleanUp() {
      await outlet.stop(1_000);
      await relay.stop();
    },
  };
});

describe('beaconSource answers a round', () => {
  it('with a beacon of its own, and says what it rests on; it need not have been started', async () => {
    await serveBeacons();
    node.seed();
    const source = await newSource();
    expect(source.position).toBe('outside');
    const first = await source.sample(never());
    const second = await source.sample(never());
    expect(first).toHaveLength(64);
    expect(second).not.toEqual(first);
    expect(source.status()).toMatchObject({
      state: 'ok',
      basis: LAMPS,
      details: { beacons: 2, failures: 0, relay: 'upstream', role: 'relay' },
    });
  });

  it('with nothing while the relay is not ready, and says why; then recovers', async () => {
    await serveBeacons();
    const source = await newSource();
    await expect(source.sample(never())).resolves.toBeUndefined();
    expect(source.status()).toMatchObject({ state: 'failed', reason: { code: 'ERR_UPSTREAM_NOT_READY' } });
    node.seed();
    await expect(source.sample(never())).resolves.toHaveLength(64);
    expect(source.status().reason).toBeUndefined();
    await server.stop(0);
    await expect(source.sample(never())).resolves.toBeUndefined();
    expect(source.status()).toMatchObject({
      state: 'failed',
      reason: { code: 'ERR_UPSTREAM_UNREACHABLE' },
      basis: { ...NO_BASIS, simulated: true },
    });
  });

  it.each([
    ['an office', 'office', 'ERR_UPSTREAM_ROLE'],
    ['a relay of another name', 'relay', 'ERR_UPSTREAM_NAME'],
  ] as const)('with nothing that %s says', async (_, role, code) => {
    await server.stop();
    server = await loopback({ authority, role });
    await serveBeacons();
    node.seed();
    const upstream = { ...(await server.upstream('machine')), roles: ['relay'] as const, name: 'other' };
    const source = beaconSource({ upstream }, systemEnvironment());
    await expect(source.sample(never())).resolves.toBeUndefined();
    expect(source.status().reason?.code).toBe(code);
    expect(source.status().basis).toEqual(NO_BASIS);
  });

  it('with nothing after the deadline, the round’s or its own', async () => {
    serveAnything(server.listener, 'POST', BEACON_PATH, () => new Promise(() => undefined));
    const patient = await newSource();
    const controller = new AbortController();
    const answer = patient.sample(controller.signal);
    controller.abort();
    await expect(answer).resolves.toBeUndefined();
    expect(patient.status().reason?.code).toBe('ERR_DEADLINE');
    await expect(patient.sample(controller.signal)).resolves.toBeUndefined();

    const hasty = await newSource({ deadlineMs: 100 });
    await expect(hasty.sample(never())).resolves.toBeUndefined();
    expect(hasty.status().reason?.code).toBe('ERR_DEADLINE');
  });
});

describe('beaconSource while it runs', () => {
  it('hears one at once and one a period, with jitter', async () => {
    await serveBeacons();
    node.seed();
    const delays: number[] = [];
    const real = systemEnvironment();
    const timers: Environment['timers'] = {
      ...real.timers,
      sleep: (delayMs, signal) => {
        delays.push(delayMs);
        return real.timers.sleep(1, signal);
      },
    };
    const source = await newSource({ periodMs: 1_000_000 }, { ...real, timers });
    const heard: string[] = [];
    const hear = (bytes: Uint8Array): void => {
      // What is heard is already accounted for.
      expect(source.status()).toMatchObject({ state: 'ok', basis: LAMPS });
      heard.push(Buffer.from(bytes).toString('hex'));
    };
    await source.start({ hear }, never());
    await soon(() => expect(heard.length).toBeGreaterThanOrEqual(12));
    expect(new Set(heard).size).toBe(heard.length);
    expect(heard.every((beacon) => beacon.length === 128)).toBe(true);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(800_000);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_200_000);
    expect(new Set(delays).size).toBeGreaterThan(5);
  });

  it('shows a fault, backs off and recovers by itself', async () => {
    await serveBeacons();
    const source = await newSource({ periodMs: 1_000 });
    const heard: Uint8Array[] = [];
    await source.start({ hear: (bytes) => void heard.push(bytes) }, never());
    await soon(() => expect(source.status().reason?.code).toBe('ERR_UPSTREAM_NOT_READY'));
    expect(heard).toEqual([]);
    node.seed();
    await soon(() => expect(heard.length).toBeGreaterThan(0));
    expect(source.status().state).toBe('ok');
  });

  it('stops at once, in the middle of a fetch too, by stop or by signal', async () => {
    let asked = 0;
    serveAnything(server.listener, 'POST', BEACON_PATH, () => {
      asked += 1;
      return new Promise(() => undefined);
    });
    const controller = new AbortController();
    const [first, second] = [await newSource(), await newSource()];
    await first.start({ hear: () => undefined }, never());
    await second.start({ hear: () => undefined }, controller.signal);
    await soon(() => expect(asked).toBe(2));
    await first.stop();
    await first.stop();
    controller.abort();
    await soon(() => expect(server.listener.connections).toBe(0));
    for (const source of [first, second]) {
      await expect(source.sample(never())).resolves.toBeUndefined();
      expect(source.status()).toMatchObject({ state: 'stopped', basis: NO_BASIS });
    }
  });

  it('takes nothing from an answer of another length', async () => {
    serveAnything(server.listener, 'POST', BEACON_PATH, (exchange) => {
      exchange.reply(200, { 'content-type': BEACON_CONTENT_TYPE }, new Uint8Array(63));
      return Promise.resolve();
    });
    const source = await newSource();
    await expect(source.sample(never())).resolves.toBeUndefined();
    expect(source.status().reason?.code).toBe('ERR_BEACON_LENGTH');
  });
});
