import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeStatus, SourceStatus } from '../packages/lamplighter/dist/wire/status.js';
import { Place } from './place.fixture.js';
import { Command, endAll, freePorts, partOf, run, untilStatus } from './processes.fixture.js';
import { lines, plain as plainOf, transcript } from './transcript.fixture.js';

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

const seen = (args: readonly string[]) => transcript(args, place);
const plain = (text: string) => plainOf(text, place);

/** An upstream of our own making, in this process. @returns its port and the way to end it */
async function pretend(
  as: string,
  answer: (response: ServerResponse) => void,
): Promise<{ port: number; end: () => Promise<void> }> {
  const { ca, cert, key } = place.tls(as);
  const read = (file: string) => readFileSync(file);
  const server = https.createServer(
    { ca: read(ca), cert: read(cert), key: read(key), requestCert: true, minVersion: 'TLSv1.3' },
    (_request, response) => answer(response),
  );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    end: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Runs a relay with one source beside `os`, until that source has failed; the relay serves all the same. */
async function failing(source: object, env: NodeJS.ProcessEnv = {}): Promise<SourceStatus & { log: string }> {
  const ports = await freePorts('listen', 'admin');
  const sources = [{ name: 'bad', ...source }, { kind: 'os' }];
  const outlets = [{ kind: 'beacon' }];
  const file = place.writeNode({ name: 'relay', ...ports, seedDeadlineMs: 500, sources, outlets });
  const node = new Command(['node', '--config', file], { env });
  const hasFailed = (status: NodeStatus) =>
    status.state === 'degraded' && partOf(status, 'sources', 'bad').state === 'failed';
  const status = await untilStatus(ports.admin, 'the source has failed', hasFailed);
  const agent = ['agent', '--once', '--config', place.writeAgent([ports.listen])];
  // Its first start makes the seed, and says so.
  expect(await seen(agent)).toMatch(/^(lamplighter: this machine had no seed: one was made\n)?exit 0$/);
  expect((await node.stop()).code).toBe(0);
  // Nothing but log entries: no stack trace, no stray text.
  for (const line of node.stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
  return { ...partOf(status, 'sources', 'bad'), log: node.stderr };
}

describe('an input that cannot be used is named in the status and the log, and the node serves', () => {
  it('a camera that needs ffmpeg, where there is none', async () => {
    place.write('lamps.mp4', 'no video');
    const camera = { kind: 'camera', url: place.path('lamps.mp4') };
    const { reason, log } = await failing(camera, { PATH: place.path('empty') });
    expect(reason).toEqual({
      code: 'ERR_FFMPEG_MISSING',
      message: 'ffmpeg is not installed',
      hint: 'apt-get install ffmpeg (5.1 or later)',
    });
    expect(log).toContain('"code":"ERR_FFMPEG_MISSING"');
    expect(log).toContain('apt-get install ffmpeg');
  });

  it('an upstream that is not there', async () => {
    const { nobody } = await freePorts('nobody');
    const { reason } = await failing({ kind: 'feed', url: `https://127.0.0.1:${nobody}` });
    expect(reason).toEqual({
      code: 'ERR_UPSTREAM_UNREACHABLE',
      message: `127.0.0.1:${nobody} cannot be reached: nothing listens there (ECONNREFUSED)`,
      hint: 'check host, port and network, and whether the upstream runs',
    });
  });

  it('an upstream with a machine’s certificate', async () => {
    let asked = 0;
    const machine = await pretend('machine', () => (asked += 1));
    const { reason } = await failing({
      kind: 'feed',
      url: `https://127.0.0.1:${machine.port}`,
      peer: 'machine',
    });
    await machine.end();
    expect(reason).toMatchObject({
      code: 'ERR_UPSTREAM_CERTIFICATE',
      hint: 'the upstream must use an office or relay certificate',
    });
    expect(asked).toBe(0);
  });

  it('an upstream with another name', async () => {
    const office = await pretend('office', () => undefined);
    const { reason } = await failing({
      kind: 'feed',
      url: `https://127.0.0.1:${office.port}`,
      peer: 'office-2',
    });
    await office.end();
    expect(reason).toMatchObject({
      code: 'ERR_UPSTREAM_NAME',
      message: `127.0.0.1:${office.port} calls itself office, not office-2`,
    });
  });

  it('a feed with a wrong magic', async () => {
    const office = await pretend('office', (response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      response.write(Buffer.alloc(88, 'LLF2'));
    });
    const { reason, bytes } = await failing({ kind: 'feed', url: `https://127.0.0.1:${office.port}` });
    await office.end();
    expect(reason).toEqual({
      code: 'ERR_FEED_MAGIC',
      message: 'the feed frame has a wrong magic',
      hint: 'check that the upstream is a lamplighter node',
    });
    expect(bytes).toBe(0);
  });

  it('a kernel device that is none', async () => {
    const { admin } = await freePorts('admin');
    const outlets = [{ kind: 'kernel', device: '/dev/null' }];
    const file = place.writeNode({ name: 'relay', admin, sources: [{ kind: 'os' }], outlets });
    const node = new Command(['node', '--config', file]);
    const status = await untilStatus(admin, 'the outlet has failed', ({ state }) => state === 'degraded');
    expect(partOf(status, 'outlets', 'kernel').reason).toEqual({
      code: 'ERR_KERNEL_WRITE',
      message: "/dev/null is not the kernel's random number generator",
      hint: 'use /dev/random',
    });
    expect((await node.stop()).code).toBe(0);
  });
});

describe('lamplighter beacon and lamplighter agent', () => {
  let relay: number;
  let office: number;
  let nobody: number;
  let nodes: readonly Command[];

  /** Nodes for the whole block: started in each test, because each test ends all it started. */
  async function serving(): Promise<void> {
    const ports = await freePorts('relay', 'office', 'nobody', 'relayAdmin', 'officeAdmin');
    ({ relay, office, nobody } = ports);
    const common = { sources: [{ kind: 'os' }], outlets: [{ kind: 'beacon' }] };
    const files = [
      place.writeNode({ name: 'relay', listen: relay, admin: ports.relayAdmin, ...common }),
      place.writeNode({ name: 'office', listen: office, admin: ports.officeAdmin, ...common }),
    ];
    nodes = files.map((file) => new Command(['node', '--config', file]));
    const isReady = ({ state }: NodeStatus) => state === 'ready';
    await untilStatus(ports.relayAdmin, 'the relay is ready', isReady);
    await untilStatus(ports.officeAdmin, 'the office is ready', isReady);
  }

  const beacon = (port: number, as: string, ...more: readonly string[]) => {
    const { ca, cert, key } = place.tls(as);
    return [
      'beacon',
      '--from',
      `https://127.0.0.1:${port}`,
      '--ca',
      ca,
      '--cert',
      cert,
      '--key',
      key,
      ...more,
    ];
  };

  it('fetch a beacon, or say why there is none', async () => {
    await serving();
    const fetched = await run(beacon(relay, 'machine', '--nonce', '00'.repeat(64)));
    expect(fetched).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^[0-9a-f]{128}\n$/) as string,
    });

    expect(await seen(beacon(relay, 'machine', '--nonce', '00'.repeat(65)))).toBe(
      lines('lamplighter: the upstream refused: 413 ERR_NONCE_LENGTH [ERR_UPSTREAM_STATUS]', 'exit 1'),
    );
    expect(await seen(beacon(relay, 'office'))).toBe(
      lines('lamplighter: the upstream refused: 403 ERR_ROLE [ERR_UPSTREAM_STATUS]', 'exit 1'),
    );
    expect(await seen(beacon(office, 'machine'))).toBe(
      lines(
        'lamplighter: 127.0.0.1:PORT is office office, and only relay may answer here [ERR_UPSTREAM_ROLE]',
        'hint: check the address, and which certificate the upstream was given',
        'exit 1',
      ),
    );
    expect(await seen(beacon(relay, 'machine', '--peer', 'relay-9'))).toBe(
      lines(
        'lamplighter: 127.0.0.1:PORT calls itself relay, not relay-9 [ERR_UPSTREAM_NAME]',
        'hint: issue its certificate with this --dns or --ip, or configure the name it carries',
        'exit 1',
      ),
    );
    expect(await seen(beacon(nobody, 'machine'))).toBe(
      lines(
        'lamplighter: 127.0.0.1:PORT cannot be reached: nothing listens there (ECONNREFUSED) [ERR_UPSTREAM_UNREACHABLE]',
        'hint: check host, port and network, and whether the upstream runs',
        'exit 1',
      ),
    );
    for (const node of nodes) expect(node.stderr).not.toMatch(/^\s+at /m);
  });

  it('seed the kernel with what there is, and exit 0, 2 or 1', async () => {
    await serving();
    const agent = (ports: readonly number[], rest: object = {}, ...more: readonly string[]) =>
      run(['agent', '--once', ...more, '--config', place.writeAgent(ports, rest)]);
    const missing = (name: string) =>
      lines(
        `lamplighter: relay ${name}: 127.0.0.1:PORT cannot be reached: nothing listens there (ECONNREFUSED) [ERR_UPSTREAM_UNREACHABLE]`,
        'hint: check host, port and network, and whether the upstream runs',
        '',
      );
    // What is said of the seed and the hedge, which is not the relays' doing and depends on the addon.
    const besides = (text: string) =>
      plain(
        text.replace(
          /^lamplighter: .*(machine seed|no seed|in the seed|tls hedge).*\n(hint: .*(seed|addon|enrol).*\n)?/gm,
          '',
        ),
      );
    const written = (from: string, count: string) =>
      new RegExp(
        `^64 bytes from ${from}whirlwind, timing, (cpu, )?os written to /dev/random: mixed in, 0 bits credited, ` +
          `in effect (now|at the kernel's next reseed); ${count} required beacons; ` +
          'basis: nothing claimed; tls hedge: (on|off); N ms\n$',
      );

    const whole = await agent([relay]);
    expect({ code: whole.code, stderr: besides(whole.stderr) }).toEqual({ code: 0, stderr: '' });
    expect(plain(whole.stdout)).toMatch(written('beacon/relay-1, ', '1 of 1'));

    const half = await agent([nobody, relay]);
    expect({ code: half.code, stderr: besides(half.stderr) }).toEqual({
      code: 0,
      stderr: missing('relay-1'),
    });
    expect(plain(half.stdout)).toMatch(written('beacon/relay-2, ', '1 of 1'));

    const fewer = await agent([relay, nobody], { require: 2 });
    expect({ code: fewer.code, stderr: besides(fewer.stderr) }).toEqual({
      code: 2,
      stderr: missing('relay-2'),
    });
    expect(plain(fewer.stdout)).toMatch(written('beacon/relay-1, ', '1 of 2'));
    expect((await agent([relay, nobody], { require: 2 }, '--strict')).code).toBe(1);

    const none = await agent([nobody]);
    expect(none.code).toBe(2);
    expect(plain(none.stdout)).toMatch(written('', '0 of 1'));
    expect((await agent([nobody], {}, '--strict')).code).toBe(1);
    expect((await agent([nobody], { require: 0 })).code).toBe(0);

    const refused = await agent([relay], { kernel: { device: '/dev/null' } });
    expect({ code: refused.code, stdout: refused.stdout, stderr: besides(refused.stderr) }).toEqual({
      code: 1,
      stdout: '',
      stderr: lines(
        "lamplighter: the kernel was not seeded: /dev/null is not the kernel's random number generator [ERR_KERNEL_WRITE]",
        'hint: use /dev/random',
        '',
      ),
    });
    const told = await agent([relay, nobody], { require: 2 }, '--json');
    expect(told).toMatchObject({ code: 2, stderr: '' });
    expect(JSON.parse(told.stdout)).toMatchObject({
      seeded: true,
      exitCode: 2,
      relays: [{ answered: true }, { answered: false, reason: { code: 'ERR_UPSTREAM_UNREACHABLE' } }],
    });
  });

  it('keep their deadline, whatever a relay does', async () => {
    const sockets = new Set<net.Socket>();
    const silent = net.createServer((socket) => sockets.add(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as net.AddressInfo;
    const dumb = await pretend('relay', () => undefined);
    const dripping = await pretend('relay', (response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': '64' });
      const timer = setInterval(() => response.write('x'), 100);
      response.on('close', () => clearInterval(timer));
    });
    const ports = [port, dumb.port, dripping.port];
    const file = place.writeAgent(ports, { deadlineMs: 1_000 });
    const { code, stdout, tookMs } = await run(['agent', '--once', '--json', '--config', file]);
    expect(tookMs).toBeLessThan(1_000 + 1_500);
    expect(code).toBe(2);
    const { relays } = JSON.parse(stdout) as { relays: { reason: { code: string } }[] };
    expect(relays.map(({ reason }) => reason.code)).toEqual(Array(3).fill('ERR_DEADLINE'));

    const asked = await run(beacon(port, 'machine', '--deadline', '500'));
    expect(asked.tookMs).toBeLessThan(500 + 1_500);
    expect(plain(asked.stderr)).toMatch(/^lamplighter: .* \[ERR_DEADLINE\]$/m);
    for (const socket of sockets) socket.destroy();
    await Promise.all([dumb.end(), dripping.end(), new Promise((resolve) => silent.close(resolve))]);
  });
});
