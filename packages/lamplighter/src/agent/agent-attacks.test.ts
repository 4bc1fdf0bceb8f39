import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ErrorCode } from '@lamplighter/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MadeCertificate } from '../identity/made-certificates.fixture.js';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import { fixedProcess, notingNative } from '../local/fixed-process.fixture.js';
import { systemNative } from '../local/native-doors.js';
import { SeedKeeper } from '../local/seed/seed-keeper.js';
import { BASIS_HEADER, BEACON_CONTENT_TYPE } from '../wire/beacon.js';
import { authority, foreign, serverWith } from '../wire/hostile-server.fixture.js';
import { Agent } from './agent.js';
import type { BootReport } from './boot.js';
import { agentConfig } from './config.js';

/*
 * An agent with two relays, of which one is hostile or has a wrong certificate, each asked over real TLS. Its machine is fixed,
 * so that what the kernel gets tells which beacons are in it.
 */

const DEADLINE_MS = 1_500;
/** What the machine itself does beside waiting for its relays. */
const OWN_MS = 3_000;
const DAY_MS = 86_400_000;
/** A port on which nobody listens: that of tcpmux. */
const NOBODY = 1;
/** The same in every boot. */
const NOW_MS = Date.now() + 60_000;
const RELAY: MadeCertificate = { role: 'relay', name: 'relay' };

type Answer = (asked: IncomingMessage, answer: ServerResponse) => void;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lamplighter-agent-'));
  const machine = await authority.make({ role: 'machine', name: 'web-1' });
  await writeFile(join(folder, 'ca.pem'), authority.pem);
  await writeFile(join(folder, 'web.pem'), machine.cert);
  await writeFile(join(folder, 'web.key'), machine.key, { mode: 0o600 });
});
afterEach(() => rm(folder, { recursive: true }));

/** A whole and honest answer, but for what is given. */
const giving =
  (body: Uint8Array, type = BEACON_CONTENT_TYPE, headers: Record<string, string> = {}): Answer =>
  (_asked, answer) => {
    answer.writeHead(200, { 'content-type': type, [BASIS_HEADER]: 'physical', ...headers });
    answer.end(body);
  };

const beacon = (byte: number): Uint8Array => new Uint8Array(64).fill(byte);
const honest = giving(beacon(1));

/** One boot with these relays, on a machine that is the same each time. */
async function boot(
  ports: readonly number[],
): Promise<{ report: BootReport; kernel: string; tookMs: number }> {
  const state = await mkdtemp(join(folder, 'state-'));
  const config = agentConfig.parse({
    tls: { ca: join(folder, 'ca.pem'), cert: join(folder, 'web.pem'), key: join(folder, 'web.key') },
    relays: ports.map((port, at) => ({
      name: `relay-${at + 1}`,
      url: `https://127.0.0.1:${port}`,
      peer: 'relay',
    })),
    require: 1,
    deadlineMs: DEADLINE_MS,
    state,
    report: join(state, 'agent.json'),
  });
  const fixed = fixedEnvironment();
  const environment = { ...fixed, realtimeNs: () => BigInt(NOW_MS) * 1_000_000n };
  const notes: { call: string; bytes: string }[] = [];
  const [process, native] = [fixedProcess(environment), notingNative(notes)];
  const keeper = new SeedKeeper(state, { environment, native, process });
  await keeper.store.create(new Uint8Array(64).fill(7), { replace: true });
  const agent = new Agent(config, {
    environment,
    process,
    native,
    keeper,
    requireHedge: false,
    onReport: () => undefined,
    onFault: () => undefined,
    onResume: () => undefined,
  });
  const startedMs = performance.now();
  const report = await agent.start();
  const tookMs = performance.now() - startedMs;
  await agent.stop();
  const kernel = notes.find(({ call }) => call === 'addEntropy(0)')?.bytes ?? '';
  expect(kernel).toHaveLength(128);
  return { report, kernel, tookMs };
}

