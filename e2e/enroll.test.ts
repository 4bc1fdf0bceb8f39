import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EnrollReport } from '../packages/lamplighter/dist/agent/enroll.js';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { revokeName } from '../packages/lamplighter/dist/identity/policy-changes.js';
import { loadTlsFiles } from '../packages/lamplighter/dist/identity/tls-files.js';
import { type EnrolPort, enrolPort } from './enroll.fixture.js';
import { Place } from './place.fixture.js';
import { Command, endAll, freePorts, run, untilStatus } from './processes.fixture.js';

/*
 * Joining a machine, with real processes: a token from the command line, a relay that gives beacons, `lamplighter enroll`, and the
 * agent after it.
 */

const TOKEN_FOLDER = new URL('../packages/lamplighter/dist/identity/token-folder.js', import.meta.url).href;
const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const KILLS = 8;

let place: Place;
let service: EnrolPort;
let beacons: number;
beforeAll(async () => {
  place = await Place.make();
  const ports = await freePorts('listen', 'admin');
  beacons = ports.listen;
  const file = place.writeNode({
    name: 'relay',
    listen: ports.listen,
    admin: ports.admin,
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }],
  });
  relay = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
  service = await enrolPort({ ca: place.path('ca'), tls: place.tls('relay'), beaconPort: beacons });
});
let relay: Command;
afterAll(async () => {
  await service.stop();
  await endAll();
  place.remove();
});

let machines = 0;
let etc: string;
let state: string;
beforeEach(() => {
  machines += 1;
  etc = place.path(`etc-${machines}`);
  state = place.path(`state-${machines}`);
});
afterEach(() => expect(relay.isRunning).toBe(true));

const token = (...args: string[]) => run(['token', ...args, '--ca', place.path('ca')]);

/** A token in a file of its own. */
async function tokenFile(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await token('create', ...args);
  expect(code, stderr).toBe(0);
  const file = place.path(`token-${machines}-${readdirSync(place.folder).length}`);
  writeFileSync(file, stdout, { mode: 0o600 });
  return file;
}

const enrolling = (file: string, ...more: string[]): string[] => [
  'enroll',
  '--relay',
  `https://127.0.0.1:${service.port}`,
  '--token-file',
  file,
  '--dir',
  etc,
  '--state',
  state,
  ...more,
];
const identityIn = (folder: string) =>
  loadTlsFiles({
    ca: `${folder}/ca.pem`,
    cert: `${folder}/identity.pem`,
    key: `${folder}/identity.pem`,
  });

interface Listed {
  readonly id: string;
  readonly state: string;
  readonly taken: readonly { readonly name: string }[];
}
const listed = async (): Promise<Listed[]> => JSON.parse((await token('list', '--json')).stdout) as Listed[];

describe('lamplighter token', () => {
  it('prints the token alone, shows it without its secret, and refuses it once revoked', async () => {
    const made = await token('create', '--name', 'web-1', '--ttl', '15m', '--life', '1h');
    expect(made.stdout).toMatch(/^lamplighter-token-1\.[A-Za-z0-9_-]{124}\n$/);
    expect(made.stderr).toContain('for machine web-1, once, until');
    const [newest] = await listed();
    expect(newest).toMatchObject({ state: 'active', name: 'web-1', lifeMs: 3_600_000, uses: 1, taken: [] });
    const id = newest?.id ?? '';
    expect((await token('list')).stdout).toContain(`${id}  active   machine web-1`);
    expect((await token('revoke', id)).stdout).toBe(`${id}: revoked\n`);
    const file = place.path('revoked-token');
    writeFileSync(file, made.stdout, { mode: 0o600 });
    const refused = await run(enrolling(file));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('[ERR_TOKEN_REVOKED]');
  });

  it('is made for no name that is revoked', async () => {
    await revokeName(place.path('ca'), 'gone');
    const refused = await token('create', '--name', 'gone');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('[ERR_REVOKED]');
    expect(refused.stderr).toContain('ca unrevoke --name gone');
  });

  it('says what more than one use means, and what cannot be', async () => {
    const many = await token('create', '--uses', '3', '--prefix', 'web');
    expect(many.stderr).toContain('can attack the enrolment of every other machine');
    const refusals: [string[], number, string][] = [
      [['create', '--name', 'a', '--uses', '2'], 64, 'ERR_USAGE'],
      [['create', '--role', 'relay'], 64, 'ERR_USAGE'],
      [['create', '--ttl', '31d'], 64, 'ERR_USAGE'],
      [['create', '--ttl', 'soon'], 64, 'ERR_USAGE'],
      [['revoke', 'f'.repeat(32)], 1, 'ERR_TOKEN_UNKNOWN'],
      [['revoke', '../../ca'], 1, 'ERR_TOKEN_UNKNOWN'],
    ];
    for (const [args, code, text] of refusals) {
      const refused = await token(...args);
      expect(refused, args.join(' ')).toMatchObject({ code, stdout: '' });
      expect(refused.stderr).toContain(text);
    }
    const nowhere = await run(['token', 'create', '--ca', place.path('nothing')]);
    expect(nowhere.stderr).toContain('[ERR_CA_FILE]');
  });
});

