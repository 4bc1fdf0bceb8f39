import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { MjpegTestServer } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { isFull } from '../packages/lamplighter/dist/needs.fixture.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { request, UpstreamAgent } from '../packages/lamplighter/dist/wire/client.js';
import { FeedDecoder } from '../packages/lamplighter/dist/wire/feed.js';
import { filming } from './lamps.fixture.js';
import { Place } from './place.fixture.js';
import { commandLineOf, descendants, environmentOf, residentBytes } from './proc.fixture.js';
import {
  Command,
  endAll,
  eventually,
  freePorts,
  partOf,
  run,
  statusOf,
  untilStatus,
} from './processes.fixture.js';

const CLIENTS = 8;
const BEACONS = isFull ? 50_000 : 10_000;
/** After the first fifth. Measured: 1 to 6 MiB, for V8 to settle; 2 KiB kept of each beacon would be more than this. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024;
const PIECE_BYTES = 8;

let place: Place;
let ports: Record<'relay' | 'admin', number>;
const camera = new MjpegTestServer();

beforeAll(async () => {
  place = await Place.make();
  await camera.listen();
  camera.play(filming());
});
afterAll(async () => {
  await camera.close();
  place.remove();
});
afterEach(endAll);

const UNBOUNDED = { beaconsPerMinute: 6_000_000, beaconBurst: 6_000_000 };

/** Starts a relay with a camera and every outlet, and waits until the camera is heard. */
async function relay(): Promise<Command> {
  ports = await freePorts('relay', 'admin');
  const file = place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.admin,
    sources: [{ kind: 'camera', name: 'wall', url: camera.url }, { kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }, { kind: 'feed' }, { kind: 'kernel' }],
    // One machine stands for thousands here.
    quotas: { machine: UNBOUNDED, service: UNBOUNDED },
  });
  const node = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, 'the camera is heard', ({ basis }) => basis.includes('physical'));
  return node;
}

/** Reads a feed until it is told to stop. */
class Subscriber {
  readonly payloads: Buffer[] = [];
  readonly #stopping = new AbortController();
  #reading: Promise<void> | undefined;

  async start(): Promise<void> {
    const upstream = await place.upstream('service', ports.relay);
    const path = '/v1/feed?interval=100';
    const { signal } = this.#stopping;
    const { body } = await request(upstream, { method: 'GET', path, deadlineMs: 5_000, signal });
    const decoder = new FeedDecoder();
    this.#reading = (async () => {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        for (const { payload } of decoder.push(chunk)) this.payloads.push(Buffer.from(payload));
      }
    })().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#reading;
  }
}

/** Fetches beacons over one keep-alive connection. @returns what was fetched */
async function fetchMany(count: number, nonce: () => Uint8Array): Promise<Buffer[]> {
  const upstream = await place.upstream('machine', ports.relay, ['relay']);
  const agent = new UpstreamAgent(upstream);
  const beacons: Buffer[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const { bytes, basis } = await fetchBeacon(upstream, { nonce: nonce(), deadlineMs: 10_000, agent });
    expect(basis).toEqual({ simulated: false, degraded: false, physical: true });
    beacons.push(Buffer.from(bytes));
  }
  agent.destroy();
  return beacons;
}

