import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { request, type Upstream, UpstreamAgent } from '../packages/lamplighter/dist/wire/client.js';
import type { NodeStatus } from '../packages/lamplighter/dist/wire/status.js';
import { Place } from './place.fixture.js';
import { commandLineOf, descendants, openSockets, runs } from './proc.fixture.js';
import {
  Command,
  endAll,
  eventually,
  freePorts,
  listens,
  partOf,
  run,
  statusOf,
  untilStatus,
} from './processes.fixture.js';

const STOP_MS = 2_000;
/** What a node's state folder holds for good. */
const KEPT = ['login', 'seed', 'seed.lock', 'start-number'];
/** The longest back-off is 5 s; a relay that starts alone waits `seedDeadlineMs` for its office. */
const HEAL_MS = 20_000;

type Hop = 'wall' | 'office' | 'relay';
type Ports = Record<'wall' | 'feed' | 'officeAdmin' | 'relay' | 'relayAdmin', number>;

let place: Place;
let ports: Ports;
let agentFile: string;
const hops = new Map<Hop, Command>();

beforeAll(async () => {
  place = await Place.make();
  mkdirSync(place.path('tmp'));
});
afterAll(() => place.remove());
afterEach(endAll);

/** Takes new ports and writes configurations for them. */
async function layOut(camera?: string): Promise<void> {
  ports = await freePorts('wall', 'feed', 'officeAdmin', 'relay', 'relayAdmin');
  place.writeNode({
    name: 'office',
    listen: ports.feed,
    admin: ports.officeAdmin,
    seedDeadlineMs: 1_000,
    sources: [
      { kind: 'camera', name: 'wall', url: camera ?? `http://127.0.0.1:${ports.wall}/stream.mjpg` },
      { kind: 'timing' },
      { kind: 'os' },
    ],
    outlets: [{ kind: 'feed' }],
  });
  place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.relayAdmin,
    seedDeadlineMs: 1_000,
    sources: [
      {
        kind: 'feed',
        name: 'office',
        url: `https://127.0.0.1:${ports.feed}`,
        peer: 'office',
        intervalMs: 200,
      },
      { kind: 'timing' },
      { kind: 'os' },
    ],
    outlets: [{ kind: 'feed' }, { kind: 'beacon' }],
  });
  agentFile = place.writeAgent([ports.relay]);
}

function start(...names: readonly Hop[]): void {
  for (const name of names) {
    const args =
      name === 'wall'
        ? ['wall', '--port', String(ports.wall), '--lamps', '2']
        : ['node', '--config', place.path(`${name}.yaml`)];
    hops.set(name, new Command(args, { env: { TMPDIR: place.path('tmp') } }));
  }
}

function hop(name: Hop): Command {
  const command = hops.get(name);
  if (command === undefined) throw new Error(`${name} was never started`);
  return command;
}

const frames = (status: NodeStatus) => Number(partOf(status, 'sources', 'office').details['frames']);

/** Nobody complains, light goes from the wall to the relay *now*, and a machine is seeded. */
async function whole(): Promise<void> {
  await untilStatus(
    ports.officeAdmin,
    'the office sees the lamps',
    ({ state, sources }) => state === 'ready' && sources.every((source) => source.state === 'ok'),
    HEAL_MS,
  );
  const before = await untilStatus(
    ports.relayAdmin,
    'the relay hears the office',
    ({ state, sources, basis }) =>
      state === 'ready' && sources.every((source) => source.state === 'ok') && basis.includes('simulated'),
    HEAL_MS,
  );
  await untilStatus(ports.relayAdmin, 'frames come in', (status) => frames(status) > frames(before), HEAL_MS);
  const agent = await run(['agent', '--once', '--json', '--config', agentFile]);
  expect(agent).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(agent.stdout)).toMatchObject({ seeded: true, beacons: 1, basis: ['simulated'] });
}

