import { X509Certificate, createHmac } from 'node:crypto';
import { LamplighterError } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Role } from '../identity/roles.js';
import { type Environment, systemEnvironment } from '../local/environment.js';
import { openStream } from '../local/stream.js';
import { BEACON_PATH, fetchBeacon } from '../wire/beacon.js';
import { type Upstream, UpstreamAgent, problemCodeOf, readBounded, request } from '../wire/client.js';
import { FEED_PATH, FeedDecoder } from '../wire/feed.js';
import { type Loopback, loopback } from '../wire/loopback.fixture.js';
import { beaconOutlet } from './beacon.js';
import { type TestNode, frozenEnvironment, testNode } from './context.fixture.js';
import { feedOutlet } from './feed.js';
import { describeOutletCompliance } from './outlet.compliance.js';
import type { Outlet } from './outlet.js';

const START = { number: 0x0102030405060708n, instanceId: new Uint8Array(16).fill(0xab) };
const NONCE = new Uint8Array(32).fill(7);

let server: Loopback;
let node: TestNode;
let outlet: Outlet;
const started: Outlet[] = [];

async function begin(environment: Environment = systemEnvironment()): Promise<void> {
  node = testNode(environment);
  outlet = beaconOutlet({ name: 'beacon', listener: server.listener, environment, start: START });
  started.push(outlet);
  await outlet.start(node.context, new AbortController().signal);
}

beforeEach(async () => {
  server = await loopback();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((running) => running.stop(1_000)));
  await server.stop();
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const fetched = async (upstream: Upstream, nonce: Uint8Array = NONCE): Promise<Uint8Array> =>
  (await fetchBeacon(upstream, { nonce, deadlineMs: 5_000 })).bytes;

/** A request made by hand, so that it can be one `fetchBeacon` would not make. */
async function post(role: Role, body: Uint8Array) {
  const upstream = await server.upstream(role);
  const response = await request(upstream, { method: 'POST', path: BEACON_PATH, body, deadlineMs: 5_000 });
  const bytes = await readBounded(response.body, 4_096);
  return { ...response, bytes, code: problemCodeOf(bytes)?.code };
}

describeOutletCompliance('beacon', async () => {
  const relay = await loopback();
  const upstream = await relay.upstream('machine');
  const environment = systemEnvironment();
  return {
    outlet: beaconOutlet({ name: 'beacon', listener: relay.listener, environment, start: START }),
    ask: () =>
      fetched(upstream).catch((error: unknown) => {
        if (error instanceof LamplighterError && error.code === 'ERR_UPSTREAM_NOT_READY') return undefined;
        throw error;
      }),
    cleanUp: () => relay.stop(),
  };
});

describe('beaconOutlet answers', () => {
  it.each([0, 1, 32, 64])('a nonce of %i bytes with exactly 64 bytes', async (lengthBytes) => {
    await begin();
    node.seed();
    const { status, headers, bytes } = await post('machine', new Uint8Array(lengthBytes));
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '64',
      'cache-control': 'no-store',
      'lamplighter-basis': '',
    });
    expect(bytes).toHaveLength(64);
  });

  it.each(['relay', 'service', 'machine'] as const)('the role %s', async (role) => {
    await begin();
    node.seed();
    await expect(post(role, NONCE)).resolves.toMatchObject({ status: 200 });
  });

  it('with what the node rests on at that moment', async () => {
    await begin();
    node.seed();
    const upstream = await server.upstream('machine');
    node.basis = { simulated: true, degraded: false, physical: true };
    const first = await fetchBeacon(upstream, { nonce: NONCE, deadlineMs: 5_000 });
    expect(first).toMatchObject({ basis: node.basis, relay: { role: 'relay', name: 'upstream' } });
    node.basis = { simulated: false, degraded: true, physical: false };
    node.state = 'degraded';
    const second = await fetchBeacon(upstream, { nonce: NONCE, deadlineMs: 5_000 });
    expect(second.basis).toEqual(node.basis);
    expect((await post('machine', NONCE)).headers['lamplighter-basis']).toBe('degraded');
  });

  it('the same caller with the same nonce never twice the same', async () => {
    await begin(frozenEnvironment());
    node.seed();
    const upstream = await server.upstream('machine');
    expect(hex(await fetched(upstream))).not.toBe(hex(await fetched(upstream)));
  });
});

