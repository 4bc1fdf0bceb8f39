import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/src/needs.fixture.js';
import {
  type PollenScript,
  response,
  rightAnswer,
  scriptedPollen,
} from '../../packages/lamplighter/src/wire/pollen-server.fixture.js';
import { Place } from '../place.fixture.js';
import {
  type Command,
  endAll,
  eventually,
  freePorts,
  partOf,
  run,
  statusOf,
  untilStatus,
} from '../processes.fixture.js';
import { pollinate, type Pollinated, startNode } from './pollen-process.fixture.js';

/*
 * Debian's pollinate, unmodified, against a node as a process of its own. Its manual promises: what the network does wrong is a
 * warning (exit 0, nothing written) unless --strict (exit 1); what a server says wrong is always exit 1.
 */

needs(
  'pollinate',
  'curl',
  'openssl',
)('pollinate', () => {
  let place: Place;
  let node: Command;
  let ports: Record<'http' | 'https' | 'mutual' | 'tight' | 'admin' | 'nobody', number>;

  beforeAll(async () => {
    place = await Place.make();
    // One that is nobody's here.
    const { code } = await run(['ca', 'init', place.path('other-ca')]);
    expect(code).toBe(0);
    ports = await freePorts('http', 'https', 'mutual', 'tight', 'admin', 'nobody');
    node = startNode(nodeFile());
    await untilStatus(ports.admin, 'the node is ready', ({ state }) => state === 'ready');
  });

  afterAll(async () => {
    await endAll();
    place.remove();
  });

  function nodeFile(): string {
    const at = (port: number): object => ({ host: '127.0.0.1', port });
    return place.writeNode({
      name: 'relay',
      admin: ports.admin,
      sources: [{ kind: 'timing' }, { kind: 'os' }],
      outlets: [
        { kind: 'pollen', name: 'open', http: at(ports.http), https: at(ports.https), perMinute: 1_000 },
        {
          kind: 'pollen',
          name: 'mutual',
          https: { ...at(ports.mutual), clientCa: place.tls('machine').ca },
          perMinute: 1_000,
        },
        { kind: 'pollen', name: 'tight', http: at(ports.tight), perMinute: 2 },
      ],
    });
  }

  const plain = (port = ports.http): string[] => ['-s', `http://127.0.0.1:${port}/`];
  const trusting = (ca = place.tls('relay').ca): string => `--cacert ${ca} --capath /dev/null`;
  const secure = (port = ports.https, curl = trusting()): string[] => [
    '-s',
    `https://127.0.0.1:${port}/`,
    '-c',
    curl,
  ];
  const machine = (): string => {
    const { cert, key } = place.tls('machine');
    return `--cert ${cert} --key ${key}`;
  };

  /** Once as it comes and once with --strict; both with the same arguments. */
  async function bothWays(args: readonly string[]): Promise<[Pollinated, Pollinated]> {
    return [await pollinate(...args), await pollinate('--strict', ...args)];
  }

  const exits = (all: readonly Pollinated[]): (number | null)[] => all.map(({ code }) => code);

  it.each<[string, () => string[]]>([
    ['in the clear', () => plain()],
    ['over TLS with a pinned CA', () => secure()],
    ['over TLS 1.3 alone', () => secure(ports.https, `${trusting()} --tlsv1.3`)],
    ['by name', () => ['-s', `http://localhost:${ports.http}/a/path?and=more`]],
    ['over mutual TLS', () => secure(ports.mutual, `${trusting()} ${machine()} --tlsv1.3`)],
  ])('is seeded %s, with other bytes each time', async (_, args) => {
    const all = await bothWays(args());
    expect(exits(all)).toEqual([0, 0]);
    const [first, second] = all.map(({ seed }) => seed);
    expect(first).toHaveLength(64);
    expect(second).toHaveLength(64);
    expect(first?.equals(second ?? Buffer.alloc(0))).toBe(false);
  });

  it('is seeded by a pool of two', async () => {
    const pool = [
      '-s',
      '',
      '-p',
      `http://127.0.0.1:${ports.http}/`,
      '-p',
      `https://127.0.0.1:${ports.https}/`,
    ];
    const before = answersOf('open');
    const all = await bothWays([...pool, '-c', trusting()]);
    expect(exits(all)).toEqual([0, 0]);
    for (const { seed } of all) expect(seed.length).toBeGreaterThanOrEqual(64);
    expect(await answersOf('open')).toBeGreaterThan(await before);
  });

  it('got nothing that any other got', async () => {
    const seeds = (await Promise.all(Array.from({ length: 8 }, () => pollinate(...plain())))).map(
      ({ seed }) => seed.toString('hex'),
    );
    expect(new Set(seeds).size).toBe(8);
    for (const seed of seeds) expect(seed).toHaveLength(128);
  });

  it.each<[string, () => string[]]>([
    ['nobody listens', () => plain(ports.nobody)],
    ['the CA is another', () => secure(ports.https, trusting(place.path('other-ca', 'ca.pem')))],
    ['the name is another', () => ['-s', `https://localhost:${ports.https}/`, '-c', trusting()]],
    ['TLS 1.2 is all it may use', () => secure(ports.https, `${trusting()} --tls-max 1.2`)],
    ['it has no certificate and needs one', () => secure(ports.mutual)],
    ['TLS is spoken to plain HTTP', () => secure(ports.http)],
  ])('warns when %s, and fails with --strict', async (_, args) => {
    const all = await bothWays(args());
    expect(exits(all)).toEqual([0, 1]);
    for (const { seed } of all) expect(seed).toHaveLength(0);
  });

  it('warns when the answer takes too long, and fails with --strict', async () => {
    const server = await scriptedPollen(() => undefined);
    try {
      const all = await bothWays(['-w', '1', ...plain(server.port)]);
      expect(exits(all)).toEqual([0, 1]);
      expect(server.requests).toHaveLength(2);
    } finally {
      await server.stop();
    }
  });

  it('fails when the node is not ready', async () => {
    const { http, admin } = await freePorts('http', 'admin');
    const file = place.writeNode({
      name: 'unready',
      as: 'relay',
      admin,
      sources: [{ kind: 'os' }, { kind: 'egd', address: `unix:${place.path('no.sock')}`, required: true }],
      outlets: [{ kind: 'pollen', http: { host: '127.0.0.1', port: http } }],
    });
    startNode(file);
    await untilStatus(admin, 'it listens', ({ outlets }) => outlets.length === 1);
    expect(exits(await bothWays(plain(http)))).toEqual([1, 1]);
    expect((await statusOf(admin))?.outlets[0]).toMatchObject({ state: 'waiting', bytes: 0 });
  });

  it('fails when it asks too often', async () => {
    const all = [];
    for (let run = 0; run < 3; run += 1) all.push(await pollinate(...plain(ports.tight)));
    expect(exits(all)).toEqual([0, 0, 1]);
    const status = await untilStatus(ports.admin, 'it is counted', ({ outlets }) => outlets.length === 3);
    expect(partOf(status, 'outlets', 'tight').details).toMatchObject({ answers: 2, overBudget: 1 });
  });

  it.each<[string, PollenScript]>([
    ['the first line is wrong', (_, socket) => socket.end(response(200, rightAnswer('another challenge')))],
    ['there is no challenge in what came, it is told', (_, socket) => socket.end(response(400, 'no'))],
    ['it is told 503', (_, socket) => socket.end(response(503, 'no'))],
  ])('fails when %s', async (_, script) => {
    const server = await scriptedPollen(script);
    try {
      expect(exits(await bothWays(plain(server.port)))).toEqual([1, 1]);
    } finally {
      await server.stop();
    }
  });

  it('is served over new connections after a resume, which cut the old without another byte', async () => {
    const { ca } = place.tls('relay');
    const options = { port: ports.https, host: '127.0.0.1', ca: readFileSync(ca) };
    const socket = tls.connect(options);
    await once(socket, 'secureConnect');
    let read = 0;
    socket.on('data', (bytes: Buffer) => (read += bytes.length)).on('error', () => undefined);
    socket.write('GET /?challenge=abc HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually('the first answer', () => read > 258);
    const readBefore = socket.bytesRead;
    // Not `once`, which takes the reset for a fault of the test.
    const closed = new Promise((resolve) => {
      socket.on('close', resolve);
    });
    node.signal('SIGUSR2');
    await closed;
    expect(socket.bytesRead).toBe(readBefore);
    expect((await pollinate('--strict', ...secure())).code).toBe(0);
  });

  it('finds another certificate after SIGHUP', async () => {
    const fingerprint = async (): Promise<string> => {
      const { ca } = place.tls('relay');
      const socket = tls.connect({ port: ports.https, host: '127.0.0.1', ca: readFileSync(ca) });
      await once(socket, 'secureConnect');
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    const before = await fingerprint();
    const who = ['--role', 'relay', '--name', 'relay', '--ip', '127.0.0.1', '--replace'];
    const issue = ['ca', 'issue', '--ca', place.path('ca'), ...who, '--out', place.path('certificates')];
    expect((await run(issue)).code).toBe(0);
    node.signal('SIGHUP');
    await eventually('another certificate', async () => (await fingerprint()) !== before);
    expect((await pollinate('--strict', ...secure())).code).toBe(0);
  });

  async function answersOf(name: string): Promise<number> {
    const status = await statusOf(ports.admin);
    return Number(status && partOf(status, 'outlets', name).details['answers']);
  }
});