describe('the chain heals without help', () => {
  it('whoever is stopped or killed, and in whatever order they come back', async () => {
    await layOut();
    start('wall', 'office', 'relay');
    await whole();
    const orders: readonly { signal: NodeJS.Signals; down: readonly Hop[]; up: readonly Hop[] }[] = [
      { signal: 'SIGTERM', down: ['office'], up: ['office'] },
      { signal: 'SIGKILL', down: ['relay'], up: ['relay'] },
      { signal: 'SIGKILL', down: ['wall'], up: ['wall'] },
      { signal: 'SIGKILL', down: ['office', 'wall'], up: ['wall', 'office'] },
      { signal: 'SIGTERM', down: ['wall', 'office', 'relay'], up: ['relay', 'office', 'wall'] },
    ];
    for (const { signal, down, up } of isFull ? orders : orders.slice(-2)) {
      for (const name of down) await hop(name).stop(signal);
      await said(down);
      start(...up);
      await whole();
    }
  });

  /** Those that are left say that somebody is missing, and serve all the same. */
  async function said(down: readonly Hop[]): Promise<void> {
    if (!down.includes('relay')) {
      const relay = await untilStatus(
        ports.relayAdmin,
        `the relay misses ${down.join(' and ')}`,
        ({ sources, basis }) =>
          down.includes('office')
            ? sources.some(({ name, state }) => name === 'office' && state === 'failed')
            : basis.includes('simulated'),
        5_000,
      );
      expect(['ready', 'degraded']).toContain(relay.state);
      expect((await run(['agent', '--once', '--config', agentFile])).code).toBe(0);
    }
    if (down.includes('wall') && !down.includes('office')) {
      const office = await untilStatus(
        ports.officeAdmin,
        'the office misses the wall',
        ({ sources }) => sources.some(({ name, state }) => name === 'wall' && state === 'failed'),
        5_000,
      );
      expect(office.reasons.map(({ code }) => code)).toContain('ERR_CAMERA_GONE');
    }
  }

  it('when an upstream hangs without a word, and goes on again', async () => {
    await layOut();
    start('wall', 'office', 'relay');
    await whole();
    hop('office').signal('SIGSTOP');
    const missed = await untilStatus(
      ports.relayAdmin,
      'the relay misses the office',
      (status) => partOf(status, 'sources', 'office').state === 'failed',
      8_000,
    );
    expect(partOf(missed, 'sources', 'office').reason?.code).toBe('ERR_FEED_STALLED');
    hop('office').signal('SIGCONT');
    await whole();
  });
});

/** A client that holds on to everything a node gives: a feed, an idle connection, a request half sent. */
class Clinging {
  readonly #agent: UpstreamAgent;
  readonly #feed: AbortController = new AbortController();
  readonly #half: tls.TLSSocket;

