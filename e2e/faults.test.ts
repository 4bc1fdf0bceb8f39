import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import {
  type Act,
  begin,
  MjpegTestServer,
  part,
  testJpeg,
} from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { UpstreamAgent } from '../packages/lamplighter/dist/wire/client.js';
import type { NodeStatus, SourceState, SourceStatus } from '../packages/lamplighter/dist/wire/status.js';
import { filming } from './lamps.fixture.js';
import { Place } from './place.fixture.js';
import { commandLineOf, descendants } from './proc.fixture.js';
import { Command, endAll, eventually, freePorts, partOf, untilStatus } from './processes.fixture.js';

/** How soon the truth stands in the status: about a connection, and about a picture. */
const TRUTH_MS = 5_000;
const PICTURE_TRUTH_MS = 12_000;
/** A camera is believed again 15 s after its last fault. */
const RECOVERY_MS = 60_000;

let place: Place;
let ports: Record<'relay' | 'admin', number>;

beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
beforeEach(async () => {
  ports = await freePorts('relay', 'admin');
});
afterEach(endAll);

/** Starts a relay with these cameras beside its own two sources, and waits until each of them is worth something. */
async function watching(cameras: readonly { name: string; url: string }[]): Promise<Command> {
  const file = place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.admin,
    sources: [
      ...cameras.map((camera) => ({ kind: 'camera', ...camera })),
      { kind: 'timing' },
      { kind: 'os' },
    ],
    outlets: [{ kind: 'beacon' }],
    // It is asked without a pause, all the while.
    quotas: { machine: { beaconsPerMinute: 6_000_000, beaconBurst: 6_000_000 } },
  });
  const node = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, 'all cameras are heard', isWell, RECOVERY_MS);
  return node;
}

const isWell = ({ state, sources }: NodeStatus) =>
  state === 'ready' &&
  sources.every((source) => source.state === 'ok') &&
  sources.every(({ kind, details }) => kind !== 'camera' || details['picture'] === 'healthy');

/** Asks for beacons again and again, from one keep-alive client and from new ones, and keeps what went wrong. */
class Asking {
  readonly #asking: Promise<void>;
  #stopped = false;
  beacons = 0;
  readonly failures: unknown[] = [];
  /** The longest that one beacon took. */
  slowestMs = 0;

  constructor() {
    this.#asking = this.#ask();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#asking;
  }

  async #ask(): Promise<void> {
    const upstream = await place.upstream('machine', ports.relay, ['relay']);
    const agent = new UpstreamAgent(upstream);
    for (let turn = 0; !this.#stopped; turn += 1) {
      const askedMs = performance.now();
      const keepAlive = turn % 5 === 0 ? {} : { agent };
      await fetchBeacon(upstream, { nonce: randomBytes(32), deadlineMs: 5_000, ...keepAlive }).then(
        () => (this.beacons += 1),
        (error: unknown) => this.failures.push(error),
      );
      this.slowestMs = Math.max(this.slowestMs, performance.now() - askedMs);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    agent.destroy();
  }
}

/** Asks for beacons while something happens: all must come, and none late. */
async function servedAllTheWhile(happens: () => Promise<void>): Promise<void> {
  const asking = new Asking();
  try {
    await happens();
  } finally {
    await asking.stop();
  }
  expect(asking.failures).toEqual([]);
  expect(asking.beacons).toBeGreaterThan(20);
  expect(asking.slowestMs).toBeLessThan(2_000);
}

/** Never answers. */
const silent: Act = () => undefined;
/** Ends in the middle of the second frame. */
const cutting: Act = (response) => {
  begin(response);
  response.write(part(testJpeg(1)));
  const frame = part(testJpeg(2));
  response.write(frame.subarray(0, frame.length / 2), () => response.socket?.resetAndDestroy());
};
const noVideo: Act = (response) =>
  void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>hello');
const babble: Act = (response, stop) => {
  begin(response);
  const timer = setInterval(() => response.write(randomBytes(20_000)), 100);
  stop.addEventListener('abort', () => clearInterval(timer));
};
const nonsense: Act = (response, stop) => {
  begin(response);
  const timer = setInterval(() => response.write(part(randomBytes(2_000))), 100);
  stop.addEventListener('abort', () => clearInterval(timer));
};

interface Fault {
  readonly state: SourceState;
  readonly codes: readonly string[];
  readonly act: Act | 'dies' | 'hangs';
}