describe('lamplighter enroll', () => {
  it('gives a machine all it needs, and the agent goes on with it', async () => {
    const file = await tokenFile('--name', 'web-7');
    const done = await run(enrolling(file));
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain('machine web-7 until ');
    expect(done.stdout).toContain('next: systemctl enable --now lamplighter-agent\n');
    expect(done.stderr).toContain('keys and tls rest on the secret in the token');
    expect(done.stderr).toContain('first boot: kernel seeded, 1 of 1 required beacons');
    expect(done.stdout + done.stderr).not.toContain(readFileSync(file, 'utf8').slice(20, 60));
    expect((await identityIn(etc)).identity).toMatchObject({ role: 'machine', name: 'web-7' });
    expect(statSync(`${etc}/identity.pem`).mode & 0o777).toBe(0o600);
    expect(readdirSync(etc).sort()).toEqual(['agent.yaml', 'ca.pem', 'enroll.lock', 'identity.pem']);
    const seed = JSON.parse((await run(['seed', 'show', '--state', state, '--json'])).stdout) as object;
    // Made, used by the first boot, folded with its beacon.
    expect(seed).toEqual(expect.objectContaining({ uses: 2 }));
    expect(seed).not.toHaveProperty('fault');
    const once_ = await run(['agent', '--once', '--json', '--config', `${etc}/agent.yaml`]);
    expect(once_.code, once_.stderr).toBe(0);
    expect(JSON.parse(once_.stdout) as BootReport).toMatchObject({ hedge: 'on', beacons: 1 });
  });

  it('takes the token from standard input, and says as JSON what it did', async () => {
    const text = readFileSync(await tokenFile('--prefix', 'web'), 'utf8');
    const child = spawn(process.execPath, [PROGRAM, ...enrolling('-', '--json', '--require-hedge')]);
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
    child.stdin.end(text);
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
    const report = JSON.parse(stdout) as EnrollReport;
    expect(report.name).toMatch(/^web-[0-9a-f]{10}$/);
    expect(report).toMatchObject({
      hedge: 'on',
      seed: { state: 'made' },
      boot: { beacons: 1, seed: { folded: true } },
    });
    expect(stdout).not.toContain(text.slice(20, 60));
  });

  it('warns of a token that others can read, and does no boot when it shall not', async () => {
    const file = await tokenFile();
    chmodSync(file, 0o644);
    const done = await run(enrolling(file, '--no-boot'));
    expect(done.code, done.stderr).toBe(0);
    expect(done.stderr).toContain('WARNING: others may read');
    expect(done.stderr).not.toContain('first boot');
    expect(existsSync(`${state}/agent.json`)).toBe(false);
  });

  it('makes a relay of whoever has a token for one', async () => {
    const file = await tokenFile('--role', 'relay', '--name', 'relay-9', '--ip', '127.0.0.1');
    const wrong = await run(enrolling(file));
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toContain('[ERR_TOKEN_ROLE]');
    const done = await run(enrolling(file, '--role', 'relay'));
    expect(done.code, done.stderr).toBe(0);
    expect((await identityIn(etc)).identity).toMatchObject({ role: 'relay', name: 'relay-9' });
    expect(readdirSync(etc)).not.toContain('agent.yaml');
  });

  it('is refused with a code of its own each time, and leaves nothing in force', async () => {
    const file = await tokenFile('--ttl', '1h');
    expect((await run(enrolling(file))).code).toBe(0);
    [etc, state] = [`${etc}-second`, `${state}-second`];
    const spent = await run(enrolling(file));
    expect(spent.code).toBe(1);
    expect(spent.stderr).toContain('[ERR_TOKEN_SPENT]');
    expect(existsSync(`${etc}/identity.pem`)).toBe(false);
    expect(existsSync(`${etc}/agent.yaml`)).toBe(false);

    const main = ['--relay', `https://127.0.0.1:${beacons}`];
    const elsewhere = await run([...enrolling(await tokenFile()), ...main]);
    expect(elsewhere.code).toBe(1);
    expect(elsewhere.stderr).toContain('[ERR_UPSTREAM_REFUSED_US]');
    expect(elsewhere.stderr).toContain('hint: use the port for enrolment');
  });

  it('an impostor’s CA is found out before anything is sent', async () => {
    await run(['ca', 'init', place.path('impostor')]);
    await place.issue('relay', 'relay', 'impostors', 'impostor');
    const impostor = await enrolPort({
      ca: place.path('impostor'),
      tls: place.tls('relay', 'impostors'),
      beaconPort: beacons,
    });
    const args = [...enrolling(await tokenFile()), '--relay', `https://127.0.0.1:${impostor.port}`];
    const refused = await run(args);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('[ERR_ENROLL_CA]');
    expect(impostor.status()).toEqual({ enrolled: 0, refused: {} });
    await impostor.stop();
  });

  it('of two machines that come at once with one token, one is enrolled', async () => {
    const file = await tokenFile();
    const [one, other] = [1, 2].map((number) => {
      const args = enrolling(file, '--no-boot');
      args.splice(args.indexOf(etc), 1, `${etc}-${number}`);
      args.splice(args.indexOf(state), 1, `${state}-${number}`);
      return run(args);
    });
    const ended = await Promise.all([one, other]);
    expect(new Set(ended.map((each) => each?.code))).toEqual(new Set([0, 1]));
    expect(ended.find((each) => each?.code === 1)?.stderr).toContain('[ERR_TOKEN_SPENT]');
  });
});