describe('beaconOutlet refuses', () => {
  it('a nonce of 65 bytes by its name, and a far longer one', async () => {
    await begin();
    node.seed();
    const { status, code } = await post('machine', new Uint8Array(65));
    expect(code).toBe('ERR_NONCE_LENGTH');
    expect(status).toBe(413);
    await expect(post('machine', new Uint8Array(1_025))).resolves.toMatchObject({
      status: 413,
      code: 'ERR_BODY_TOO_LARGE',
    });
    expect(outlet.status()).toMatchObject({ bytes: 0, details: { beacons: 0, refused: 1 } });
  });

  it.each(['admin', 'office'] as const)('the role %s', async (role) => {
    await begin();
    node.seed();
    await expect(post(role, NONCE)).resolves.toMatchObject({ status: 403, code: 'ERR_ROLE' });
  });

  it('everybody before the node is seeded and after it stopped', async () => {
    await begin();
    expect(outlet.status().state).toBe('waiting');
    const refused = await post('machine', NONCE);
    expect(refused).toMatchObject({ status: 503, code: 'ERR_NOT_SEEDED' });
    expect(refused.headers['retry-after']).toMatch(/^[0-9]+$/);
    node.seed();
    expect(outlet.status().state).toBe('ok');
    node.state = 'stopping';
    await expect(post('machine', NONCE)).resolves.toMatchObject({ status: 503, code: 'ERR_STOPPED' });
    await outlet.stop(1_000);
    await outlet.stop(1_000);
    await expect(post('machine', NONCE)).resolves.toMatchObject({ status: 404 });
    expect(outlet.status().state).toBe('stopped');
  });

  it('whoever has used up his beacons, before anything is made and only once the node is seeded', async () => {
    const asked: unknown[] = [];
    let left = 1;
    await server.stop();
    server = await loopback({
      gate: {
        open: () => {},
        close: () => {},
        admit: () => {},
        spend: ({ name }, what, amount) => {
          asked.push({ name, what, amount });
          if (left < amount) {
            throw new LamplighterError('ERR_QUOTA', 'no more beacons', { retryAfterMs: 2_500 });
          }
          left -= amount;
        },
      },
    });
    await begin();
    await expect(post('machine', NONCE)).resolves.toMatchObject({ status: 503, code: 'ERR_NOT_SEEDED' });
    await expect(post('machine', new Uint8Array(65))).resolves.toMatchObject({ status: 413 });
    expect(asked).toEqual([]);
    node.seed();
    await expect(post('machine', NONCE)).resolves.toMatchObject({ status: 200 });
    const refused = await post('machine', NONCE);
    expect(refused).toMatchObject({ status: 429, code: 'ERR_QUOTA' });
    expect(refused.headers['retry-after']).toBe('3');
    const one = { name: 'asking', what: 'beacons', amount: 1 };
    expect(asked).toEqual([one, one]);
    expect(outlet.status().details).toEqual({ beacons: 1, refused: 3 });
    expect(server.listener.refused.quota).toBe(1);
  });

  it('a start that cannot be one', async () => {
    await begin();
    const { listener } = server;
    const make = (start: typeof START) => () =>
      beaconOutlet({ name: 'beacon', listener, environment: systemEnvironment(), start });
    expect(make({ ...START, number: -1n })).toThrow(RangeError);
    expect(make({ ...START, number: 1n << 64n })).toThrow(RangeError);
    expect(make({ ...START, instanceId: new Uint8Array(15) })).toThrow(RangeError);
  });
});