/** What a camera can do to a node, and what the node must say of it. */
const FAULTS: Readonly<Record<string, Fault>> = {
  dies: { act: 'dies', state: 'failed', codes: ['ERR_CAMERA_GONE'] },
  hangs: { act: 'hangs', state: 'failed', codes: ['ERR_CAMERA_STALLED'] },
  silent: { act: silent, state: 'failed', codes: ['ERR_CAMERA_STALLED'] },
  cut: { act: cutting, state: 'failed', codes: ['ERR_CAMERA_GONE'] },
  page: { act: noVideo, state: 'failed', codes: ['ERR_CAMERA_FORMAT'] },
  babble: { act: babble, state: 'failed', codes: ['ERR_CAMERA_FORMAT', 'ERR_CAMERA_FRAME_TOO_LARGE'] },
  nonsense: { act: nonsense, state: 'degraded', codes: ['ERR_CAMERA_NOT_DECODABLE'] },
  still: { act: filming({ still: true }), state: 'degraded', codes: ['ERR_CAMERA_FROZEN'] },
};

describe('cameras that fail', () => {
  it('are named in time, each with its reason, cost no beacon, and are heard again', async () => {
    const servers = new Map(Object.keys(FAULTS).map((name) => [name, new MjpegTestServer()]));
    for (const server of servers.values()) {
      await server.listen();
      server.play(filming());
    }
    try {
      const node = await watching([...servers].map(([name, { url }]) => ({ name, url })));
      await servedAllTheWhile(async () => {
        for (const [name, server] of servers) await begins(server, FAULTS[name]?.act ?? 'dies');
        const heard = await told();
        expect([...heard.keys()].sort()).toEqual(Object.keys(FAULTS).sort());
        for (const [name, { status, source }] of heard) {
          const { message } = source.reason ?? {};
          expect(source.basis.physical).toBe(false);
          expect(status.state).toBe('degraded');
          expect(status.reasons).toContainEqual({ ...source.reason, message: `${name}: ${message ?? ''}` });
        }

        for (const [name, server] of servers) await recovers(server, FAULTS[name]?.act ?? 'dies');
        const well = await untilStatus(ports.admin, 'all are heard again', isWell, RECOVERY_MS);
        expect(well).toMatchObject({ reasons: [], basis: ['physical'] });
      });
      expect(node.stderr).not.toMatch(/^\s+at /m);
    } finally {
      for (const server of servers.values()) await server.close();
    }
  });

  /** The first status in which each camera was said to have its fault, and what it said of that camera. */
  async function told(): Promise<Map<string, { status: NodeStatus; source: SourceStatus }>> {
    const startedMs = performance.now();
    const told = new Map<string, { status: NodeStatus; source: SourceStatus }>();
    const all = (status: NodeStatus): boolean => {
      for (const [name, fault] of Object.entries(FAULTS)) {
        const source = partOf(status, 'sources', name);
        const deadlineMs = fault.state === 'failed' ? TRUTH_MS : PICTURE_TRUTH_MS;
        const isTold =
          source.state === fault.state &&
          fault.codes.includes(source.reason?.code ?? '') &&
          performance.now() - startedMs < deadlineMs;
        if (isTold && !told.has(name)) told.set(name, { status, source });
      }
      return told.size === Object.keys(FAULTS).length;
    };
    await untilStatus(ports.admin, 'all faults are told', all, PICTURE_TRUTH_MS).catch(() => undefined);
    return told;
  }

  async function begins(server: MjpegTestServer, act: Fault['act']): Promise<void> {
    if (act === 'dies') await server.close();
    // The connection stays open, and nothing comes any more.
    else if (act === 'hangs') server.play(silent);
    else server.play(act, { cutOthers: true });
  }

  async function recovers(server: MjpegTestServer, act: Fault['act']): Promise<void> {
    server.play(filming(), { cutOthers: true });
    if (act === 'dies') await server.listen(server.port);
  }
});

needs('ffmpeg', 'setpriv')('an ffmpeg child that is killed', () => {
  it('is named, costs no beacon, and is started again', async () => {
    const url = place.path('lamps.mp4');
    const noise = ['-vf', 'noise=alls=20:allf=t', '-t', '150', '-c:v', 'libx264'];
    const video = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', ...noise];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...video, '-preset', 'ultrafast', url]);
    const node = await watching([{ name: 'wall', url }]);
    const ffmpeg = () => descendants(node.pid).find((pid) => commandLineOf(pid)[0]?.endsWith('ffmpeg'));
    await servedAllTheWhile(async () => {
      for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
        const before = await eventually('ffmpeg runs', ffmpeg);
        process.kill(before, signal);
        const failed = await untilStatus(
          ports.admin,
          'it is named',
          (status) => partOf(status, 'sources', 'wall').state === 'failed',
          TRUTH_MS,
        );
        const { code } = partOf(failed, 'sources', 'wall').reason ?? {};
        expect(code).toBe(signal === 'SIGKILL' ? 'ERR_CHILD_EXITED' : 'ERR_CAMERA_STALLED');
        await untilStatus(ports.admin, 'it is heard again', isWell, RECOVERY_MS);
        expect(await eventually('another ffmpeg runs', ffmpeg)).not.toBe(before);
        expect(descendants(node.pid)).toHaveLength(1);
      }
    });
  });
});