describe('an enrolment that is killed', () => {
  it('at any moment is finished by doing it again with the same token, for one use', async () => {
    const file = await tokenFile('--name', 'killed');
    const timing = performance.now();
    expect((await run(enrolling(await tokenFile(), '--no-boot'))).code).toBe(0);
    const wholeMs = performance.now() - timing;
    rmSync(etc, { recursive: true });
    rmSync(state, { recursive: true });
    let killed = 0;
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const command = new Command(enrolling(file, '--no-boot'));
      const timer = setTimeout(() => command.signal('SIGKILL'), (wholeMs * (kill + 1)) / (KILLS + 2));
      const { signal } = await command.ended;
      clearTimeout(timer);
      if (signal === 'SIGKILL') killed += 1;
      if (existsSync(`${etc}/identity.pem`)) await identityIn(etc);
      if (existsSync(`${state}/seed`)) {
        expect((await run(['seed', 'show', '--state', state])).code).toBe(0);
      }
    }
    expect(killed).toBeGreaterThan(0);
    const done = await run(enrolling(file, '--no-boot'));
    // Once ended it has forgotten its key: a machine that is enrolled needs no second certificate from this token.
    if (done.code !== 0) expect(done.stderr).toContain('[ERR_TOKEN_SPENT]');
    expect((await identityIn(etc)).identity.name).toBe('killed');
    const mine = (await listed()).find(({ taken }) => taken.some(({ name }) => name === 'killed'));
    expect(mine).toMatchObject({ state: 'spent', taken: [{ name: 'killed' }] });
    expect(mine?.taken).toHaveLength(1);
  });
});

describe('several processes that spend one token', () => {
  it.each([1, 5])('share its uses, %i in all, and none is given twice', async (uses) => {
    await token('create', '--uses', String(uses));
    const [made] = await listed();
    const script = `
      const { TokenFolder } = await import(${JSON.stringify(TOKEN_FOLDER)});
      const folder = new TokenFolder(${JSON.stringify(place.path('ca'))});
      const record = await folder.usable(${JSON.stringify(made?.id)}, Date.now());
      process.stdout.write('ready\\n');
      process.stdin.once('data', async () => {
        const csr = process.argv[1].padStart(64, '0');
        const options = { mayBe: () => true, nowMs: Date.now() };
        const { number, name } = await folder.spend(record, csr, options).catch(({ code }) => ({ name: code }));
        process.stdout.write(JSON.stringify({ number, name }) + '\\n');
        process.exit();
      });`;
    const children = Array.from({ length: 8 }, (_, number) =>
      spawn(process.execPath, ['--input-type=module', '-e', script, String(number + 1)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
    const said = children.map((child) => {
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
      return { ready: once(child.stdout, 'data'), closed: once(child, 'close'), text: () => text };
    });
    await Promise.all(said.map(({ ready }) => ready));
    for (const child of children) child.stdin.write('go\n');
    await Promise.all(said.map(({ closed }) => closed));
    const results = said.map(
      ({ text }) => JSON.parse(text().split('\n')[1] ?? '') as { number?: number; name: string },
    );
    const given = results.filter(({ number }) => number !== undefined);
    expect(given).toHaveLength(uses);
    expect(new Set(given.map(({ number }) => number))).toEqual(new Set(Array.from({ length: uses }).keys()));
    expect(new Set(given.map(({ name }) => name)).size).toBe(uses);
    for (const { number, name } of results) if (number === undefined) expect(name).toBe('ERR_TOKEN_SPENT');
  });
});