  static async hold(as: 'relay' | 'service', port: number, beacons: boolean): Promise<Clinging> {
    const upstream = await place.upstream(as, port);
    const half = await halfRequest(upstream, port);
    const clinging = new Clinging(upstream, half);
    if (beacons) {
      const nonce = new Uint8Array(32);
      await fetchBeacon(upstream, { nonce, deadlineMs: 5_000, agent: clinging.#agent });
    }
    const { signal } = clinging.#feed;
    const path = '/v1/feed?interval=100';
    const feed = await request(upstream, { method: 'GET', path, deadlineMs: 5_000, signal });
    expect(feed.status).toBe(200);
    // Never read: what the sender has sent stays where it is.
    feed.body.pause();
    return clinging;
  }

  private constructor(upstream: Upstream, half: tls.TLSSocket) {
    this.#agent = new UpstreamAgent(upstream);
    this.#half = half;
  }

  letGo(): void {
    this.#feed.abort();
    this.#agent.destroy();
    this.#half.destroy();
  }
}

/** A connection on which a beacon is being asked for, with half of the nonce. */
async function halfRequest(upstream: Upstream, port: number): Promise<tls.TLSSocket> {
  const { ca, cert, key } = upstream.tls;
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    ca,
    cert,
    key,
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const head = 'POST /v1/beacon HTTP/1.1\r\nHost: relay\r\nContent-Length: 32\r\n\r\n';
  await new Promise((resolve) => socket.write(`${head}0123456789abcdef`, resolve));
  return socket;
}

/** Stops a node that others hold on to, and sees that nothing of it is left. */
async function endsClean(name: 'office' | 'relay', signal: NodeJS.Signals): Promise<void> {
  const command = hop(name);
  const children = descendants(command.pid);
  expect(openSockets(command.pid)).toBeGreaterThanOrEqual(4);
  const { code, tookMs } = await command.stop(signal);
  expect(code).toBe(0);
  expect(tookMs).toBeLessThan(STOP_MS);
  expect(children.filter(runs)).toEqual([]);
  const its = name === 'office' ? [ports.feed, ports.officeAdmin] : [ports.relay, ports.relayAdmin];
  for (const port of its) expect(await listens(port)).toBe(false);
  expect(readdirSync(place.path('state', name)).filter((file) => !KEPT.includes(file))).toEqual([]);
  expect(readdirSync(place.path('tmp'))).toEqual([]);
  expect(command.stderr).not.toMatch(/^\s+at /m);
  expect(command.stderr.trimEnd().split('\n').at(-1)).toContain('"msg":"stopped"');
}

describe('SIGTERM ends a node within 2 s and leaves nothing', () => {
  it('with a camera, subscribers, keep-alive clients and a half-sent request; SIGINT too', async () => {
    await layOut();
    start('wall', 'office', 'relay');
    await whole();
    const clients = [
      await Clinging.hold('relay', ports.feed, false),
      await Clinging.hold('service', ports.relay, true),
    ];
    expect(descendants(hop('office').pid)).toHaveLength(1);
    await endsClean('relay', 'SIGTERM');
    await endsClean('office', 'SIGINT');
    for (const client of clients) client.letGo();
  });

  it('also while it is not seeded, and while it starts', async () => {
    await layOut();
    const file = place.writeNode({
      name: 'waiting',
      as: 'relay',
      admin: ports.officeAdmin,
      listen: ports.feed,
      sources: [
        { kind: 'camera', url: `http://127.0.0.1:${ports.wall}/`, required: true },
        { kind: 'feed', url: `https://127.0.0.1:${ports.relay}`, required: true },
        { kind: 'os' },
      ],
      outlets: [{ kind: 'feed' }, { kind: 'kernel' }],
    });
    const waiting = new Command(['node', '--config', file]);
    const status = await untilStatus(ports.officeAdmin, 'an answer', () => true);
    expect(status).toMatchObject({ state: 'starting', generator: { seeded: false } });
    expect((await waiting.stop()).tookMs).toBeLessThan(STOP_MS);

    const early = new Command(['node', '--config', file]);
    await eventually('it reads its configuration', () => commandLineOf(early.pid).includes('--config'));
    expect((await early.stop()).tookMs).toBeLessThan(STOP_MS);
    expect(await statusOf(ports.officeAdmin)).toBeUndefined();
    expect(readdirSync(place.path('state', 'waiting')).filter((name) => !KEPT.includes(name))).toEqual([]);
  });

  it('also with an upstream that takes connections and says nothing', async () => {
    await layOut();
    const silent = net.createServer();
    await new Promise<void>((resolve) => silent.listen(ports.feed, '127.0.0.1', resolve));
    const sockets = new Set<net.Socket>();
    silent.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
    start('relay');
    await untilStatus(ports.relayAdmin, 'it serves all the same', ({ generator }) => generator.seeded);
    await eventually('it has connected', () => sockets.size > 0);
    const { code, tookMs } = await hop('relay').stop();
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(STOP_MS);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
});

needs('ffmpeg', 'setpriv')('SIGTERM ends a node that watches through ffmpeg', () => {
  it('with ffmpeg, within 2 s', async () => {
    const film = place.path('lamps.mp4');
    const video = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', '-t', '120', '-c:v', 'libx264'];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...video, '-preset', 'ultrafast', film]);
    await layOut(film);
    start('office', 'relay');
    await whole();
    const children = descendants(hop('office').pid);
    expect(children.map((pid) => commandLineOf(pid)[0])).toEqual([expect.stringMatching(/ffmpeg$/)]);
    const client = await Clinging.hold('relay', ports.feed, false);
    await endsClean('office', 'SIGTERM');
    client.letGo();
  });
});
