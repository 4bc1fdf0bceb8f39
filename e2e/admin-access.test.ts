import { readdirSync, readFileSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, run, statusOf, untilStatus } from './processes.fixture.js';
import { plain, transcript } from './transcript.fixture.js';

/*
 * The admin listener of real nodes, and the command that opens it: whoever is on the machine, whoever is not, and two hundred who watch.
 */

let place: Place;
beforeAll(async () => {
  place = await Place.make();
  await place.issue('admin', 'alice', 'certificates');
});
afterEach(endAll);
afterAll(() => place.remove());

interface Told {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** One request, on a connection of its own. */
function ask(url: string, options: https.RequestOptions & { body?: string } = {}): Promise<Told> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https:') ? https : http).request(
      url,
      { agent: false, ...rest },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }),
        );
      },
    );
    request.on('error', reject).end(body);
  });
}

const post = (
  url: string,
  body: object,
  options: { ca?: Buffer; headers?: Record<string, string> } = {},
): Promise<Told> =>
  ask(url, {
    method: 'POST',
    ...options,
    headers: { 'content-type': 'application/json', ...options.headers },
    body: JSON.stringify(body),
  });

/** Uses a link as its page does. @returns what a session sends with everything */
async function logIn(link: string, options: { ca?: Buffer } = {}): Promise<Record<string, string>> {
  const url = new URL(link);
  const answer = await post(`${url.origin}/v1/login`, { token: url.hash.slice(1) }, options);
  expect(answer.status).toBe(204);
  const cookie = answer.headers['set-cookie']?.[0]?.split(';', 1)[0] ?? '';
  const { csrf } = JSON.parse(
    (await ask(`${url.origin}/v1/session`, { ...options, headers: { cookie } })).body,
  ) as { csrf: string };
  return { cookie, 'x-lamplighter-csrf': csrf };
}

/** Starts a node that others may reach, with another admin entry than usual. */
function startNode(name: string, admin: object, rest: object = {}): { file: string; node: Command } {
  const file = place.write(`${name}.yaml`, {
    name,
    state: `state/${name}`,
    tls: place.tls('relay'),
    admin,
    sources: [{ kind: 'os' }, { kind: 'timing' }],
    ...rest,
  });
  return { file, node: new Command(['node', '--config', file]) };
}

async function linkTo(file: string): Promise<string> {
  const { code, stdout, stderr } = await run(['dashboard', 'link', '--config', file]);
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

/** Every file below a folder, as one text. */
function contentOf(folder: string): string {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.name} ${readFileSync(path.join(entry.parentPath, entry.name), 'latin1')}`)
    .join('\n');
}

describe('on loopback', () => {
  it('everybody may look; a link logs one browser in, once, and lets it draw', async () => {
    const { admin: port } = await freePorts('admin');
    const { file, node } = startNode('loopback', { port });
    const at = `http://127.0.0.1:${port}`;
    await untilStatus(port, 'it is ready', ({ state }) => state === 'ready');
    expect(node.stderr).toContain(`dashboard ${at}`);

    const { code, stdout, stderr } = await run(['dashboard', 'link', '--config', file, '--ttl', '1m']);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${at}/login#[A-Za-z0-9_-]{43}\n$`));
    expect(stderr).toMatch(/^for one browser, once, until \d{4}-\d\d-\d\dT[\d:.]+Z\n$/);
    const token = stdout.trim().split('#')[1] ?? '';
    const state = place.path('state/loopback');
    expect(contentOf(state)).not.toContain(token);
    for (const name of readdirSync(path.join(state, 'login'))) {
      expect(statSync(path.join(state, 'login', name)).mode & 0o777, name).toBe(0o600);
    }

    expect((await post(`${at}/v1/draw`, {})).status).toBe(401);
    const headers = await logIn(stdout.trim());
    expect((await post(`${at}/v1/login`, { token })).status).toBe(401);
    const drawn = new Set<string>();
    for (let times = 0; times < 10; times += 1) {
      const answer = await post(`${at}/v1/draw`, {}, { headers });
      expect(answer.status).toBe(200);
      drawn.add((JSON.parse(answer.body) as { bytes: string }).bytes);
    }
    expect(drawn.size).toBe(10);
    const told = await Promise.all(
      ['/v1/status', '/metrics', '/v1/history'].map(async (it) => (await ask(at + it)).body),
    );
    for (const text of [...told, node.stderr, contentOf(state)]) {
      for (const value of [token, headers['cookie']?.split('=')[1] ?? '?', ...drawn])
        expect(text).not.toContain(value);
      for (const value of drawn) expect(text).not.toContain(Buffer.from(value, 'hex').toString('latin1'));
    }
    expect((await post(`${at}/v1/logout`, {}, { headers })).status).toBe(204);
    expect((await post(`${at}/v1/draw`, {}, { headers })).status).toBe(401);
    await node.stop();
    expect(readdirSync(path.join(state, 'login'))).toEqual([]);
  });

  it('the command says what it needs', async () => {
    const { admin } = await freePorts('admin');
    const file = place.writeNode({ name: 'relay', admin, sources: [{ kind: 'os' }] });
    const where = 'DIR/state/relay/login';
    expect(await transcript(['dashboard', 'link', '--config', file], place)).toBe(
      `lamplighter: no node is running with the state folder of ${where} [ERR_STATE_FILE]\n` +
        'hint: start it with `lamplighter node --config FILE`, with this same configuration\nexit 1',
    );
    expect(await transcript(['dashboard', 'link', '--config', file, '--ttl', '2h'], place)).toBe(
      'lamplighter: --ttl is at most 1h [ERR_USAGE]\n' +
        'hint: a link is a secret: make it when it is needed\nexit 64',
    );
    expect((await run(['dashboard', 'link'])).code).toBe(64);
  });
});