describe.skipIf(!systemNative.available().supported)('an agent with one honest relay beside one that', () => {
  /** What the kernel gets when the other relay gives nothing at all. */
  let alone: string | undefined;

  const lies: readonly [string, ErrorCode, Answer][] = [
    ['gives 63 bytes', 'ERR_BEACON_LENGTH', giving(beacon(2).subarray(0, 63))],
    ['gives 65 bytes', 'ERR_BEACON_LENGTH', giving(new Uint8Array(65).fill(2))],
    ['gives no byte', 'ERR_BEACON_LENGTH', giving(new Uint8Array(0))],
    ['gives a megabyte', 'ERR_BEACON_LENGTH', giving(new Uint8Array(1_048_576).fill(2))],
    ['gives a page of 64 bytes', 'ERR_UPSTREAM_PROTOCOL', giving(beacon(2), 'text/html')],
    ['gives 64 bytes of plain text', 'ERR_UPSTREAM_PROTOCOL', giving(beacon(2), 'text/plain')],
    [
      'gives 64 bytes of no type',
      'ERR_UPSTREAM_PROTOCOL',
      (_asked, answer) => answer.writeHead(200).end(beacon(2)),
    ],
    [
      'announces fewer bytes than it gives',
      'ERR_BEACON_LENGTH',
      giving(beacon(2), BEACON_CONTENT_TYPE, { 'content-length': '32' }),
    ],
    [
      'announces more bytes than it gives, and waits',
      'ERR_BEACON_LENGTH',
      (_asked, answer) => {
        answer.writeHead(200, { 'content-type': BEACON_CONTENT_TYPE, 'content-length': '65' });
        answer.write(beacon(2));
      },
    ],
    [
      'gives an endless body',
      'ERR_BEACON_LENGTH',
      (_asked, answer) => {
        answer.writeHead(200, { 'content-type': BEACON_CONTENT_TYPE });
        const more = (): void => {
          if (!answer.destroyed && answer.write(beacon(2))) setImmediate(more);
        };
        answer.on('drain', more).on('error', () => undefined);
        more();
      },
    ],
    [
      'drips a body that never ends in time',
      'ERR_DEADLINE',
      (_asked, answer) => {
        answer.writeHead(200, { 'content-type': BEACON_CONTENT_TYPE });
        const drip = setInterval(() => answer.write(Uint8Array.of(2)), 100);
        answer.on('close', () => clearInterval(drip));
      },
    ],
    ['says nothing', 'ERR_DEADLINE', () => undefined],
    [
      'sends it elsewhere',
      'ERR_UPSTREAM_STATUS',
      (_asked, answer) => answer.writeHead(302, { location: 'https://127.0.0.1:1/v1/beacon' }).end(),
    ],
    [
      'sends it elsewhere for good, with a beacon',
      'ERR_UPSTREAM_STATUS',
      (_asked, answer) =>
        answer.writeHead(308, { location: '/v1/beacon', 'content-type': BEACON_CONTENT_TYPE }).end(beacon(2)),
    ],
    ['is not ready', 'ERR_UPSTREAM_NOT_READY', (_asked, answer) => answer.writeHead(503).end()],
    ['breaks off', 'ERR_UPSTREAM_REFUSED_US', (asked) => asked.socket.destroy()],
    [
      'breaks off in the middle',
      'ERR_UPSTREAM_UNREACHABLE',
      (asked, answer) => {
        answer.writeHead(200, { 'content-type': BEACON_CONTENT_TYPE, 'content-length': '64' });
        answer.write(beacon(2).subarray(0, 32), () => asked.socket.destroy());
      },
    ],
    [
      'answers with something else',
      'ERR_UPSTREAM_PROTOCOL',
      (asked) => asked.socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
    ],
  ];

  it.each(lies)('%s reports %s, and rests on the honest one', async (_what, code, answer) => {
    const [good, bad] = [await serverWith(RELAY, {}, honest), await serverWith(RELAY, {}, answer)];
    alone ??= (await boot([good.port, NOBODY])).kernel;
    const { report, kernel, tookMs } = await boot([good.port, bad.port]);
    expect(bad.requests()).toBe(1);
    expect(report).toMatchObject({
      seeded: true,
      beacons: 1,
      sources: { 'beacon/relay-1': 64, 'beacon/relay-2': 0 },
      relays: [{ answered: true }, { answered: false, reason: { code } }],
    });
    expect(tookMs).toBeLessThan(DEADLINE_MS + OWN_MS);
    // Not a bit of what the liar gave is in it.
    expect(kernel).toBe(alone);
  });

  const certificates: readonly [string, ErrorCode, MadeCertificate | 'foreign'][] = [
    ['has a machine’s certificate', 'ERR_UPSTREAM_CERTIFICATE', { role: 'machine', name: 'relay' }],
    ['has an office’s certificate', 'ERR_UPSTREAM_ROLE', { role: 'office', name: 'relay' }],
    ['has another relay’s certificate', 'ERR_UPSTREAM_NAME', { role: 'relay', name: 'other' }],
    ['has a certificate of another CA', 'ERR_UPSTREAM_CERTIFICATE', 'foreign'],
    [
      'has an expired certificate',
      'ERR_UPSTREAM_CERTIFICATE',
      { ...RELAY, notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) },
    ],
    [
      'has a certificate that is not yet valid',
      'ERR_UPSTREAM_CERTIFICATE',
      { ...RELAY, notBefore: new Date(Date.now() + DAY_MS), notAfter: new Date(Date.now() + 2 * DAY_MS) },
    ],
    [
      'has a certificate without a role',
      'ERR_UPSTREAM_ROLE',
      { names: [{ type: 'ip', value: '127.0.0.1' }] },
    ],
    [
      'has a certificate with two',
      'ERR_UPSTREAM_ROLE',
      {
        names: [
          { type: 'url', value: 'lamplighter:machine/relay' },
          { type: 'url', value: 'lamplighter:relay/relay' },
          { type: 'ip', value: '127.0.0.1' },
        ],
      },
    ],
  ];

  it.each(certificates)('%s reports %s, and sends it nothing', async (_what, code, certificate) => {
    const good = await serverWith(RELAY, {}, honest);
    const bad =
      certificate === 'foreign'
        ? await serverWith(RELAY, await foreign.make(RELAY), honest)
        : await serverWith(certificate, {}, giving(beacon(2)));
    alone ??= (await boot([good.port, NOBODY])).kernel;
    const { report, kernel } = await boot([good.port, bad.port]);
    expect(report).toMatchObject({
      seeded: true,
      beacons: 1,
      relays: [{ answered: true }, { answered: false, reason: { code } }],
    });
    expect(bad.requests()).toBe(0);
    expect(kernel).toBe(alone);
  });

  it('tells the truth is mixed in: the experiment can fail', async () => {
    const good = await serverWith(RELAY, {}, honest);
    const second = await serverWith(RELAY, {}, giving(beacon(2)));
    alone ??= (await boot([good.port, NOBODY])).kernel;
    const { report, kernel } = await boot([good.port, second.port]);
    expect(report.beacons).toBe(2);
    expect(kernel).not.toBe(alone);
    expect((await boot([good.port, second.port])).kernel).toBe(kernel);
  });
});

describe.skipIf(!systemNative.available().supported)('an agent all of whose relays lie', () => {
  it('seeds the kernel from its own machine, and says that no beacon is in it', async () => {
    const short = await serverWith(RELAY, {}, giving(beacon(2).subarray(0, 63)));
    const silent = await serverWith(RELAY, {}, () => undefined);
    const { report, tookMs } = await boot([short.port, silent.port]);
    expect(report).toMatchObject({
      seeded: true,
      beacons: 0,
      basis: [],
      relays: [{ reason: { code: 'ERR_BEACON_LENGTH' } }, { reason: { code: 'ERR_DEADLINE' } }],
      seed: { folded: false },
    });
    expect(tookMs).toBeLessThan(DEADLINE_MS + OWN_MS);
  });
});
