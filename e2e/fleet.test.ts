import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import tls from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, run, untilStatus } from './processes.fixture.js';

/*
 * What docs/FLEET.md tells, with real processes: a CA, an office, two relays of which one is the CA, three machines that enrol by
 * token, one of them revoked, the CA's key replaced, a relay restarted; and everybody's certificates renewed all the while.
 */

/** Two thirds of it is when everybody renews. */
const LIFE = '21s';

const place = new Place();
let ports: Awaited<ReturnType<typeof choosePorts>>;
const choosePorts = () =>
  freePorts('office', 'officeAdmin', 'first', 'firstAdmin', 'enroll', 'second', 'secondAdmin');

beforeAll(async () => {
  ports = await choosePorts();
});
afterEach(endAll);
afterAll(() => place.remove());

/** A command that must succeed. @returns what it printed */
async function lamplighter(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args);
  expect({ args, code, stderr: code === 0 ? '' : stderr }).toEqual({ args, code: 0, stderr: '' });
  return stdout;
}

async function issueServer(role: string, name: string): Promise<void> {
  const who = ['--role', role, '--name', name, '--ip', '127.0.0.1', '--life', LIFE];
  await lamplighter('ca', 'issue', '--ca', place.path('ca'), ...who, '--out', place.path('nodes'));
}

function startNode(name: string, listen: number, admin: number, rest: object): Command {
  const file = place.write(`${name}.yaml`, {
    name,
    state: `state/${name}`,
    tls: place.tls(name, 'nodes'),
    listen: { host: '127.0.0.1', port: listen },
    admin: { port: admin },
    ...rest,
  });
  return new Command(['node', '--config', file]);
}

const relayParts = () => ({
  sources: [
    { kind: 'os' },
    { kind: 'timing' },
    { kind: 'feed', name: 'office', url: `https://127.0.0.1:${ports.office}`, intervalMs: 500 },
  ],
  outlets: [{ kind: 'beacon' }, { kind: 'feed' }],
});

const startFirst = (): Command =>
  startNode('relay-1', ports.first, ports.firstAdmin, {
    ...relayParts(),
    audit: { folder: 'audit' },
    authority: {
      folder: 'ca',
      life: LIFE,
      enroll: { host: '127.0.0.1', port: ports.enroll },
      relays: [
        { name: 'relay-1', url: `https://127.0.0.1:${ports.first}` },
        { name: 'relay-2', url: `https://127.0.0.1:${ports.second}` },
      ],
    },
  });

/** A token for one machine, used on that machine. */
async function enrol(name: string): Promise<void> {
  const token = await lamplighter('token', 'create', '--ca', place.path('ca'), '--name', name);
  writeFileSync(place.path(`${name}.token`), token, { mode: 0o600 });
  const where = ['--dir', place.path(name), '--state', place.path('state', name)];
  const relay = ['--relay', `https://127.0.0.1:${ports.enroll}`];
  await lamplighter('enroll', ...relay, '--token-file', place.path(`${name}.token`), ...where);
}

/** The agent that stays, with the configuration that enrolment wrote, and refreshes often. */
function startAgent(name: string): Command {
  const config = place.path(name, 'agent.yaml');
  const written = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...written, refreshMs: 1_000 }));
  return new Command(['agent', '--json', '--config', config]);
}

const reports = ({ stdout }: Command): BootReport[] =>
  stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as BootReport);

/** Waits until an agent's newest reports are as they should be. */
async function untilReport(
  agent: Command,
  what: string,
  condition: (report: BootReport) => boolean,
): Promise<BootReport> {
  const before = reports(agent).length;
  return eventually(
    what,
    () =>
      reports(agent)
        .slice(Math.max(0, before - 1))
        .findLast(condition) ?? false,
    40_000,
  );
}

const hasBeacons =
  (beacons: number) =>
  (report: BootReport): boolean =>
    report.beacons === beacons;

const certificateOf = (path: string): X509Certificate => new X509Certificate(readFileSync(path));

/** The root that signed a certificate, of those that the CA trusts. */
function rootOf(path: string): number {
  const roots = readFileSync(place.path('ca', 'ca.pem'), 'latin1')
    .split(/(?=-----BEGIN)/)
    .filter((block) => block.startsWith('-----BEGIN'))
    .map((block) => new X509Certificate(block));
  const leaf = certificateOf(path);
  return roots.findIndex((root) => leaf.verify(root.publicKey));
}

const untilRotated = (step: string): Promise<true> =>
  eventually(
    `nobody waits for ${step}`,
    async () => {
      const { code } = await run(['ca', 'rotate', place.path('ca'), `--${step}`]);
      return code === 0;
    },
    60_000,
  );

