import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify, stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, run, statusOf, untilStatus } from './processes.fixture.js';

const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));

let place: Place;
let ready: Relay;
beforeAll(async () => {
  place = await Place.make();
  ready = await relay('ready');
  await untilStatus(ready.admin, 'the relay is ready', ({ state }) => state === 'ready');
});
afterAll(async () => {
  await endAll();
  place.remove();
});

interface Relay {
  readonly node: Command;
  readonly file: string;
  readonly admin: number;
  readonly url: string;
}

/** Starts a relay; with a beacon source that nobody answers it is degraded. */
async function relay(name: string, more: readonly object[] = []): Promise<Relay> {
  const { listen, admin } = await freePorts('listen', 'admin');
  const file = place.writeNode({
    name,
    as: 'relay',
    listen,
    admin,
    sources: [{ kind: 'os' }, { kind: 'timing' }, ...more],
    outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
  });
  const node = new Command(['node', '--config', file]);
  return { node, file, admin, url: `http://127.0.0.1:${admin}` };
}

/** A server that is no node. @returns its URL */
async function impostor(listener: RequestListener): Promise<{ url: string; stop: () => void }> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

describe('a node that is ready', () => {
  it('is told of as text and as the JSON that the node itself gives', async () => {
    const { file, admin, url } = ready;
    const text = await run(['status', '--config', file], { env: { COLUMNS: '60' } });
    expect(text).toMatchObject({ code: 0, stderr: '' });
    const lines = text.stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ready {2}ready {2}up /);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60);
    expect(text.stdout).toMatch(/^os +os? .*ok .*\d B\/s/m);
    expect(text.stdout).toMatch(/^certificate +relay relay until \d{4}-/m);
    expect(text.stdout).not.toContain('\u001b');

    const json = await run(['status', '--url', url, '--json']);
    expect(json).toMatchObject({ code: 0, stderr: '' });
    // Nothing is lost on the way: the same keys, all the way down.
    expect(shapeOf(JSON.parse(json.stdout))).toEqual(shapeOf(await statusOf(admin)));
  });
});

describe('a node that is not quite well', () => {
  it('is told of with its reasons first, and exit code 2', async () => {
    const { dead } = await freePorts('dead');
    const { admin, url } = await relay('unwell', [
      { kind: 'beacon', name: 'other', url: `https://127.0.0.1:${dead}` },
    ]);
    await untilStatus(admin, 'the relay is degraded', ({ state }) => state === 'degraded');
    const { code, stdout } = await run(['status', '--url', url]);
    expect(code).toBe(2);
    expect(stdout.split('\n').slice(0, 4).join('\n')).toMatch(
      /degraded[^]*- other: [^]*\[ERR_UPSTREAM_UNREACHABLE\]/,
    );
  });

  it('exits with 1 when it does not serve yet', async () => {
    const { dead } = await freePorts('dead');
    const { admin, url } = await relay('waiting', [
      { kind: 'beacon', name: 'other', url: `https://127.0.0.1:${dead}`, required: true },
    ]);
    await untilStatus(
      admin,
      'the relay waits',
      ({ state, reasons }) => state === 'starting' && reasons.length > 0,
    );
    const { code, stdout } = await run(['status', '--url', url, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'starting' });
  });
});

describe('where there is no node', () => {
  it('says where it looked, and what to do', async () => {
    const { dead } = await freePorts('dead');
    const file = place.writeNode({ name: 'gone', as: 'relay', admin: dead, sources: [{ kind: 'os' }] });
    const { code, stdout, stderr } = await run(['status', '--config', file]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`no node: 127.0.0.1:${dead}`);
    expect(stderr).toContain(`that address is from ${file} [ERR_UPSTREAM_UNREACHABLE]`);
    expect(stderr).toContain('hint: is the node running? its log says where its admin listener is');
  });

  it.each<[string, RequestListener, string]>([
    ['talks of something else', (_, response) => void response.end('hello'), 'ERR_UPSTREAM_PROTOCOL'],
    ['answers with other JSON', (_, response) => void response.end('{"version":1}'), 'ERR_UPSTREAM_PROTOCOL'],
    ['refuses', (_, response) => void response.writeHead(404).end(), 'ERR_UPSTREAM_STATUS'],
    ['never ends', (_, response) => void response.write('{'), 'ERR_DEADLINE'],
    [
      'answers without an end',
      (_, response) => {
        const more = (): void => void response.write('"'.repeat(65_536), (error) => void (error ?? more()));
        more();
      },
      'ERR_UPSTREAM_PROTOCOL',
    ],
  ])('and what answers %s: it is refused', async (_, listener, expected) => {
    const { url, stop } = await impostor(listener);
    const { code, stdout, stderr, tookMs } = await run(['status', '--url', url]);
    stop();
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`[${expected}]`);
    expect(tookMs).toBeLessThan(20_000);
  });
});

it.each<[number, readonly string[]]>([
  [64, ['--url', 'ftp://127.0.0.1']],
  [64, ['--url', 'http://127.0.0.1:9600/metrics']],
  [64, ['--url', 'http://127.0.0.1:1', '--config', 'none.yaml']],
  [64, ['--url', 'https://127.0.0.1:1']],
  [64, ['--url', 'https://127.0.0.1:1', '--cert', 'a.pem']],
  [64, ['--every', '5']],
  [64, ['--watch', '--every', '0']],
  [78, ['--config', 'none.yaml']],
])('exits with %i for wrong usage or configuration: %j', async (expected, args) => {
  const { code, stderr } = await run(['status', ...args]);
  expect(code).toBe(expected);
  expect(stderr).toMatch(/^(lamplighter|error): /);
});

