import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import https from 'node:https';
import type net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { able } from '../packages/lamplighter/dist/local/ability.js';
import { fixedEnvironment } from '../packages/lamplighter/dist/local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../packages/lamplighter/dist/local/fixed-process.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { nodeConfig } from '../packages/lamplighter/dist/node/config.js';
import { openLog } from '../packages/lamplighter/dist/node/log.js';
import { Node } from '../packages/lamplighter/dist/node/node.js';
import { NO_BASIS } from '../packages/lamplighter/dist/wire/basis.js';
import { fetchBeacon } from '../packages/lamplighter/dist/wire/beacon.js';
import { encodeFeedFrame, FEED_CONTENT_TYPE } from '../packages/lamplighter/dist/wire/feed.js';
import { compilePreload } from './bootstrap/fixed-machine.fixture.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, partOf, untilStatus } from './processes.fixture.js';

/*
 * "Owns the office node: reads and chooses the whole feed" (DESIGN section 3). The office here has a certificate of the fleet's CA,
 * and says what an attacker wants it to say.
 */

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());

const servers: https.Server[] = [];
afterEach(async () => {
  await endAll();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** An office that answers every subscriber so. */
async function office(
  answer: (response: ServerResponse) => void,
): Promise<{ port: number; asked: () => number }> {
  const { ca, cert, key } = place.tls('office');
  let asked = 0;
  const server = https.createServer(
    {
      ca: readFileSync(ca),
      cert: readFileSync(cert),
      key: readFileSync(key),
      requestCert: true,
      minVersion: 'TLSv1.3',
    },
    (_request, response) => {
      asked += 1;
      response.on('error', () => undefined);
      response.writeHead(200, { 'content-type': FEED_CONTENT_TYPE });
      answer(response);
    },
  );
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as net.AddressInfo).port, asked: () => asked };
}

/** The same in every run. */
const frame = (sequence: number, byte = 0x66): Buffer =>
  Buffer.from(
    encodeFeedFrame({
      basis: NO_BASIS,
      sequence: BigInt(sequence),
      realtimeNs: 1_700_000_000_000_000_000n,
      payload: new Uint8Array(64).fill(byte),
    }),
  );

/** One good frame with another header field. */
function frameWith(offset: number, bytes: readonly number[], more = 0): Buffer {
  const broken = Buffer.concat([frame(9), Buffer.alloc(more)]);
  broken.set(bytes, offset);
  return broken;
}

const feed = (name: string, port: number): object => ({
  kind: 'feed',
  name,
  url: `https://127.0.0.1:${port}`,
  intervalMs: 100,
});

async function beaconFrom(port: number): Promise<string> {
  const upstream = await place.upstream('machine', port, ['relay']);
  const { bytes } = await fetchBeacon(upstream, { nonce: new Uint8Array(32), deadlineMs: 5_000 });
  return Buffer.from(bytes).toString('hex');
}