describe('for others', () => {
  it('nothing is served in the clear: without a certificate the node does not start', async () => {
    const file = place.write('open.yaml', {
      name: 'open',
      state: 'state/open',
      admin: { host: '0.0.0.0', port: 0 },
      sources: [{ kind: 'os' }],
    });
    const said =
      'lamplighter: DIR/open.yaml: admin.host: 0.0.0.0 is not loopback, and there is no certificate [ERR_CONFIG]\n' +
      'hint: set it to 127.0.0.1, or add tls: … or admin.tls: …\nexit 78';
    expect(await transcript(['node', '--config', file], place)).toBe(said);
    expect(await transcript(['config', 'check', file], place)).toBe(said);
    const service = startNode('service', { host: '0.0.0.0', port: 0 }, { tls: place.tls('service') });
    expect((await service.node.ended).code).toBe(78);
    expect(plain(service.node.stderr, place)).toContain(
      'the certificate of role service is not for a server',
    );
  });

  it('a certificate of role admin or a link opens it, TLS 1.3 only; new certificates are followed; SIGUSR2 cuts it; a revocation closes it', async () => {
    const { admin: port } = await freePorts('admin');
    await place.issue('relay', 'relay', 'renewed');
    const { file, node } = startNode(
      'remote',
      { host: '0.0.0.0', port },
      { tls: place.tls('relay', 'renewed'), authority: { policy: place.path('ca') } },
    );
    const at = `https://127.0.0.1:${port}`;
    const ca = readFileSync(place.path('renewed/ca.pem'));
    const of = (name: string) => ({
      ca,
      cert: readFileSync(place.path('certificates', `${name}.pem`)),
      key: readFileSync(place.path('certificates', `${name}.key`)),
    });
    await eventually('it is ready', async () => {
      const { status } = await ask(`${at}/readyz`, { ca }).catch(() => ({ status: 0 }));
      return status === 200;
    });
    expect((await ask(`${at}/v1/status`, { ca })).status).toBe(401);
    expect((await ask(`${at}/`, { ca })).headers.location).toBe('/login');
    expect((await ask(`${at}/v1/status`, of('machine'))).status).toBe(403);
    expect(JSON.parse((await ask(`${at}/v1/status`, of('alice'))).body)).toMatchObject({ name: 'remote' });
    await expect(ask(`${at}/healthz`, { ca, maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/);
    await expect(ask(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();

    const link = await linkTo(file);
    expect(link).toMatch(new RegExp(`^${at}/login#`));
    const headers = await logIn(link, { ca });
    expect(JSON.parse((await ask(`${at}/v1/status`, { ca, headers })).body)).toMatchObject({
      name: 'remote',
    });
    expect((await post(`${at}/v1/draw`, {}, { ca, headers })).status).toBe(200);

    // One that stays open over all this.
    const stream = tls.connect({ port, host: '127.0.0.1', ...of('alice') });
    let heard = '';
    stream.on('data', (bytes: Buffer) => (heard += bytes.toString()));
    stream.on('error', () => undefined);
    const cut = new Promise((resolve) => stream.once('close', resolve));
    stream.write(`GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await eventually('it streams', () => heard.includes('event: status'));

    const serial = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: '127.0.0.1', ca }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const before = await serial();
    await place.issue('relay', 'relay', 'later');
    for (const end of ['pem', 'key'])
      await rename(place.path(`later/relay.${end}`), place.path(`renewed/relay.${end}`));
    node.signal('SIGHUP');
    await eventually('the new certificate is used', async () => (await serial()) !== before);
    const length = heard.length;
    await eventually('the stream goes on', () => heard.length > length);

    node.signal('SIGUSR2');
    await cut;
    await eventually('it is there again', async () => (await ask(`${at}/healthz`, { ca })).status === 200);

    expect((await ask(`${at}/v1/status`, of('alice'))).status).toBe(200);
    expect((await run(['ca', 'revoke', '--ca', place.path('ca'), '--name', 'alice'])).code).toBe(0);
    const told = await eventually('alice is revoked', async () => {
      const answer = await ask(`${at}/v1/status`, of('alice'));
      return answer.status === 403 && answer;
    });
    expect(JSON.parse(told.body)).toMatchObject({ code: 'ERR_REVOKED' });
    expect((await node.stop()).code).toBe(0);
  });
});

describe('many who watch', () => {
  const isFull = process.env['LAMPLIGHTER_FULL'] === '1';
  const viewers = isFull ? 200 : 40;
  const seconds = isFull ? 20 : 5;

  it(`${viewers} at once cost little and hold nothing`, async () => {
    const { admin: port } = await freePorts('admin');
    const { node } = startNode('watched', { port });
    await untilStatus(port, 'it is ready', ({ state }) => state === 'ready');
    const alone = await share(node.pid, seconds);

    let frames = 0;
    const sockets = Array.from({ length: viewers }, () => viewer(port, () => (frames += 1)));
    await eventually('all watch', () => frames >= viewers);
    const warm = await memoryAfter(node.pid, 2);
    const [beganMs, begun] = [performance.now(), frames];
    const watched = await share(node.pid, seconds);
    const aSecond = (frames - begun) / ((performance.now() - beganMs) / 1_000);
    const grown = residentBytes(node.pid) - warm;
    const figures = `${viewers} viewers: ${percent(alone)} alone, ${percent(watched)} watched, ${aSecond.toFixed(0)} frames a second, memory ${(grown / 1e6).toFixed(1)} MB`;
    console.log(figures);
    expect(aSecond / viewers, figures).toBeGreaterThan(0.3);
    expect((watched - alone) / viewers, figures).toBeLessThan(0.15 / 200);
    expect(grown, figures).toBeLessThan(16e6);

    for (const socket of sockets) socket.destroy();
    expect((await statusOf(port))?.state).toBe('ready');
    const { tookMs } = await node.stop();
    expect(tookMs).toBeLessThan(2_000);
  });

  /** The share of one core a process takes, 0..1. */
  async function share(pid: number, seconds: number): Promise<number> {
    const [beforeMs, before] = [performance.now(), cpuSeconds(pid)];
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    return (cpuSeconds(pid) - before) / ((performance.now() - beforeMs) / 1_000);
  }

  /** Resident memory once whatever the first seconds need is there. */
  async function memoryAfter(pid: number, seconds: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    return residentBytes(pid);
  }
});

const percent = (share: number): string => `${(100 * share).toFixed(1)} % of a core`;

/** A browser, as far as the node sees it. */
function viewer(port: number, onFrame: () => void): net.Socket {
  const socket = net.connect(port, '127.0.0.1');
  socket.write('GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  socket.on('data', (bytes: Buffer) => {
    if (bytes.includes('event: status')) onFrame();
  });
  return socket;
}

/** User and system time of a process (proc(5), stat: utime and stime, in ticks of 10 ms). */
function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentBytes(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) * 1_024;
}