describe('watching', () => {
  it('prints one object a line where that is asked for, goes on while the node is away, and ends with 0', async () => {
    const { node, file, admin, url } = await relay('leaving');
    await untilStatus(admin, 'the relay is ready', ({ state }) => state === 'ready');
    const watch = new Command(['status', '--url', url, '--watch', '--every', '1', '--json']);
    const linesOf = (): string[] => watch.stdout.split('\n').filter((line) => line !== '');
    await eventually('two looks', () => linesOf().length >= 2);
    for (const line of linesOf()) expect(JSON.parse(line)).toMatchObject({ name: 'leaving', state: 'ready' });
    await node.stop();
    await eventually('it is said to be gone', () => watch.stderr.includes('ERR_UPSTREAM_UNREACHABLE'));
    const before = linesOf().length;
    const again = new Command(['node', '--config', file]);
    await eventually('it is seen again', () => linesOf().length > before);
    expect(again.isRunning).toBe(true);
    expect(await watch.stop('SIGINT')).toMatchObject({ code: 0, signal: null });
  });

  it('prints a block now and then where there is no terminal', async () => {
    const watch = new Command(['status', '--url', ready.url, '--watch', '--every', '1']);
    await eventually('two blocks', () => watch.stdout.split(/^ready {2}ready/m).length > 2);
    expect(watch.stdout).not.toContain('\u001b');
    expect(await watch.stop('SIGTERM')).toMatchObject({ code: 0 });
  });

  it('draws over what it drew before on a terminal, in colour and in its width, and leaves at Ctrl-C', async () => {
    const { text, code } = await onTerminal(
      // `exec`: a dash that Ctrl-C reaches as well says 130, whatever its child said.
      `stty cols 60 rows 14; exec ${lamplighter('status', '--url', ready.url, '--watch')}`,
      (said) => said.split('ready').length > 3,
    );
    expect(code).toBe(0);
    expect(text).toContain('\u001b[13A\u001b[J');
    expect(text).toContain('\u001b[32mready\u001b[0m');
    expect(text).toMatch(/… \d+ more lines/);
    const shown = stripVTControlCharacters(text).split(/\r?\n/);
    expect(Math.max(...shown.map((line) => Array.from(line).length))).toBeLessThanOrEqual(60);
  });
});

describe('on a terminal', () => {
  it.each([
    ['is in colour', {}, true],
    ['is plain for who wants no colour', { NO_COLOR: '1' }, false],
    ['is plain where the terminal can do nothing', { TERM: 'dumb' }, false],
  ])('%s', async (_, env, isColoured) => {
    const { NO_COLOR: _none, ...rest } = process.env;
    const { stdout } = await promisify(execFile)(
      'script',
      ['-qec', `stty cols 100; ${lamplighter('status', '--url', ready.url)}`, '/dev/null'],
      { env: { ...rest, TERM: 'xterm', ...env }, timeout: 60_000 },
    );
    expect(stdout).toContain('ready  ');
    expect(stdout.includes('\u001b[32m')).toBe(isColoured);
  });

  it('says what it waits for after a second, and takes that away', async () => {
    const { url, stop } = await impostor(() => undefined);
    const { stdout } = await promisify(execFile)(
      'script',
      ['-qec', `stty cols 100; ${lamplighter('status', '--url', url)} || true`, '/dev/null'],
      { env: { ...process.env, TERM: 'xterm' }, timeout: 60_000 },
    );
    stop();
    expect(stdout).toContain(`\r\u001b[Kasking ${url} … 1 s`);
    expect(stdout).toContain(' s\r\u001b[Klamplighter: ');
    expect(stdout).toContain(' did not answer within 5000 ms [ERR_DEADLINE]');
  });
});

it('reaches a node behind TLS by a certificate of role admin, and by no other', async () => {
  await place.issue('admin', 'person', 'certificates');
  const { admin } = await freePorts('admin');
  const { ca, cert, key } = place.tls('relay');
  const file = place.write('behind-tls.yaml', {
    name: 'behind-tls',
    state: 'state/behind-tls',
    tls: { ca, cert, key },
    admin: { port: admin, tls: { cert, key, ca } },
    sources: [{ kind: 'os' }],
  });
  const asked = (who: string): readonly string[] => {
    const own = place.tls(who);
    return ['status', '--config', file, '--json', '--cert', own.cert, '--key', own.key, '--ca', own.ca];
  };
  const node = new Command(['node', '--config', file]);
  const seen = await eventually('it answers', async () => {
    const { code, stdout } = await run(asked('person'));
    return code === 0 && stdout;
  });
  expect(JSON.parse(seen)).toMatchObject({ name: 'behind-tls', state: 'ready' });
  expect(node.isRunning).toBe(true);
  const refused = await run(asked('machine'));
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' });
  expect(refused.stderr).toMatch(/\[ERR_UPSTREAM_(STATUS|REFUSED_US)\]\nhint: \S/);
});

const lamplighter = (...args: readonly string[]): string => [process.execPath, PROGRAM, ...args].join(' ');

/** Runs a command on a terminal until it has said enough, then presses Ctrl-C. */
async function onTerminal(
  command: string,
  isEnough: (said: string) => boolean,
): Promise<{ text: string; code: number | null }> {
  const { NO_COLOR: _none, ...env } = process.env;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...env, TERM: 'xterm' },
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more));
  try {
    await eventually('enough was said', () => isEnough(text));
    child.stdin.write('\u0003');
    await eventually('it has ended', () => child.exitCode !== null);
  } finally {
    child.kill('SIGKILL');
  }
  return { text, code: child.exitCode };
}

/** Every value by its type alone: what two looks at one node have in common. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => shapeOf(one));
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, below]) => [key, shapeOf(below)]));
}
