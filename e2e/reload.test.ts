import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { MjpegTestServer } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { filming } from './lamps.fixture.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { request, UpstreamAgent } from '../packages/lamplighter/dist/wire/client.js';
import type { NodeStatus } from '../packages/lamplighter/dist/wire/status.js';
import { type NodeFile, Place } from './place.fixture.js';
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

let place: Place;
let ports: Record<'relay' | 'admin', number>;
let node: Command;

beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

const OS = { kind: 'os', periodMs: 100 };
const TIMING = { kind: 'timing' };

const write = (rest: Partial<NodeFile> = {}): string =>
  place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.admin,
    sources: [TIMING, OS],
    outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
    ...rest,
  });

beforeEach(async () => {
  ports = await freePorts('relay', 'admin');
  node = new Command(['node', '--config', write()]);
  await untilStatus(ports.admin, 'the node is ready', ({ state }) => state === 'ready');
});

/** Reloads, and waits until it is done: well, or with an error of this code that says this. */
async function reload(errorCode?: string, says = ''): Promise<NodeStatus> {
  const before = (await statusOf(ports.admin))?.configuration.reloads ?? 0;
  node.signal('SIGHUP');
  return untilStatus(
    ports.admin,
    `the reload is ${errorCode ?? 'done'}`,
    ({ configuration: { reloads, reloadError } }) =>
      errorCode === undefined
        ? reloads === before + 1 && reloadError === undefined
        : reloads === before && reloadError?.code === errorCode && reloadError.message.includes(says),
  );
}

async function beacon(agent?: UpstreamAgent): Promise<void> {
  const upstream = agent?.upstream ?? (await place.upstream('machine', ports.relay, ['relay']));
  const { bytes } = await fetchBeacon(upstream, {
    nonce: new Uint8Array(32),
    deadlineMs: 5_000,
    ...(agent && { agent }),
  });
  expect(bytes).toHaveLength(64);
}

const names = ({ sources }: NodeStatus) => sources.map(({ name }) => name);

it('hears a source that is new, lets go of one that is gone, and leaves the others alone', async () => {
  const camera = new MjpegTestServer();
  await camera.listen();
  camera.play(filming());
  try {
    const before = await untilStatus(
      ports.admin,
      'os is heard',
      (now) => partOf(now, 'sources', 'os').bytes > 64,
    );
    const client = await place.upstream('service', ports.relay, ['relay']);
    const feed = await request(client, { method: 'GET', path: '/v1/feed?interval=100', deadlineMs: 5_000 });
    let heardBytes = 0;
    feed.body.on('data', (chunk: Buffer) => (heardBytes += chunk.length));

    const wall = { kind: 'camera', name: 'wall', url: camera.url };
    write({ sources: [wall, TIMING, OS] });
    expect(names(await reload())).toEqual(expect.arrayContaining(['timing', 'os', 'wall']));
    const heard = await untilStatus(ports.admin, 'the camera is heard', ({ basis }) =>
      basis.includes('physical'),
    );
    expect(partOf(heard, 'sources', 'wall')).toMatchObject({ state: 'ok' });
    expect(partOf(heard, 'sources', 'wall').events).toBeGreaterThan(0);
    // Not begun anew: it counts on.
    expect(partOf(heard, 'sources', 'os').bytes).toBeGreaterThan(partOf(before, 'sources', 'os').bytes);

    write({ sources: [{ ...wall, simulated: true }, OS] });
    const simulated = await reload();
    expect(names(simulated).sort()).toEqual(['os', 'wall']);
    await untilStatus(ports.admin, 'it is simulated now', ({ basis }) => basis.join() === 'simulated');

    write();
    const gone = await reload();
    expect(names(gone).sort()).toEqual(['os', 'timing']);
    await eventually('nobody watches', () => camera.clients === 0, 2_000);
    // What was heard cannot be taken back out.
    expect(gone.basis).toEqual(['simulated']);

    const frames = heardBytes;
    await eventually('the feed goes on, on its old connection', () => heardBytes > frames);
    feed.body.destroy();
    await beacon();
  } finally {
    await camera.close();
  }
});