/** A connection as that machine makes it, kept open. */
async function connectAs(name: string, port: number): Promise<tls.TLSSocket> {
  const identity = readFileSync(place.path(name, 'identity.pem'));
  const ca = readFileSync(place.path(name, 'ca.pem'));
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    ca,
    cert: identity,
    key: identity,
    minVersion: 'TLSv1.3',
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

async function ask(socket: tls.TLSSocket): Promise<string> {
  socket.write('POST /v1/beacon HTTP/1.1\r\nhost: relay\r\ncontent-length: 0\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString('latin1');
}

it('a fleet lives: enrolled, renewed, revoked, rotated, restarted', async () => {
  await lamplighter('ca', 'init', place.path('ca'));
  await issueServer('office', 'office');
  await issueServer('relay', 'relay-1');
  await issueServer('relay', 'relay-2');

  startNode('office', ports.office, ports.officeAdmin, {
    sources: [{ kind: 'os' }, { kind: 'timing' }],
    outlets: [{ kind: 'feed' }],
    authority: { url: `https://127.0.0.1:${ports.first}` },
  });
  let first = startFirst();
  startNode('relay-2', ports.second, ports.secondAdmin, {
    ...relayParts(),
    authority: { url: `https://127.0.0.1:${ports.first}` },
  });
  const hearsOffice = (admin: number, name: string) =>
    untilStatus(
      admin,
      `${name} hears the office and knows the policy`,
      ({ state, fleet, sources }) =>
        state === 'ready' &&
        fleet?.policy !== undefined &&
        fleet.policy.from !== 'none' &&
        sources.some((source) => source.name === 'office' && source.state === 'ok'),
    );
  await hearsOffice(ports.firstAdmin, 'relay-1');
  await hearsOffice(ports.secondAdmin, 'relay-2');

  // Three machines join; each is told of both relays, and its first boot asks them.
  for (const name of ['web-1', 'web-2', 'web-3']) await enrol(name);
  const agents = { one: startAgent('web-1'), two: startAgent('web-2'), three: startAgent('web-3') };
  for (const agent of Object.values(agents)) await untilReport(agent, 'two beacons', hasBeacons(2));
  const firstCertificates = ['web-1', 'web-2'].map((name) => certificateOf(place.path(name, 'identity.pem')));

  // One is sold. Its open connections end at both relays, and it is told why; the others do not notice.
  const open = [await connectAs('web-3', ports.first), await connectAs('web-3', ports.second)];
  for (const socket of open) expect(await ask(socket)).toMatch(/^HTTP\/1\.1 200 /);
  const closed = Promise.all(open.map((socket) => once(socket, 'close')));
  await lamplighter('ca', 'revoke', '--ca', place.path('ca'), '--name', 'web-3', '--reason', 'sold');
  await closed;
  const refused = await untilReport(agents.three, 'web-3 is refused', hasBeacons(0));
  expect(refused.seeded).toBe(true);
  for (const { reason } of refused.relays) expect(reason?.code).toBe('ERR_REVOKED');
  for (const agent of [agents.one, agents.two]) await untilReport(agent, 'two beacons', hasBeacons(2));
  expect(await agents.three.stop()).toMatchObject({ code: 0 });

  // The CA's key is replaced while certificates renew themselves.
  await lamplighter('ca', 'rotate', place.path('ca'), '--begin');
  await untilRotated('switch');
  await untilRotated('finish');
  const identities = ['web-1', 'web-2'].map((name) => place.path(name, 'identity.pem'));
  const servers = ['office', 'relay-1', 'relay-2'].map((name) => place.tls(name, 'nodes').cert);
  for (const path of [...identities, ...servers]) expect(rootOf(path)).toBe(0);
  await hearsOffice(ports.firstAdmin, 'relay-1');
  await hearsOffice(ports.secondAdmin, 'relay-2');
  for (const agent of [agents.one, agents.two]) await untilReport(agent, 'two beacons', hasBeacons(2));
  for (const [at, path] of identities.entries()) {
    expect(certificateOf(path).serialNumber).not.toBe(firstCertificates[at]?.serialNumber);
  }

  // The relay that is the CA is restarted: meanwhile the other gives what is required, and still knows who is revoked.
  expect(await first.stop()).toMatchObject({ code: 0 });
  const alone = await untilReport(agents.one, 'one beacon', hasBeacons(1));
  expect(alone).toMatchObject({ seeded: true, required: 1 });
  const stale = await untilStatus(
    ports.secondAdmin,
    'relay-2 says that it cannot learn the policy',
    ({ fleet }) => fleet?.policy?.reason?.code === 'ERR_POLICY_STALE',
  );
  expect(stale.fleet?.policy).toMatchObject({ from: 'authority', revokedNames: 1 });
  first = startFirst();
  for (const agent of [agents.one, agents.two]) await untilReport(agent, 'two beacons', hasBeacons(2));

  // The name is free again, and the machine comes back by a token of the new root.
  await lamplighter('ca', 'unrevoke', '--ca', place.path('ca'), '--name', 'web-3');
  await enrol('web-3');
  const back = startAgent('web-3');
  await untilReport(back, 'web-3 is back', hasBeacons(2));

  for (const agent of [agents.one, agents.two, back]) expect(await agent.stop()).toMatchObject({ code: 0 });
  expect(agents.one.stderr).not.toContain('WARNING');
  expect(await first.stop()).toMatchObject({ code: 0 });

  const record = readFileSync(place.path('audit', 'relay-1.jsonl'), 'utf8').trim().split('\n');
  const given = record.map((line) => JSON.parse(line) as { name?: string; start?: string });
  expect(new Set(given.map(({ name }) => name))).toEqual(new Set([undefined, 'web-1', 'web-2', 'web-3']));
  expect(existsSync(place.path('audit', 'relay-1.jsonl.1'))).toBe(false);
}, 240_000);

it('several nodes on one host share the folder of the CA: tokens, revocations, quotas', async () => {
  const here = await freePorts('a', 'aAdmin', 'aEnroll', 'b', 'bAdmin', 'bEnroll');
  await lamplighter('ca', 'init', place.path('shared'));
  for (const name of ['node-a', 'node-b']) {
    const who = ['--role', 'relay', '--name', name, '--ip', '127.0.0.1'];
    await lamplighter(
      'ca',
      'issue',
      '--ca',
      place.path('shared'),
      ...who,
      '--out',
      place.path('nodes-shared'),
    );
  }
  const start = async (name: string, listen: number, admin: number, enroll: number): Promise<Command> => {
    const file = place.write(`${name}.yaml`, {
      name,
      state: `state/${name}`,
      tls: place.tls(name, 'nodes-shared'),
      listen: { host: '127.0.0.1', port: listen },
      admin: { port: admin },
      authority: {
        folder: 'shared',
        enroll: { host: '127.0.0.1', port: enroll },
        relays: [
          { name: 'a', url: `https://127.0.0.1:${here.a}` },
          { name: 'b', url: `https://127.0.0.1:${here.b}` },
        ],
      },
      sources: [{ kind: 'os' }, { kind: 'timing' }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Command(['node', '--config', file]);
    await untilStatus(admin, `${name} is ready`, ({ state }) => state === 'ready');
    return node;
  };
  await start('node-a', here.a, here.aAdmin, here.aEnroll);
  await start('node-b', here.b, here.bAdmin, here.bEnroll);

  // One token for one machine, shown to both nodes at once by two machines.
  const token = await lamplighter('token', 'create', '--ca', place.path('shared'), '--prefix', 'farm');
  writeFileSync(place.path('farm.token'), token, { mode: 0o600 });
  const attempt = (port: number, name: string) =>
    run(
      ['enroll', '--relay', `https://127.0.0.1:${port}`, '--token-file', place.path('farm.token')].concat([
        '--dir',
        place.path(name),
        '--state',
        place.path('state', name),
        '--no-boot',
      ]),
    );
  const attempts = await Promise.all([attempt(here.aEnroll, 'farm-a'), attempt(here.bEnroll, 'farm-b')]);
  expect(new Set(attempts.map(({ code }) => code))).toEqual(new Set([0, 1]));
  expect(attempts.find(({ code }) => code === 1)?.stderr).toContain('[ERR_TOKEN_SPENT]');
  const winner = attempts[0].code === 0 ? 'farm-a' : 'farm-b';
  const boot = async (): Promise<BootReport> => {
    const { stdout } = await run(['agent', '--once', '--json', '--config', place.path(winner, 'agent.yaml')]);
    return JSON.parse(stdout) as BootReport;
  };
  expect(await boot()).toMatchObject({ beacons: 2 });

  // One beacon a minute from each node: soon a boot is one too many at both.
  const name =
    (certificateOf(place.path(winner, 'identity.pem')).subjectAltName ?? '').split('/').at(-1) ?? '';
  expect(name).toMatch(/^farm-[0-9a-f]{10}$/);
  const quota = ['--beacons-per-minute', '1', '--beacon-burst', '1'];
  await lamplighter('ca', 'quota', '--ca', place.path('shared'), '--name', name, ...quota);
  const inForce = (admin: number) =>
    untilStatus(admin, 'the quota holds', ({ fleet }) => fleet?.policy?.quotas === 1);
  await Promise.all([inForce(here.aAdmin), inForce(here.bAdmin)]);
  // What is left at each is taken first; each takes a minute to give another.
  let over = await boot();
  for (let boots = 1; boots < 5 && over.beacons > 0; boots += 1) over = await boot();
  expect(over).toMatchObject({ seeded: true, beacons: 0 });
  for (const { reason, retryAfterMs } of over.relays) {
    expect(reason?.message).toContain('ERR_QUOTA');
    expect(retryAfterMs).toBeGreaterThan(0);
  }

  await lamplighter('ca', 'revoke', '--ca', place.path('shared'), '--name', name);
  const isOut = (admin: number) =>
    untilStatus(admin, 'revoked', ({ fleet }) => fleet?.policy?.revokedNames === 1);
  await Promise.all([isOut(here.aAdmin), isOut(here.bAdmin)]);
  for (const { reason } of (await boot()).relays) expect(reason?.code).toBe('ERR_REVOKED');
});
