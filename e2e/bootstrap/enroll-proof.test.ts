import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EnrollReport } from '../../packages/lamplighter/dist/agent/enroll.js';
import { Authority, issueCertificate } from '../../packages/lamplighter/dist/identity/authority.js';
import { createToken } from '../../packages/lamplighter/dist/identity/token-create.js';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { type EnrolPort, enrolPort } from '../enroll.fixture.js';
import type { ClientHello } from './client-hello.fixture.js';
import { type Chance, FixedMachine } from './fixed-machine.fixture.js';
import { Machine, type RunOptions, StateFolder } from './machine.fixture.js';
import { Tap } from './tap.fixture.js';

/*
 * The proof of enrolment (DESIGN section 7): on a machine on which the attacker knows all that the OS gives and every clock, the
 * token's secret alone decides the private key, the TLS connections and the first seed.
 */

const PROGRAM = fileURLToPath(new URL('../../packages/lamplighter/bin/lamplighter.js', import.meta.url));
/** More than enrolling needs; a machine whose clocks stand still has no deadline of its own. */
const RUN_DEADLINE_MS = 30_000;
const there = process.env['LAMPLIGHTER_NODE24'];

/** All of an enrolment that must be nobody's to guess, and what it said. */
interface Enrolled {
  readonly key: string;
  readonly hellos: readonly ClientHello[];
  /** s, hex; undefined where no seed was made. */
  readonly seed: string | undefined;
  readonly report: EnrollReport;
}

let machine: Machine;
let fixed: FixedMachine;
let service: EnrolPort;
let tap: Tap;
let tokens: readonly [string, string];

beforeAll(async () => {
  machine = await Machine.make({ relay: false });
  const ca = machine.path('ca');
  const made = await issueCertificate({
    authorityDirectory: ca,
    outDirectory: machine.path('relay-certificate'),
    role: 'relay',
    name: 'relay',
    ip: ['127.0.0.1'],
  });
  const tls = { ca: made.ca, cert: made.certificate, key: made.key };
  service = await enrolPort({ ca, tls, beaconPort: 9_443 });
  tap = await Tap.open(service.port);
  tokens = [await newTokenFile('token-1'), await newTokenFile('token-2')];
});
afterAll(async () => {
  await tap.close();
  await service.stop();
  await machine.end();
});

async function newTokenFile(name: string): Promise<string> {
  const ca = machine.path('ca');
  const { text } = await createToken(ca, (await Authority.open(ca)).keyHash, {
    role: 'machine',
    prefix: 'machine',
    dns: [],
    ip: [],
    ttlMs: 3_600_000,
    // A machine that is put back to its beginning is another machine to the CA, unless it makes the same key.
    uses: 40,
    isRevoked: () => false,
    nowMs: Date.now(),
  });
  return machine.write(name, text);
}

/** A machine that was never enrolled, enrolling: always in the same folder, so that nothing else differs. */
async function enrolled(
  token: string,
  { prefix = [], env = {}, node = process.execPath }: RunOptions,
): Promise<Enrolled> {
  const [etc, state] = [machine.path('etc'), new StateFolder(machine.path('state'))];
  rmSync(etc, { recursive: true, force: true });
  rmSync(state.path, { recursive: true, force: true });
  const args = ['--relay', `https://127.0.0.1:${tap.port}`, '--token-file', token, '--dir', etc];
  const more = ['--state', state.path, '--no-boot', '--json'];
  const [command = '', ...rest] = [...prefix, node, PROGRAM, 'enroll', ...args, ...more];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_DEADLINE_MS);
  await once(child, 'close');
  clearTimeout(timer);
  expect(child.exitCode, stderr).toBe(0);
  const identity = readFileSync(`${etc}/identity.pem`, 'latin1');
  const [key] = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/.exec(identity) ?? [];
  if (key === undefined) throw new Error('there is no key in the identity');
  const hasSeed = readdirSync(machine.folder).includes('state') && state.names().includes('seed');
  return {
    key,
    hellos: await tap.take(),
    seed: hasSeed ? Buffer.from(state.seed().seed).toString('hex') : undefined,
    report: JSON.parse(stdout) as EnrollReport,
  };
}

function expectNothingInCommon(one: Enrolled, other: Enrolled): void {
  expect(one.key).not.toBe(other.key);
  const random = [...one.hellos, ...other.hellos].map((hello) => hello.random);
  expect(new Set(random).size).toBe(4);
  const shares = [...one.hellos, ...other.hellos].flatMap(({ keyShares }) => Object.values(keyShares));
  expect(shares.length).toBeGreaterThanOrEqual(4);
  expect(new Set(shares).size).toBe(shares.length);
}

needs('cc', 'setarch')('enrolment, proved', () => {
  describe.skipIf(process.arch !== 'x64')(
    'on a machine on which nothing is left to chance (needs x64)',
    () => {
      beforeAll(() => {
        fixed = new FixedMachine(machine);
      });
      describe(`Node ${process.versions.node}`, () => prove(process.execPath));
      describe.skipIf(there === undefined)('Node 24 (needs LAMPLIGHTER_NODE24, its binary)', () =>
        prove(there ?? ''),
      );
    },
  );
});

function prove(node: string): void {
  let usual: Enrolled;
  const start = (token: string, options: RunOptions): Promise<Enrolled> =>
    enrolled(token, { ...options, node });
  beforeAll(async () => {
    usual = await start(tokens[0], fixed.options());
  });

  it('rests on the token', () => {
    expect(usual.report).toMatchObject({ hedge: 'on', seed: { state: 'made' } });
    expect(usual.hellos).toHaveLength(2);
    expect(usual.seed).toMatch(/^[0-9a-f]{128}$/);
  });

  it('without the hedge two machines with two tokens have one key and one connection', async () => {
    const options = { ...fixed.options(), env: { ...fixed.onlyOs(), LAMPLIGHTER_NATIVE: 'off' } };
    const [one, other] = [await start(tokens[0], options), await start(tokens[1], options)];
    expect(one.report).toMatchObject({ hedge: 'off', hedgeReason: { code: 'ERR_HEDGE_OFF' } });
    expect(other.key).toBe(one.key);
    expect(other.hellos).toEqual(one.hellos);
  });

  it('with it two tokens on one machine have no key, no connection and no seed in common', async () => {
    const other = await start(tokens[1], fixed.options());
    expectNothingInCommon(usual, other);
    expect(other.seed).not.toBe(usual.seed);
  });

  it('the same token and the same x agree in all of them: the experiment can fail', async () => {
    const again = await start(tokens[0], fixed.options());
    expect(again.key).toBe(usual.key);
    expect(again.hellos).toEqual(usual.hellos);
    expect(again.seed).toBe(usual.seed);
    // The same key is the same machine: it took no second use.
    expect(again.report.name).toBe(usual.report.name);
  });

  it.each<[string, Partial<Chance>]>([
    ['one cycle later', { cycles: 123_456_790n }],
    ['one millisecond later', { monotonicNs: 5_000_001_000_000n }],
    ['after another boot', { bootId: 'other' }],
    ['in another clone', { vmGeneration: 'other' }],
  ])('the same token %s has nothing in common with it', async (_what, change) => {
    expectNothingInCommon(usual, await start(tokens[0], fixed.options(change)));
  });

  it('with clocks that run, no two enrolments with one token have anything in common', async () => {
    const options = { ...fixed.options(), env: fixed.onlyOs() };
    const [one, two] = [await start(tokens[0], options), await start(tokens[0], options)];
    expect(one.report.hedge).toBe('on');
    expectNothingInCommon(one, two);
    expect(one.seed).not.toBe(two.seed);
  });
}
