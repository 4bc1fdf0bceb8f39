import { createPrivateKey, randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { nativeAddon } from '../packages/native/dist/index.js';
import { decodeSeedFile, encodeSeedFile } from '../packages/lamplighter/dist/local/seed/seed-record.js';
import { BASIS_HEADER, BEACON_CONTENT_TYPE, fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { request } from '../packages/lamplighter/dist/wire/client.js';
import { FeedDecoder } from '../packages/lamplighter/dist/wire/feed.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, run, untilStatus } from './processes.fixture.js';
import { SecretSearch } from './secret-search.fixture.js';

/*
 * What a process of ours shows of its secrets: nothing, in anything that somebody without its memory can read, also when all
 * goes wrong.
 */

const hasAddon = nativeAddon().supported;

let place: Place;
let search: SecretSearch;
const servers: https.Server[] = [];
beforeAll(async () => {
  place = await Place.make();
  search = new SecretSearch();
  for (const name of ['relay', 'machine']) search.add({ name: `the key of ${name}`, bytes: keyOf(name) });
  search.add({ name: 'the key of the CA', bytes: keyIn(place.path('ca', 'ca.key')) });
});
afterAll(() => place.remove());
afterEach(async () => {
  await endAll();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** The secret part of an Ed25519 key: the last 32 bytes of its DER; what stands before is the same in every key (RFC 8410). */
function keyIn(file: string): Buffer {
  return createPrivateKey(readFileSync(file)).export({ type: 'pkcs8', format: 'der' }).subarray(-32);
}

const keyOf = (name: string) => keyIn(place.tls(name).key);

/** Notes the seed that is in a state folder now. */
function noteSeed(state: string, when: string): void {
  const record = decodeSeedFile(readFileSync(place.path(state, 'seed')));
  if (typeof record === 'string') throw new Error(record);
  search.add({ name: `the seed of ${state}, ${when}`, bytes: record.seed });
  // Its checksum tells a guess from the truth.
  search.add({ name: `the checksum of ${state}, ${when}`, bytes: encodeSeedFile(record).subarray(-32) });
}

/** Everything that somebody without its memory sees of a process. */
function shownBy({ pid, stdout, stderr }: Command): string {
  const proc = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1');
  return [stdout, stderr, proc('cmdline'), proc('environ')].join('\n');
}

function expectNoCore({ pid }: Command): void {
  const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
  expect(limits).toMatch(/^Max core file size +0 +0 /m);
}

/** A relay of our own making, whose beacons we know. */
async function knownRelay(): Promise<number> {
  const { ca, cert, key } = place.tls('relay');
  const read = (file: string) => readFileSync(file);
  const options = { ca: read(ca), cert: read(cert), key: read(key), requestCert: true };
  const server = https.createServer({ ...options, minVersion: 'TLSv1.3' }, (_asked, answer) => {
    const beacon = randomBytes(64);
    search.add({ name: 'a beacon', bytes: beacon });
    answer.writeHead(200, { 'content-type': BEACON_CONTENT_TYPE, [BASIS_HEADER]: 'physical' });
    answer.end(beacon);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as net.AddressInfo).port;
}

describe('the search for secrets', () => {
  const secret = randomBytes(64);
  const around = (form: string) => `{"level":"info","x":"${form}","y":[1,2,3]}\n`;

  it.each<[string, string | Uint8Array]>([
    ['raw', Buffer.concat([Buffer.from('before'), secret.subarray(20, 40), Buffer.from('after')])],
    ['hexadecimal', around(secret.toString('hex'))],
    [
      'upper case with colons',
      around(
        secret
          .toString('hex')
          .toUpperCase()
          .replace(/..(?!$)/g, '$&:'),
      ),
    ],
    ['base64', around(secret.toString('base64'))],
    ['base64 in lines', around(secret.toString('base64').replace(/.{20}/g, '$&\n'))],
    ['base64 after one byte', around(Buffer.concat([Buffer.from('a'), secret]).toString('base64'))],
    ['base64 after two', around(Buffer.concat([Buffer.from('ab'), secret]).toString('base64'))],
    ['base64 for URLs', around(secret.toString('base64url'))],
    ['as a list', around(JSON.stringify([...secret]))],
    ['as a list in lines', around(JSON.stringify([...secret], null, 2))],
    ['as a buffer in JSON', around(JSON.stringify(secret))],
    ['a part of it', around(secret.toString('hex').slice(40, 70))],
  ])('finds one that was planted %s', (_form, text) => {
    const planted = new SecretSearch();
    planted.add({ name: 'planted', bytes: secret });
    planted.add({ name: 'another', bytes: randomBytes(64) });
    expect(planted.findIn(text)).toEqual(['planted']);
  });

  it('finds nothing where nothing is', () => {
    const planted = new SecretSearch();
    planted.add({ name: 'planted', bytes: secret });
    for (const text of ['', around(randomBytes(4_096).toString('hex')), randomBytes(65_536)]) {
      expect(planted.findIn(text)).toEqual([]);
    }
    expect(() => planted.add({ name: 'short', bytes: randomBytes(11) })).toThrow(RangeError);
  });

  it('finds a real one in a real file', () => {
    expect(search.findIn(readFileSync(place.tls('machine').key))).toEqual(['the key of machine']);
  });
});

describe('a node', () => {
  it('shows nothing of its key, its seed, its feed and its beacons, whatever is done to it', async () => {
    const ports = await freePorts('listen', 'admin', 'nobody');
    const config = (rest: object = {}) => ({
      name: 'relay',
      state: 'state/relay',
      tls: place.tls('relay'),
      listen: { host: '127.0.0.1', port: ports.listen },
      admin: { port: ports.admin },
      log: { level: 'debug' },
      sources: [
        { kind: 'timing' },
        { kind: 'os', periodMs: 200 },
        { kind: 'beacon', name: 'gone', url: `https://127.0.0.1:${ports.nobody}`, periodMs: 1_000 },
      ],
      outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
      ...rest,
    });
    const file = place.write('relay.yaml', config());
    const node = new Command(['node', '--config', file], { env: { LAMPLIGHTER_DEBUG: '1' } });
    const status = await untilStatus(ports.admin, 'it is ready', ({ generator }) => generator.seeded);
    if (hasAddon) {
      expectNoCore(node);
      expect(status.hedge.state).toBe('on');
      noteSeed('state/relay', 'while it runs');
    }
    const upstream = await place.upstream('machine', ports.listen, ['relay']);
    for (let count = 0; count < 5; count += 1) {
      const { bytes } = await fetchBeacon(upstream, { nonce: randomBytes(32), deadlineMs: 5_000 });
      search.add({ name: 'a beacon', bytes });
    }
    await noteFeed(ports.listen);

    // Everything that goes wrong is told in words.
    const refusals = () => node.stderr.split('"part":"configuration","reason"').length;
    const refusedAgain = (count: number) => eventually('it says why not', () => refusals() > count);
    const { key } = place.tls('relay');
    const kept = readFileSync(key);
    const wrong: readonly (() => void)[] = [
      () => copyFileSync(key, file),
      () => place.write('relay.yaml', config({ tls: { ...place.tls('relay'), ca: key } })),
      () => place.write('relay.yaml', config({ tls: { ...place.tls('relay'), cert: key } })),
      () => place.write('relay.yaml', config({ name: kept.toString('latin1') })),
      () => place.write('relay.yaml', `${kept.toString('latin1').replaceAll('-----', '')}: [`),
      () => place.write('relay.yaml', config({ sources: [{ kind: kept.toString('latin1') }] })),
      () => {
        place.write('relay.yaml', config());
        writeFileSync(key, kept.subarray(0, 60));
      },
      () => chmodSync(key, 0o644),
    ];
    for (const spoil of wrong) {
      const before = refusals();
      spoil();
      node.signal('SIGHUP');
      await refusedAgain(before);
    }
    chmodSync(key, 0o600);
    writeFileSync(key, kept);
    node.signal('SIGUSR2');
    await untilStatus(ports.admin, 'it resumed', ({ resume }) => resume !== undefined);
    if (hasAddon) noteSeed('state/relay', 'after the resume');
    await rawRequests(ports.listen);

    const shown: Record<string, string> = { process: shownBy(node) };
    for (const where of ['metrics', 'v1/status', 'healthz', 'readyz', 'nothing', '']) {
      const answer = await fetch(`http://127.0.0.1:${ports.admin}/${where}`);
      shown[where] = `${JSON.stringify([...answer.headers])}${await answer.text()}`;
    }
    await node.stop();
    if (hasAddon) noteSeed('state/relay', 'after its end');
    shown['its last words'] = node.stdout + node.stderr;
    expect(search.count).toBeGreaterThan(1_000);
    for (const [where, text] of Object.entries(shown))
      expect({ where, found: search.findIn(text) }).toEqual({ where, found: [] });
    // Something was said, so that something could have been found.
    expect(node.stderr.split('\n').length).toBeGreaterThan(wrong.length);
    expect(shown['metrics']).toContain('lamplighter_');
  });

  /** Takes three frames of its feed, as another relay does. */
  async function noteFeed(port: number): Promise<void> {
    const upstream = await place.upstream('service', port, ['relay']);
    const { body } = await request(upstream, {
      method: 'GET',
      path: '/v1/feed?interval=100',
      deadlineMs: 5_000,
    });
    const decoder = new FeedDecoder();
    let frames = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      for (const { payload } of decoder.push(chunk)) {
        search.add({ name: 'a feed block', bytes: payload });
        frames += 1;
      }
      if (frames >= 3) break;
    }
    body.destroy();
  }

  /** Requests that are refused. */
  async function rawRequests(port: number): Promise<void> {
    const upstream = await place.upstream('machine', port, ['relay']);
    for (const path of ['/v1/feed', '/v1/beacon?x=1', '/nothing']) {
      const { body } = await request(upstream, { method: 'GET', path, deadlineMs: 5_000 });
      body.resume();
      await new Promise((resolve) => body.once('close', resolve));
    }
  }
});

describe.skipIf(!hasAddon)('an agent that stays (needs the native addon)', () => {
  it('shows nothing of its key, its seed and its beacons, whatever is done to it', async () => {
    const { nobody } = await freePorts('nobody');
    const port = await knownRelay();
    const name = (at: number) => ({
      name: `relay-${at}`,
      url: `https://127.0.0.1:${at === 1 ? port : nobody}`,
    });
    const rest = { refreshMs: 1_000, deadlineMs: 1_000, relays: [name(1), name(2)] };
    const file = place.writeAgent([], rest);
    const made = await run(['seed', 'create', '--state', place.path('state/machine')]);
    expect(made.code).toBe(0);
    noteSeed('state/machine', 'before it starts');
    const agent = new Command(['agent', '--json', '--config', file], { env: { LAMPLIGHTER_DEBUG: '1' } });
    const reports = (count: number) =>
      eventually(`${count} reports`, () => agent.stdout.split('\n').length > count);
    await reports(1);
    expectNoCore(agent);
    noteSeed('state/machine', 'after the first boot');
    agent.signal('SIGUSR2');
    await reports(3);
    const shown: Record<string, string | Uint8Array> = {
      report: readFileSync(place.path('state/machine/agent.json')),
    };

    // A seed that others may read, and then one that was changed.
    const seed = place.path('state/machine/seed');
    await eventually('it says that its seed may be read', () => {
      // A refresh under way may put a new one in its place.
      chmodSync(seed, 0o644);
      return agent.stdout.includes('ERR_SEED_MODE');
    });
    noteSeed('state/machine', 'that others may read');
    const spoilt = readFileSync(seed);
    spoilt[60] = (spoilt[60] ?? 0) ^ 1;
    search.add({ name: 'the spoilt seed', bytes: spoilt.subarray(45, 109) });
    await eventually('it says that its seed is damaged', () => {
      writeFileSync(seed, spoilt, { mode: 0o600 });
      return agent.stdout.includes('ERR_SEED_DAMAGED');
    });
    shown['report after faults'] = readFileSync(place.path('state/machine/agent.json'));
    shown['process'] = shownBy(agent);
    await agent.stop();
    shown['its last words'] = agent.stdout + agent.stderr;
    for (const args of [
      ['seed', 'show', '--state', place.path('state/machine')],
      ['doctor', '--json', '--agent', file],
    ]) {
      const { stdout, stderr } = await run(args);
      shown[args.join(' ')] = stdout + stderr;
    }
    for (const [where, text] of Object.entries(shown))
      expect({ where, found: search.findIn(text) }).toEqual({ where, found: [] });
    expect(agent.stdout).toContain('"beacons":1');
  });

  it.each<[string, (key: string, seed: string) => readonly string[]]>([
    ['the configuration of an agent', (key) => ['agent', '--once', '--config', key]],
    ['the configuration of a node', (key) => ['node', '--config', key]],
    ['what is checked', (key) => ['config', 'check', key]],
    ['what is checked for an agent', (key) => ['config', 'check', '--agent', key]],
    ['a seed as a configuration', (_key, seed) => ['agent', '--once', '--config', seed]],
    ['a state folder', (key) => ['seed', 'show', '--state', key]],
  ])('does not repeat a key that was given as %s by mistake', async (_what, args) => {
    mkdirSync(place.path('mistaken'), { recursive: true });
    const [key, seed] = [place.path('mistaken/key'), place.path('mistaken/seed')];
    copyFileSync(place.tls('machine').key, key);
    writeFileSync(seed, randomBytes(141));
    search.add({ name: 'a mistaken seed', bytes: readFileSync(seed) });
    const { code, stdout, stderr } = await run(args(key, seed), { env: { LAMPLIGHTER_DEBUG: '1' } });
    expect(code).not.toBe(0);
    expect(stderr).not.toBe('');
    expect(search.findIn(stdout + stderr)).toEqual([]);
  });
});
