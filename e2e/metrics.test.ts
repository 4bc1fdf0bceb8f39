import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { MjpegTestServer } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { UpstreamAgent } from '../packages/lamplighter/dist/wire/client.js';
import type { HistoryReport } from '../packages/lamplighter/dist/wire/history.js';
import type { NodeStatus } from '../packages/lamplighter/dist/wire/status.js';
import { Onlooker, statusesOf } from './dashboard/dashboard.fixture.js';
import { filming } from './lamps.fixture.js';
import { Place } from './place.fixture.js';
import {
  Command,
  endAll,
  eventually,
  freePorts,
  partOf,
  statusOf,
  untilStatus,
} from './processes.fixture.js';

const MACHINES = ['web-1', 'web-2', 'web-3'];
/** Of what a history adds up to: it is sent with six digits, and its times in whole milliseconds. */
const TOLERANCE = 0.005;

let place: Place;
let ports: Record<'relay' | 'admin', number>;
const camera = new MjpegTestServer();

beforeAll(async () => {
  place = await Place.make();
  for (const name of MACHINES) await place.issue('machine', name, 'certificates');
  await camera.listen();
  camera.play(filming());
});
afterAll(async () => {
  await camera.close();
  place.remove();
});
afterEach(endAll);

/** Starts a relay whose camera is simulated, where a service may take five beacons and machines as many as they like. */
async function relay(): Promise<{ node: Command; file: string }> {
  ports = await freePorts('relay', 'admin');
  const file = place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.admin,
    sources: [
      { kind: 'camera', name: 'wall', url: camera.url, simulated: true },
      { kind: 'timing' },
      { kind: 'os' },
    ],
    outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
    quotas: {
      machine: { beaconsPerMinute: 6_000_000, beaconBurst: 6_000_000 },
      service: { beaconsPerMinute: 1, beaconBurst: 5 },
    },
  });
  const node = new Command(['node', '--config', file]);
  const isServing = ({ state, basis }: NodeStatus): boolean =>
    state !== 'starting' && basis.includes('simulated');
  await untilStatus(ports.admin, 'it is seeded and the wall is heard', isServing);
  return { node, file };
}

/** Asks for beacons until it is told to stop, and counts what it got. */
class Client {
  got = 0;
  refused = 0;
  #isStopped = false;
  #running: Promise<void> | undefined;

  async start(name: string): Promise<this> {
    const upstream = await place.upstream(name, ports.relay, ['relay']);
    const agent = new UpstreamAgent(upstream);
    this.#running = (async () => {
      while (!this.#isStopped) {
        try {
          await fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 10_000, agent });
          this.got += 1;
        } catch {
          this.refused += 1;
        }
      }
      agent.destroy();
    })();
    return this;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }
}