describe('a relay whose only upstream is an office that somebody owns', () => {
  /** The first beacons of a relay that hears one frame, chosen by the attacker, on a machine on which all is fixed. */
  async function fixedRelay(options: { payload?: number; os?: number; cycles?: bigint }): Promise<string[]> {
    const { port } = await office((response) => response.write(frame(1, options.payload)));
    const environment = {
      ...fixedEnvironment(options.os),
      cycleCounter: () => able(options.cycles ?? 1n),
    };
    const config = nodeConfig.parse({
      name: 'relay',
      state: place.path(`state-${(states += 1)}`),
      tls: place.tls('relay'),
      listen: { host: '127.0.0.1', port: 0 },
      admin: { port: 0 },
      sources: [feed('office', port), { kind: 'os', periodMs: 3_600_000 }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Node(config, {
      environment,
      process: fixedProcess(environment),
      native: notingNative(),
      log: openLog('silent', 'relay'),
      file: 'none',
    });
    try {
      await node.start();
      await node.ready();
      expect(partOf(node.status(), 'sources', 'office')).toMatchObject({
        state: 'ok',
        details: { frames: 1 },
      });
      const listening = node.status().listen?.port ?? 0;
      return [await beaconFrom(listening), await beaconFrom(listening)];
    } finally {
      await node.stop();
    }
  }
  let states = 0;

  it('gives beacons that follow the relay’s own input, while the feed says the same', async () => {
    const usual = await fixedRelay({});
    expect(usual[0]).not.toBe(usual[1]);
    // The experiment holds everything: the same again gives the same again, and the feed is heard.
    expect(await fixedRelay({})).toEqual(usual);
    expect((await fixedRelay({ payload: 0x67 }))[0]).not.toBe(usual[0]);
    // One thing that the office does not see is otherwise.
    const [os, cycles] = [await fixedRelay({ os: 0x5b }), await fixedRelay({ cycles: 2n })];
    expect(new Set([...usual, ...os, ...cycles]).size).toBe(6);
  });

  /** The first beacon of a relay as a process. @param state - of its own, so that start numbers are the same */
  async function relayProcess(port: number, state: string, env: NodeJS.ProcessEnv): Promise<string> {
    const ports = await freePorts('listen', 'admin');
    const file = place.write(`${state}.yaml`, {
      name: 'relay',
      state,
      tls: place.tls('relay'),
      listen: { host: '127.0.0.1', port: ports.listen },
      admin: { port: ports.admin },
      sources: [feed('office', port), { kind: 'timing' }, { kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Command(['node', '--config', file], { env });
    await untilStatus(ports.admin, 'the relay hears the office', (status) => {
      return status.state !== 'starting' && partOf(status, 'sources', 'office').bytes >= 640;
    });
    const beacon = await beaconFrom(ports.listen);
    await node.stop();
    return beacon;
  }

  const constantly = (response: ServerResponse): void => {
    let sequence = 0;
    const speaking = setInterval(() => response.write(frame((sequence += 1))), 50);
    response.on('close', () => clearInterval(speaking));
  };

  it('gives two lives of it different beacons', async () => {
    const { port } = await office(constantly);
    const [one, two] = [await relayProcess(port, 'one', {}), await relayProcess(port, 'two', {})];
    expect(one).not.toBe(two);
  });

  needs('cc')('and whose OS RNG returns one byte for ever', () => {
    it.skipIf(process.arch !== 'x64')('gives two lives of it different beacons', async () => {
      const env = {
        LD_PRELOAD: compilePreload(place.folder),
        UV_THREADPOOL_SIZE: '1',
        FIXED_GETENTROPY: '66',
        FIXED_GETRANDOM: '23',
      };
      const { port } = await office(constantly);
      const [one, two] = [await relayProcess(port, 'three', env), await relayProcess(port, 'four', env)];
      expect(one).not.toBe(two);
    });
  });
});

it('names each fault of a hostile feed, hears what came before it, and serves as if it were not there', async () => {
  const start = [frame(7), frame(8)];
  const hostile: Record<string, { says: Buffer[]; code: string; ends?: true }> = {
    magic: { says: [...start, frameWith(0, [0x4c, 0x4c, 0x46, 0x32])], code: 'ERR_FEED_MAGIC' },
    backwards: { says: [...start, frame(6)], code: 'ERR_FEED_SEQUENCE' },
    again: { says: [...start, frame(8)], code: 'ERR_FEED_SEQUENCE' },
    highest: { says: [...start, frameWith(8, Array(8).fill(0xff)), frame(9)], code: 'ERR_FEED_SEQUENCE' },
    overlong: { says: [...start, frameWith(6, [0xff, 0xff], 65_471)], code: 'ERR_FEED_FRAME_LENGTH' },
    short: { says: [...start, frameWith(6, [0, 63])], code: 'ERR_FEED_FRAME_LENGTH' },
    garbage: { says: [...start, Buffer.alloc(1_048_576, 'lava')], code: 'ERR_FEED_MAGIC' },
    half: { says: [...start, frame(9).subarray(0, 50)], code: 'ERR_FEED_ENDED', ends: true },
    stalled: { says: [...start, frame(9).subarray(0, 50)], code: 'ERR_FEED_STALLED' },
  };
  const offices = await Promise.all(
    Object.entries(hostile).map(async ([name, { says, ends }]) => {
      const one = await office((response) => {
        for (const bytes of says) response.write(bytes);
        if (ends === true) response.end();
      });
      return { name, ...one };
    }),
  );
  const ports = await freePorts('listen', 'admin');
  const startedMs = performance.now();
  const file = place.writeNode({
    name: 'relay',
    ...ports,
    seedDeadlineMs: 1_000,
    sources: [
      ...offices.map(({ name, port }) => feed(name, port)),
      { kind: 'timing' },
      { kind: 'os', periodMs: 100 },
    ],
    outlets: [{ kind: 'beacon' }],
  });
  const node = new Command(['node', '--config', file]);
  const codes = Object.entries(hostile).map(([name, { code }]) => [name, code]);
  const status = await untilStatus(ports.admin, 'every fault is named', ({ sources }) => {
    return codes.every(([name, code]) => sources.some((s) => s.name === name && s.reason?.code === code));
  });
  for (const { name, asked } of offices) {
    const { state, bytes, details } = partOf(status, 'sources', name);
    expect(state).toBe('failed');
    // The two good frames of each connection (three before the highest sequence there is), and nothing of the bad one.
    const good = name === 'highest' ? 3 : 2;
    const frames = Number(details['frames']);
    expect(frames).toBeGreaterThan(0);
    expect(frames % good).toBe(0);
    // The answer to the first seeding counts once more.
    expect([64 * frames, 64 * (frames + 1)]).toContain(bytes);
    // It is tried again after a back-off of at least 250 ms less its jitter, never at once.
    expect(asked()).toBeLessThanOrEqual((performance.now() - startedMs) / 125 + 1);
  }
  expect(status.state).toBe('degraded');
  for (const name of ['timing', 'os']) expect(partOf(status, 'sources', name).state).toBe('ok');
  const beacons = await Promise.all(Array.from({ length: 20 }, () => beaconFrom(ports.listen)));
  expect(new Set(beacons).size).toBe(20);
  expect(await node.stop()).toMatchObject({ code: 0 });
});

it('hears no more than its budget of an office that floods it, and serves meanwhile', async () => {
  let frames = 0;
  const { port } = await office((response) => {
    const flood = (): void => {
      while (!response.destroyed && frames < 40_000 && response.write(frame((frames += 1))));
    };
    response.on('drain', flood);
    flood();
  });
  const ports = await freePorts('listen', 'admin');
  const file = place.writeNode({
    name: 'relay',
    ...ports,
    sources: [feed('flood', port), { kind: 'os', periodMs: 100 }],
    outlets: [{ kind: 'beacon' }],
  });
  const node = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, 'it is ready', ({ state }) => state === 'ready');
  const beacons = await Promise.all(Array.from({ length: 10 }, () => beaconFrom(ports.listen)));
  expect(new Set(beacons).size).toBe(10);
  await eventually('all was said', () => frames >= 40_000);
  const status = await untilStatus(
    ports.admin,
    'all was heard',
    (now) => partOf(now, 'sources', 'flood').details['frames'] === 40_000,
  );
  const { events, state } = partOf(status, 'sources', 'flood');
  expect(state).toBe('ok');
  // What is over the budget goes into one running hash, which enters the pools as a few events.
  expect(events).toBeLessThan(20_000);
  expect(await node.stop()).toMatchObject({ code: 0 });
});