/** DESIGN section 5, written out a second time: HMAC-SHA-512 over E("beacon", four parts that are all present). */
function expectedBeacon(key: Uint8Array, parts: readonly [label: string, bytes: Uint8Array][]): string {
  const u64 = (value: number) => Buffer.from(value.toString(16).padStart(16, '0'), 'hex');
  const encoded = [Buffer.from('\u0006beacon\u0001\u0000\u0004', 'latin1')];
  for (const [label, bytes] of parts) {
    encoded.push(Buffer.from([label.length]), Buffer.from(label), Buffer.from([1]), u64(bytes.length));
    encoded.push(Buffer.from(bytes));
  }
  return createHmac('sha512', key).update(Buffer.concat(encoded)).digest('hex');
}

describe('a beacon is mix(beaconKey, "beacon", …)', () => {
  it('as an independent computation from the same root says, with a new key after a reseed and only then', async () => {
    const environment = frozenEnvironment();
    await begin(environment);
    node.seed();
    const upstream = await server.upstream('machine');
    const certificate = Buffer.from(
      new X509Certificate(upstream.tls.cert).fingerprint256.replaceAll(':', ''),
      'hex',
    );
    // A second root with the same history gives the same streams.
    const twin = testNode(environment);
    twin.seed();
    const stream = openStream(twin.accumulator, environment, 'beacon');
    const keyStream = openStream(twin.accumulator, environment, 'beacon-key');
    const expected = (key: Uint8Array, nonce: Uint8Array, counter: number, fresh: Uint8Array): string =>
      expectedBeacon(key, [
        ['certificate', certificate],
        ['nonce', nonce],
        ['start', Buffer.from(`0102030405060708${'ab'.repeat(16)}000000000000000${counter}`, 'hex')],
        ['stream', fresh],
      ]);

    let fresh = stream.read(64);
    const firstKey = keyStream.read(64);
    expect(hex(await fetched(upstream))).toBe(expected(firstKey, NONCE, 1, fresh));

    fresh = stream.read(64);
    const empty = new Uint8Array(0);
    expect(hex(await fetched(upstream, empty))).toBe(expected(firstKey, empty, 2, fresh));

    node.reseed(9);
    twin.reseed(9);
    fresh = stream.read(64);
    const secondKey = keyStream.read(64);
    const beacon = hex(await fetched(upstream));
    expect(beacon).toBe(expected(secondKey, NONCE, 3, fresh));
    expect(beacon).not.toBe(expected(firstKey, NONCE, 3, fresh));
  });
});

describe('many beacons', () => {
  it('2,000 over keep-alive from 8 clients: all different, and none of them in a feed', async () => {
    await begin();
    const feed = feedOutlet({ name: 'feed', listener: server.listener, environment: systemEnvironment() });
    await feed.start(node.context, new AbortController().signal);
    node.seed();
    const { body } = await request(await server.upstream('service'), {
      method: 'GET',
      path: `${FEED_PATH}?interval=100`,
      deadlineMs: 5_000,
    });
    const seen = new Set<string>();
    const client = async (index: number): Promise<void> => {
      const upstream = await server.upstream('machine', { name: `machine-${index}` });
      const agent = new UpstreamAgent(upstream, { maxConnections: 1 });
      for (let count = 0; count < 250; count += 1) {
        const { bytes } = await fetchBeacon(upstream, { nonce: NONCE, deadlineMs: 10_000, agent });
        seen.add(hex(bytes));
      }
      agent.destroy();
    };
    await Promise.all(Array.from({ length: 8 }, (_, index) => client(index)));
    expect(seen.size).toBe(2_000);
    expect(outlet.status()).toMatchObject({ bytes: 128_000, details: { beacons: 2_000 } });

    await feed.stop(1_000);
    const decoder = new FeedDecoder();
    let frames = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      for (const { payload } of decoder.push(chunk)) {
        frames += 1;
        expect(seen.has(hex(payload))).toBe(false);
      }
    }
    expect(frames).toBeGreaterThan(0);
  });
});