const ask = async (path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${ports.admin}${path}`)).text();

/** The metrics now, by name and labels. */
async function metrics(): Promise<{ text: string; values: Map<string, number> }> {
  const text = await ask('/metrics');
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const values = lines.map((line): [string, number] => {
    const end = line.lastIndexOf(' ');
    return [line.slice(0, end), Number(line.slice(end + 1))];
  });
  return { text, values: new Map(values) };
}

const history = async (): Promise<HistoryReport> =>
  JSON.parse(await ask('/v1/history?span=hour')) as HistoryReport;

/** What a series of rates adds up to. */
function total({ atMs, series }: HistoryReport, name: string): number {
  return (series[name] ?? []).reduce<number>((sum, rate, index) => {
    const before = atMs[index - 1];
    return before === undefined || rate === null
      ? sum
      : sum + (rate * ((atMs[index] ?? before) - before)) / 1_000;
  }, 0);
}

async function status(): Promise<NodeStatus> {
  const now = await statusOf(ports.admin);
  if (now === undefined) throw new Error('the relay does not answer');
  return now;
}

const BEACONS = 'lamplighter_beacons_total{outlet="beacon",kind="beacon"}';
const beaconsIn = (now: NodeStatus): number => Number(partOf(now, 'outlets', 'beacon').details['beacons']);

/** What a status and the metrics both count, as both name it. */
const BOTH: readonly [metric: string, read: (now: NodeStatus) => number][] = [
  [BEACONS, beaconsIn],
  [
    'lamplighter_outlet_bytes_total{outlet="beacon",kind="beacon"}',
    (now) => partOf(now, 'outlets', 'beacon').bytes,
  ],
  [
    'lamplighter_source_bytes_total{source="wall",kind="camera"}',
    (now) => partOf(now, 'sources', 'wall').bytes,
  ],
  [
    'lamplighter_source_events_total{source="timing",kind="timing"}',
    (now) => partOf(now, 'sources', 'timing').events,
  ],
  ['lamplighter_listener_refused_total{reason="quota"}', (now) => now.listener?.refused.quota ?? NaN],
  ['lamplighter_listener_handshakes_total', (now) => now.listener?.handshakes.done ?? NaN],
  ['lamplighter_reseeds_total', (now) => now.generator.reseeds],
  ['lamplighter_pool_drains_total{pool="0"}', (now) => now.generator.pools[0]?.drains ?? NaN],
  ['lamplighter_ticks_total', (now) => now.generator.tick ?? NaN],
];

describe('the truth about a node', () => {
  it('The status numbers, the metrics and the history agree with each other under load', async () => {
    await relay();
    const clients = await Promise.all([...MACHINES, 'service'].map((name) => new Client().start(name)));

    // While it works: each metric lies between the status before it and the one after it.
    let looks = 0;
    const before = (await history()).atMs.length;
    await eventually('three more samples were taken under load', async () => {
      const first = await status();
      const { values } = await metrics();
      const last = await status();
      for (const [metric, read] of BOTH) {
        const value = values.get(metric) ?? NaN;
        expect(value, metric).toBeGreaterThanOrEqual(read(first));
        expect(value, metric).toBeLessThanOrEqual(read(last));
      }
      looks += 1;
      return (await history()).atMs.length >= before + 3;
    });
    expect(looks).toBeGreaterThan(3);
    await Promise.all(clients.map((client) => client.stop()));

    // When it rests: all say what the clients themselves counted.
    const got = clients.reduce((sum, client) => sum + client.got, 0);
    const refused = clients.reduce((sum, client) => sum + client.refused, 0);
    const service = clients.at(-1);
    expect(service?.got).toBeGreaterThanOrEqual(5);
    expect(service?.got).toBeLessThan(10);
    expect(got).toBeGreaterThan(100);
    const now = await status();
    const { values } = await metrics();
    expect(partOf(now, 'outlets', 'beacon')).toMatchObject({ bytes: got * 64, details: { beacons: got } });
    expect(now.listener?.refused.quota).toBe(refused);
    expect(values.get(BEACONS)).toBe(got);
    expect(values.get('lamplighter_listener_refused_total{reason="quota"}')).toBe(refused);

    const report = await eventually('the history has seen the end', async () => {
      const last = await history();
      return total(last, 'beacons') >= got * (1 - TOLERANCE) && last;
    });
    const close = (name: string, count: number): void => {
      const sum = total(report, name);
      expect(Math.abs(sum - count), `${name} adds up to ${sum}, not ${count}`).toBeLessThanOrEqual(
        Math.max(1, count * TOLERANCE),
      );
    };
    close('beacons', got);
    close('outlet/beacon/bytes', got * 64);
    close('refused', refused);
    for (const [index, name] of MACHINES.entries())
      close(`clients/machine/${name}`, clients[index]?.got ?? NaN);
    close('clients/service/service', service?.got ?? NaN);
    const top = now.fleet?.peers.top.map(({ name, beacons }) => [name, beacons]) ?? [];
    expect(Object.fromEntries(top)).toEqual(
      Object.fromEntries([...MACHINES, 'service'].map((name, index) => [name, clients[index]?.got])),
    );
  });

  it('says what the output rests on, and that the simulated wall is no secret', async () => {
    await relay();
    const { rest, generator } = await untilStatus(ports.admin, 'all have reached the generator', (now) =>
      ['wall', 'timing', 'os', 'seed'].every((name) => now.rest.some((one) => one.name === name)),
    );
    const secret = Object.fromEntries(rest.map(({ name, isSecret }) => [name, isSecret]));
    expect(secret).toMatchObject({ wall: false, timing: true, os: true, seed: true });
    expect(Date.now() - Date.parse(generator.lastReseed ?? '')).toBeLessThan(60_000);
    expect(
      rest.every(({ reachedAt }) => Date.parse(reachedAt) <= Date.parse(generator.lastReseed ?? '')),
    ).toBe(true);
    const { values } = await metrics();
    expect(values.get('lamplighter_source_secret{source="wall",kind="camera"}')).toBe(0);
  });

  it('tells every event once, on its log too: started, seeded, a configuration that cannot be followed', async () => {
    const { node, file } = await relay();
    const config = readFileSync(file, 'utf8');
    place.write('relay.yaml', config.replace('"timing"', '"tming"'));
    node.signal('SIGHUP');
    await eventually('the fault is on the log', () => node.stderr.includes('it was not reloaded'));
    place.write('relay.yaml', config);
    node.signal('SIGHUP');
    await eventually('the log says that it follows', () => node.stderr.includes('"it was reloaded"'));
    const lines = node.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const told = (part: string, text: RegExp): Record<string, unknown>[] =>
      lines.filter((line) => line['part'] === part && text.test(String(line['msg'])));
    for (const [part, text] of [
      ['node', / started, start \d+, /],
      ['node', /^seeded/],
      ['source os', /^source os is ok$/],
      ['configuration', /^it was reloaded$/],
    ] as const) {
      expect(told(part, text), String(text)).toHaveLength(1);
    }
    expect(told('configuration', /^it was not reloaded/)).toEqual([
      expect.objectContaining({
        level: 'error',
        reason: expect.objectContaining({ code: 'ERR_CONFIG' }) as unknown,
      }),
    ]);
  });
});

const promtool = (args: readonly string[], input?: string) => {
  const {
    status: code,
    stdout,
    stderr,
  } = spawnSync('promtool', args, {
    encoding: 'utf8',
    timeout: 60_000,
    ...(input !== undefined && { input }),
  });
  return { code, said: stdout + stderr };
};

needs('chromium')('the page of a node', () => {
  it('says what the status and the metrics say, under load and after it', async () => {
    await relay();
    const onlooker = await Onlooker.open();
    const told = new Set<number>();
    const stop = statusesOf(`http://127.0.0.1:${ports.admin}/v1/events`, (now) => told.add(beaconsIn(now)));
    try {
      const page = await onlooker.page();
      await page.goto(`http://127.0.0.1:${ports.admin}/`);
      const shown = async (): Promise<number> =>
        Number(((await page.textContent('.clients .figure')) ?? '').replaceAll('\u202f', '') || NaN);
      await eventually('the page', async () => (await shown()) === 0);
      const clients = await Promise.all(MACHINES.map((name) => new Client().start(name)));

      const looks = new Set<number>();
      await eventually('six figures under load', async () => {
        const look = await shown();
        // The page is up to a second behind, never ahead.
        expect(look).toBeLessThanOrEqual((await metrics()).values.get(BEACONS) ?? NaN);
        looks.add(look);
        return looks.size >= 6;
      });
      await eventually('the node to have said each', () => [...looks].every((look) => told.has(look)));
      await Promise.all(clients.map((client) => client.stop()));

      const got = clients.reduce((sum, client) => sum + client.got, 0);
      expect(got).toBeGreaterThan(100);
      await eventually('the page has seen the end', async () => (await shown()) === got);
      expect(beaconsIn(await status())).toBe(got);
      expect((await metrics()).values.get(BEACONS)).toBe(got);
      expect(onlooker.complaints).toEqual([]);
    } finally {
      stop();
      await onlooker.close();
    }
  });
});

needs('promtool')('as Prometheus itself sees it', () => {
  const folder = fileURLToPath(new URL('../deploy/prometheus/', import.meta.url));

  it('the metrics of a running node are well formed and well named', async () => {
    await relay();
    const { text } = await metrics();
    expect(promtool(['check', 'metrics'], text)).toEqual({ code: 0, said: '' });
    // So that the check can fail.
    expect(
      promtool(['check', 'metrics'], `${text}# TYPE lamplighter_age_ms counter\nlamplighter_age_ms 1\n`).code,
    ).not.toBe(0);
  });

  it('the alert rules are valid', () => {
    expect(promtool(['check', 'rules', `${folder}alerts.yml`])).toMatchObject({ code: 0 });
  });

  it('each alert is raised by what it is about, and none by a healthy node', () => {
    expect(promtool(['test', 'rules', `${folder}alerts.test.yml`])).toMatchObject({ code: 0 });
  });
});