it('uses certificates that were renewed on disk for new handshakes', async () => {
  const agent = new UpstreamAgent(await place.upstream('machine', ports.relay, ['relay']));
  await beacon(agent);
  const file = place.tls('relay').cert;
  const before = new X509Certificate(readFileSync(file));
  expect(await servedCertificate()).toBe(before.fingerprint256);

  const issue = [
    'ca',
    'issue',
    '--ca',
    place.path('ca'),
    '--role',
    'relay',
    '--name',
    'relay',
    '--ip',
    '127.0.0.1',
  ];
  expect((await run([...issue, '--replace', '--out', place.path('certificates')])).code).toBe(0);
  expect(await servedCertificate()).toBe(before.fingerprint256);
  await reload();
  const renewed = new X509Certificate(readFileSync(file));
  expect(renewed.fingerprint256).not.toBe(before.fingerprint256);
  expect(await servedCertificate()).toBe(renewed.fingerprint256);
  // Who was connected under the same CA stays so.
  await beacon(agent);
  agent.destroy();
});

/** What a new handshake is shown. */
async function servedCertificate(): Promise<string> {
  const { ca, cert, key } = (await place.upstream('machine', ports.relay)).tls;
  const socket = tls.connect({ host: '127.0.0.1', port: ports.relay, ca, cert, key });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  return certificate?.fingerprint256 ?? '';
}

it('keeps the old configuration when the new one is broken, and says so until one is good', async () => {
  const file = write();
  writeFileSync(file, 'name: relay\nsources: [');
  const broken = await reload('ERR_CONFIG', 'relay.yaml:2:11: ');
  expect(broken.state).toBe('ready');
  expect(names(broken)).toEqual(['timing', 'os']);
  await beacon();

  write({ sources: [{ kind: 'camera', url: 'gopher://camera/' }, OS] });
  await reload('ERR_CONFIG', 'sources[0].url: ');

  const key = place.tls('relay').key;
  const saved = readFileSync(key);
  write({ sources: [OS] });
  writeFileSync(key, readFileSync(place.tls('office').key));
  const withoutKey = await reload('ERR_KEY_FILE');
  expect(names(withoutKey)).toEqual(['timing', 'os']);
  await beacon();

  writeFileSync(key, saved);
  const good = await reload();
  expect(good.configuration.reloadError).toBeUndefined();
  expect(names(good)).toEqual(['os']);

  // Everything on standard error is one JSON object a line, what went wrong included.
  const log = node.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string; part?: string; reason?: { code: string } });
  const refused = log.filter(({ level, part }) => level === 'error' && part === 'configuration');
  expect(refused.map(({ reason }) => reason?.code)).toEqual(['ERR_CONFIG', 'ERR_CONFIG', 'ERR_KEY_FILE']);
});

it('goes on when nobody reads its log any more', async () => {
  node.hangUp();
  writeFileSync(write(), 'name: [');
  await reload('ERR_CONFIG');
  write();
  await reload();
  await beacon();
  expect(await node.stop()).toMatchObject({ code: 0 });
});

it('refuses what needs a restart, and names it', async () => {
  const other = await freePorts('relay', 'admin');
  write({ listen: other.relay, admin: other.admin, sources: [OS] });
  const status = await reload('ERR_CONFIG');
  expect(status.configuration.reloadError).toEqual({
    code: 'ERR_CONFIG',
    message: 'cannot change while running: listen, admin',
    hint: 'restart the node for these; sources, outlets, certificates and deadlines can be reloaded',
  });
  expect(names(status)).toEqual(['timing', 'os']);
  await beacon();
});

it('follows many reloads at once, and one that comes while it stops', async () => {
  for (let turn = 0; turn < 20; turn += 1) {
    write({ sources: turn % 2 === 0 ? [OS] : [{ kind: 'camera', url: 'http://127.0.0.1:9/' }, OS] });
    node.signal('SIGHUP');
  }
  write({ sources: [OS, TIMING] });
  node.signal('SIGHUP');
  await untilStatus(ports.admin, 'the last one counts', (now) => names(now).sort().join() === 'os,timing');
  await beacon();
  write({ sources: [{ kind: 'camera', url: 'http://127.0.0.1:9/' }, OS] });
  node.signal('SIGHUP');
  expect(await node.stop()).toMatchObject({ code: 0 });
});