describe('a relay under load', () => {
  it(`gives ${BEACONS} beacons to ${CLIENTS} keep-alive clients: none repeats anything, and its memory is flat`, async () => {
    const node = await relay();
    const subscriber = new Subscriber();
    await subscriber.start();

    // The same nonce and certificate every time: whatever differs is the relay's own.
    const nonce = new Uint8Array(32);
    const fetchAll = async (count: number) =>
      (
        await Promise.all(Array.from({ length: CLIENTS }, () => fetchMany(count / CLIENTS, () => nonce)))
      ).flat();
    const beacons = await fetchAll(BEACONS / 5);
    const warmBytes = residentBytes(node.pid);
    beacons.push(...(await fetchAll((BEACONS * 4) / 5)));
    const grownBytes = residentBytes(node.pid) - warmBytes;

    await eventually('some frames were heard', () => subscriber.payloads.length >= 5);
    const status = await statusOf(ports.admin);
    await subscriber.stop();

    expect(beacons).toHaveLength(BEACONS);
    // Every aligned piece of every output is met once: a beacon or payload that holds part of another would show.
    const pieces = [...beacons, ...subscriber.payloads].flatMap((bytes) =>
      Array.from({ length: bytes.length / PIECE_BYTES }, (_, i) =>
        bytes.toString('hex', i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
      ),
    );
    expect(pieces).toHaveLength((BEACONS + subscriber.payloads.length) * (64 / PIECE_BYTES));
    expect(new Set(pieces).size).toBe(pieces.length);

    expect(grownBytes).toBeLessThan(MAX_GROWTH_BYTES);
    if (status === undefined) throw new Error('the relay does not answer');
    expect(partOf(status, 'outlets', 'beacon')).toMatchObject({
      state: 'ok',
      bytes: BEACONS * 64,
      details: { beacons: BEACONS, refused: 0 },
    });
    const { bytes, details } = partOf(status, 'outlets', 'feed');
    expect(details).toMatchObject({ subscribers: 1, dropped: 0, refused: 0 });
    expect(bytes).toBe(Number(details['frames']) * 64);
    // A frame may be on its way when the status is asked for, and another when the subscriber stops.
    expect(Math.abs(Number(details['frames']) - subscriber.payloads.length)).toBeLessThanOrEqual(2);
    const metrics = await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).text();
    expect(metrics).toContain(
      `lamplighter_outlet_bytes_total{outlet="beacon",kind="beacon"} ${BEACONS * 64}\n`,
    );
  });
});

describe('what is secret', () => {
  it('is in no log, status, metric, argument or environment', async () => {
    const node = await relay();
    const subscriber = new Subscriber();
    await subscriber.start();
    const beacons = await fetchMany(20, () => randomBytes(32));
    const agent = await run(['agent', '--once', '--json', '--config', place.writeAgent([ports.relay])]);
    await eventually('some frames were heard', () => subscriber.payloads.length >= 5);
    // Also what it says when something goes wrong.
    const tooLong = { nonce: randomBytes(65), deadlineMs: 5_000 };
    const upstream = await place.upstream('machine', ports.relay, ['relay']);
    await expect(fetchBeacon(upstream, tooLong)).rejects.toMatchObject({ code: 'ERR_UPSTREAM_STATUS' });

    const admin = async (path: string) => (await fetch(`http://127.0.0.1:${ports.admin}${path}`)).text();
    const told = await Promise.all(['/v1/status', '/metrics', '/readyz', '/healthz', '/'].map(admin));
    const processes = [node.pid, ...descendants(node.pid)];
    expect(processes).toHaveLength(2);
    const visible = processes.flatMap((pid) => [...commandLineOf(pid), ...environmentOf(pid)]);
    expect(visible.join('\n')).toContain('--config');
    await subscriber.stop();
    await node.stop();
    const text = [node.stdout, node.stderr, agent.stdout, agent.stderr, ...told, ...visible].join('\n');
    expect(text).toContain('"msg":"stopped"');

    const keys = ['relay', 'machine', 'service'].map((name) => readFileSync(place.tls(name).key, 'latin1'));
    const secrets = [
      ...[...beacons, ...subscriber.payloads].flatMap((bytes) => spellings(bytes)),
      ...keys.map((pem) => pem.split('\n')[1] ?? ''),
    ];
    expect(secrets).toHaveLength((20 + subscriber.payloads.length) * 6 + 3);
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(10);
      expect(text.includes(secret)).toBe(false);
    }
    expect(text).not.toContain('PRIVATE KEY');
  });

  /** Each half of some bytes, as logs write bytes: enough to be told apart, short enough to be found in a longer dump. */
  function spellings(bytes: Buffer): string[] {
    // 30 bytes are whole base64 groups, wherever in a dump they begin with a group.
    return [bytes.subarray(0, 30), bytes.subarray(30, 60)].flatMap((half) => [
      half.toString('hex'),
      half.toString('base64'),
      [...half].join(','),
    ]);
  }
});
