import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type tls from 'node:tls';
import { LamplighterError } from '@lamplighter/core';
import { afterAll, afterEach } from 'vitest';
import { testAuthority } from '../../identity/made-certificates.fixture.js';
import { type FixedEnvironment, fixedEnvironment } from '../../local/fixed-environment.fixture.js';
import type { HistoryReport } from '../../wire/history.js';
import { Answers, openTls, type RawAnswer } from '../../wire/raw-peer.fixture.js';
import type { NodeStatus } from '../../wire/status.js';
import { EventLog } from '../event-log.js';
import { openLog } from '../log.js';
import { type AdminOptions, type AdminServer, startAdmin } from './admin.js';
import { LoginLinks } from './login-links.js';
import type { AdminParts } from './parts.js';

/** The CA of the node and its clients. */
export const authority = await testAuthority();
export const own = await authority.material({ role: 'relay', name: 'relay-1' });

/** A node that is starting. */
export const STATUS: NodeStatus = {
  version: 1,
  name: 'here',
  software: 'lamplighter 0',
  pid: 1,
  state: 'starting',
  reasons: [{ code: 'ERR_NOT_SEEDED', message: 'the OS RNG has not answered' }],
  uptimeMs: 1_500,
  hedge: { state: 'off' },
  basis: ['simulated'],
  generator: {
    schedule: 'classic',
    seeded: false,
    reseeds: 7,
    directReseeds: 2,
    pools: [{ bytes: 3, drains: 7 }],
  },
  rest: [],
  residentMemoryBytes: 1,
  sources: [
    {
      name: 'wall',
      kind: 'camera',
      required: false,
      state: 'ok',
      basis: { simulated: true, degraded: false, physical: false },
      details: {},
      bytes: 1_000,
      events: 10,
    },
  ],
  outlets: [{ name: 'feed', kind: 'feed', state: 'ok', bytes: 64, details: {} }],
  configuration: { file: 'node.yaml', reloads: 0 },
};

const HISTORY: HistoryReport = { version: 1, stepMs: 5_000, atMs: [1], series: { beacons: [2] } };

/** An admin listener under test, and the node behind it. */
export interface ServedAdmin {
  readonly admin: AdminServer;
  readonly port: number;
  readonly links: LoginLinks;
  readonly environment: FixedEnvironment;
  readonly events: EventLog;
  /** How often the status was made. */
  readonly looks: { status: number; history: number };
  /** Everything that was logged. */
  readonly logged: string[];
  /** A connection over which anything can be said. */
  readonly connect: (options?: tls.ConnectionOptions) => Promise<Answers>;
  /** One request on a connection of its own. */
  readonly ask: (request: string, options?: tls.ConnectionOptions) => Promise<RawAnswer>;
  /** A session, by a login link. */
  readonly login: () => Promise<{ readonly cookie: string; readonly csrf: string }>;
}

const open: AdminServer[] = [];
const folders: string[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((admin) => admin.stop()));
});
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** For tests: a temporary folder that is removed at the end. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lamplighter-admin-'));
  folders.push(folder);
  return folder;
}

/** For tests: an admin listener on loopback, plain unless the options give it a certificate. */
export async function serveAdmin(
  options: Partial<AdminOptions> = {},
  parts: Partial<AdminParts> = {},
): Promise<ServedAdmin> {
  const state = options.state ?? (await temporaryFolder());
  const environment = fixedEnvironment();
  const events = new EventLog(environment);
  const looks = { status: 0, history: 0 };
  const logged: string[] = [];
  const log = openLog('silent', 'here');
  const note = (fields: unknown, message: string): void =>
    void logged.push(`${message} ${JSON.stringify(fields)}`);
  const admin = await startAdmin(
    {
      host: '127.0.0.1',
      port: 0,
      roles: ['admin'],
      preview: true,
      own: undefined,
      state,
      pages: state,
      // Files are dated by the real clock.
      environment: { ...environment, realtimeNs: () => BigInt(Date.now()) * 1_000_000n },
      log: Object.assign(Object.create(log) as typeof log, { warn: note, error: note }),
      ...options,
    },
    {
      status: () => {
        looks.status += 1;
        return STATUS;
      },
      history: () => {
        looks.history += 1;
        return HISTORY;
      },
      events,
      draw: (lengthBytes) => new Uint8Array(lengthBytes).fill(0xab),
      camera: () => undefined,
      ...parts,
    },
  );
  open.push(admin);
  const { port: text, protocol } = new URL(admin.url);
  const port = Number(text);
  const connect = async (tlsOptions: tls.ConnectionOptions = {}): Promise<Answers> => {
    if (protocol === 'https:') return new Answers(await openTls({ port, ca: authority.pem, ...tlsOptions }));
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Answers(socket);
  };
  const ask = async (request: string, tlsOptions?: tls.ConnectionOptions): Promise<RawAnswer> => {
    const peer = await connect(tlsOptions);
    try {
      return await peer.ask(request);
    } finally {
      peer.socket.destroy();
    }
  };
  const links = new LoginLinks(state);
  return {
    admin,
    port,
    links,
    environment,
    events,
    looks,
    logged,
    connect,
    ask,
    async login() {
      const { url } = await links.create(60_000, Date.now());
      const answer = await ask(post('/v1/login', JSON.stringify({ token: url.hash.slice(1) })));
      const cookie = answer.headers['set-cookie']?.split(';', 1)[0];
      if (cookie === undefined) throw new Error(`not logged in: ${answer.status} ${answer.body}`);
      const session = JSON.parse((await ask(get('/v1/session', { cookie }))).body) as { csrf: string };
      return { cookie, csrf: session.csrf };
    },
  };
}

/** A GET request as bytes on the wire. */
export function get(path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): string {
  const lines = Object.entries({ host: '127.0.0.1', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** A POST request as bytes on the wire, of JSON unless told. */
export function post(path: string, body: string, headers: Readonly<Record<string, string>> = {}): string {
  const own = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
  return get(path, { ...own, ...headers }, 'POST') + body;
}

/** The status and the problem code of an answer, in one word. */
export function refusal({ status, body }: RawAnswer): string {
  const { code } = JSON.parse(body) as { code?: string };
  return `${status} ${code ?? ''}`;
}

/** A draw before seeding. */
export const notSeeded = (): never => {
  throw new LamplighterError('ERR_NOT_SEEDED', 'not yet');
};
