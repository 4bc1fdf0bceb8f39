import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { nativeAddon } from '../packages/native/dist/index.js';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';
import { MjpegTestServer } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { filming } from './lamps.fixture.js';
import { commandLineOf, descendants, runs, signalAll, withEnvironment } from './proc.fixture.js';
import { Command, endAll, eventually, run } from './processes.fixture.js';

const STOP_MS = 5_000;

interface Summary {
  readonly seeded: boolean;
  readonly beacons: number;
  readonly sources: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly kernel: Readonly<Record<string, unknown>>;
  readonly basis: readonly string[];
  readonly urls: Readonly<Record<string, string>>;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-e2e-'));
});
afterEach(endAll);
afterAll(() => rmSync(folder, { recursive: true }));

const state = (name: string) => path.join(folder, name);
const lastLine = (text: string) => text.trimEnd().split('\n').at(-1) ?? '';
const summaryIn = (stdout: string) => JSON.parse(lastLine(stdout)) as Summary;

/** A variable in the environment of everything that one command starts, however far away from it in the process tree. */
function marked(): { env: NodeJS.ProcessEnv; left: () => number[] } {
  const mark = randomUUID();
  return { env: { LAMPLIGHTER_MARK: mark }, left: () => withEnvironment('LAMPLIGHTER_MARK', mark) };
}

/** Runs `up --once --json`, sees that nothing it started is left, and gives its summary. */
async function once(directory: string, ...more: string[]): Promise<Summary & { stderr: string }> {
  const { env, left } = marked();
  const { code, stdout, stderr } = await run(['up', '--once', '--json', '--state', directory, ...more], {
    env,
  });
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout.split('\n').filter((line) => line !== '')).toHaveLength(1);
  expect(left()).toEqual([]);
  return { ...summaryIn(stdout), stderr };
}

/** Every file and folder below one, with its mode, in the order of their paths. */
function modes(directory: string, below = ''): [string, string][] {
  return readdirSync(path.join(directory, below), { withFileTypes: true })
    .sort((a, b) => a.name.localeCompare(b.name))
    .flatMap((entry): [string, string][] => {
      const name = path.join(below, entry.name);
      const mode = (statSync(path.join(directory, name)).mode & 0o777).toString(8);
      return entry.isDirectory() ? [[`${name}/`, mode], ...modes(directory, name)] : [[name, mode]];
    });
}

/** A seed cannot be made without the addon, which locks it. */
const seedFiles = (hop: string): [string, string][] => [
  ...(nativeAddon().supported ? [[`state/${hop}/seed`, '600'] as [string, string]] : []),
  [`state/${hop}/seed.lock`, '600'],
];

describe('lamplighter up --once', () => {
  it('takes light from the wall into the kernel, from nothing, and tells it hop by hop', async () => {
    const { stderr, ...summary } = await once(state('once'));
    expect(summary).toMatchObject({
      seeded: true,
      beacons: 1,
      kernel: { device: '/dev/random', bytesWritten: 64, creditedBits: 0 },
      basis: ['simulated'],
    });
    const heard = summary.sources;
    expect(heard['office']?.['wall']).toBeGreaterThan(1_000);
    expect(heard['relay']?.['office']).toBeGreaterThanOrEqual(64);
    // In effect now if it could be told so, which needs CAP_SYS_ADMIN and the addon; else at the next reseed.
    const { call, reseeded } = summary.kernel;
    expect([call, reseeded]).toEqual(call === 'write' ? ['write', false] : ['RNDADDENTROPY', true]);
    expect(heard['machine']).toMatchObject({ 'beacon/relay': 64, whirlwind: 800, os: 64 });
    expect(Object.keys(summary.urls)).toEqual(['wall', 'office', 'relay', 'beacons']);
    for (const url of Object.values(summary.urls)) expect(url).toMatch(/^https?:\/\/127\.0\.0\.1:\d+\/?$/);

    const commands = stderr.split('\n').filter((line) => line.startsWith('$ lamplighter '));
    expect(commands.map((line) => line.split(' ')[2])).toEqual(
      ['ca', 'ca', 'ca', 'ca', 'wall', 'node', 'node', 'agent'], // prettier-ignore
    );
    expect(stderr.match(/^\d\d:\d\d:\d\d {2}(\w+)/gm)?.map((line) => line.slice(10))).toEqual(
      expect.arrayContaining(['lens', 'office', 'feed', 'relay', 'machine', 'kernel']),
    );
    expect(stderr).toContain('simulated');
  });

  it('leaves files that can be read and used again, and keeps keys to itself', async () => {
    expect(modes(state('once'))).toEqual(
      [
        ['agent.yaml', '600'],
        ['ca/', '700'],
        ['ca/ca.key', '600'],
        ['ca/ca.pem', '644'],
        ['ca/issued.jsonl', '600'],
        ['ca/trust.json', '644'],
        ['certificates/', '700'],
        ['certificates/ca.pem', '644'],
        ['certificates/machine.key', '600'],
        ['certificates/machine.pem', '644'],
        ['certificates/office.key', '600'],
        ['certificates/office.pem', '644'],
        ['certificates/relay.key', '600'],
        ['certificates/relay.pem', '644'],
        ['logs/', '700'],
        ['logs/agent.log', '600'],
        ['logs/ca.log', '600'],
        ['logs/office.log', '600'],
        ['logs/relay.log', '600'],
        ['logs/wall.log', '600'],
        ['office.yaml', '600'],
        ['relay.yaml', '600'],
        ['state/', '700'],
        ['state/machine/', '700'],
        ['state/machine/agent.json', '644'],
        ...seedFiles('machine'),
        ['state/office/', '700'],
        ['state/office/login/', '700'],
        ...seedFiles('office'),
        ['state/office/start-number', '600'],
        ['state/relay/', '700'],
        ['state/relay/login/', '700'],
        ...seedFiles('relay'),
        ['state/relay/start-number', '600'],
      ], // prettier-ignore
    );
    for (const name of ['office', 'relay', 'agent']) {
      const file = path.join(state('once'), `${name}.yaml`);
      expect(parse(readFileSync(file, 'utf8'))).toHaveProperty('tls.key', expect.stringMatching(/\.key$/));
      const check = await run(['config', 'check', ...(name === 'agent' ? ['--agent'] : []), file]);
      expect(check).toMatchObject({ code: 0, stdout: `${file}: good\n`, stderr: '' });
    }
  });

  it('uses the CA and the certificates of the time before', async () => {
    const files = ['ca/ca.key', 'ca/ca.pem', 'certificates/relay.pem', 'certificates/machine.key'];
    const read = () => files.map((file) => readFileSync(path.join(state('once'), file), 'utf8'));
    const before = read();
    const { seeded, stderr } = await once(state('once'));
    expect(seeded).toBe(true);
    expect(read()).toEqual(before);
    expect(stderr).not.toContain('$ lamplighter ca');
    expect(readFileSync(path.join(state('once'), 'state/relay/start-number'), 'utf8')).toBe('2\n');
  });

  it.runIf(isFull)('renews certificates that are about to expire, and what was lost', async () => {
    const file = (...names: string[]) => path.join(state('old'), ...names);
    const out = file('certificates');
    const authority = ['ca', 'init', file('ca')];
    const machine = [
      'ca',
      'issue',
      '--ca',
      file('ca'),
      '--role',
      'machine',
      '--name',
      'machine',
      '--out',
      out,
    ];
    for (const args of [authority, [...machine, '--life', '1d']]) expect((await run(args)).code).toBe(0);
    const before = readFileSync(file('certificates/machine.pem'), 'utf8');
    expect((await once(state('old'))).seeded).toBe(true);
    expect(readFileSync(file('certificates/machine.pem'), 'utf8')).not.toBe(before);

    rmSync(file('ca'), { recursive: true });
    rmSync(file('certificates/relay.key'));
    expect((await once(state('old'))).seeded).toBe(true);
  });

  it('fails at once, and says why, when the camera can never work', async () => {
    const camera = ['--camera', 'gopher://127.0.0.1/'];
    const ended = await run(['up', '--once', '--json', '--state', state('never'), ...camera]);
    expect(ended).toMatchObject({ code: 78, stdout: '' });
    expect(ended.stderr).toMatch(
      /^lamplighter: .*protocol that is not allowed.*\[ERR_CONFIG\]\nhint: use http/,
    );
    expect(existsSync(state('never'))).toBe(false);
  });
});

describe('lamplighter up --camera', () => {
  it('rests on physical noise when the camera is real', async () => {
    const camera = new MjpegTestServer();
    await camera.listen();
    camera.play(filming());
    try {
      const summary = await once(state('camera'), '--camera', camera.url);
      expect(summary.seeded).toBe(true);
      expect(summary.basis).not.toContain('simulated');
      expect(summary.urls).not.toHaveProperty('wall');
      expect(summary.sources['office']?.['wall']).toBeGreaterThan(0);
      await eventually('nobody watches any more', () => camera.clients === 0, 2_000);
    } finally {
      await camera.close();
    }
  });

  it('carries on without a camera that is not there, and says so', async () => {
    const { seeded, basis, stderr } = await once(state('blind'), '--camera', 'http://127.0.0.1:9/');
    expect(seeded).toBe(true);
    // Whether the relay is still degraded when its beacon is made, or has heard the office by then, is a race.
    expect(basis.filter((word) => word !== 'degraded')).toEqual([]);
    expect(stderr).toMatch(/office {3}wall: no connection to .* \[ERR_CAMERA_GONE\]/);
  });
});

needs('ffmpeg', 'setpriv')('lamplighter up --camera FILE', () => {
  it('takes a recording, named from where the user stands, for what it is', async () => {
    const video = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', '-t', '60', '-c:v', 'libx264'];
    const quickly = ['-preset', 'ultrafast', state('lamps.mp4')];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...video, ...quickly]);
    const { env, left } = marked();
    const args = ['up', '--once', '--json', '--state', state('file'), '--camera', 'lamps.mp4'];
    const { code, stdout } = await run(args, { env, cwd: folder });
    expect(code).toBe(0);
    expect(summaryIn(stdout)).toMatchObject({ seeded: true, basis: ['simulated'] });
    expect(summaryIn(stdout).sources['office']?.['wall']).toBeGreaterThan(0);
    expect(left()).toEqual([]);
  });
});

describe('lamplighter up', () => {
  /** Starts it, and waits until the kernel is seeded and the chain shown. */
  async function standing(name: string): Promise<{ up: Command; pids: number[]; left: () => number[] }> {
    const { env, left } = marked();
    const up = new Command(['up', '--state', state(name)], { env });
    await eventually('the chain is shown', () => /^ {2}kernel {2}seeded/m.test(up.stdout), 60_000);
    const pids = descendants(up.pid);
    // The wall, the office with its decoder, the relay.
    expect(pids.length).toBeGreaterThanOrEqual(4);
    return { up, pids, left };
  }

  it('shows the chain, stays, starts what was killed again, and ends with all of it at SIGTERM', async () => {
    const { up, pids, left } = await standing('term');
    for (const shown of ['lamps', 'office', 'relay', 'machine', 'kernel', 'basis']) {
      expect(up.stdout).toMatch(new RegExp(`^ {2}${shown} `, 'm'));
    }
    expect(up.stdout).toMatch(/^ {2}basis {3}simulated$/m);
    expect(up.stderr).toBe('');

    signalAll(pids, 'SIGKILL');
    for (const name of ['wall', 'office', 'relay']) {
      const told = `${name} ended with `;
      await eventually(told, () => up.stdout.includes(told));
    }
    await eventually('all are back', () => descendants(up.pid).length >= 4);
    const again = descendants(up.pid);
    const { code, tookMs } = await up.stop('SIGTERM');
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(STOP_MS);
    expect(again.filter(runs)).toEqual([]);
    expect(left()).toEqual([]);
  });

  it('leaves nothing behind when its terminal is closed', async () => {
    const { up, left } = await standing('hangup');
    const { tookMs } = await up.stop('SIGHUP');
    expect(tookMs).toBeLessThan(STOP_MS);
    expect(left()).toEqual([]);
  });

  it.runIf(isFull)('leaves nothing behind when it is told twice, or nobody reads it any more', async () => {
    const twice = await standing('twice');
    twice.up.signal('SIGINT');
    await twice.up.stop('SIGINT');
    await eventually('nothing is left', () => twice.left().length === 0, STOP_MS);

    const unread = await standing('unread');
    unread.up.hangUp();
    // It finds out when it next has something to say.
    signalAll(unread.pids.slice(0, 1), 'SIGKILL');
    await unread.up.ended;
    await eventually('nothing is left', () => unread.left().length === 0, STOP_MS);
  });

  it('ends in time when nothing that it started reacts any more, and the agent waits for a beacon', async () => {
    const { env, left } = marked();
    const up = new Command(['up', '--state', state('stuck')], { env });
    await eventually('the relay is seeded', () => up.stdout.includes('relay    seeded from'), 30_000);
    const isAgent = (pid: number) => commandLineOf(pid).includes('agent');
    // Not the office's decoder: it ends when the office does, but not while it is stopped.
    const isOurs = (pid: number) => commandLineOf(pid).some((word) => word.endsWith('lamplighter.js'));
    const decoders = descendants(up.pid).filter((pid) => !isOurs(pid));
    signalAll(
      descendants(up.pid).filter((pid) => isOurs(pid) && !isAgent(pid)),
      'SIGSTOP',
    );
    await eventually('the agent runs', () => descendants(up.pid).some(isAgent));
    const { code, tookMs } = await up.stop('SIGTERM');
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(STOP_MS);
    expect(up.stdout).not.toContain('machine  ');
    expect(left()).toEqual([]);
    await eventually('the decoder is gone too', () => !decoders.some(runs), STOP_MS);
  });

  it('ends soon, and leaves nothing behind, at Ctrl-C while it starts', async () => {
    for (const sign of ['$ lamplighter ca init', '$ lamplighter agent', 'machine  ']) {
      const { env, left } = marked();
      const up = new Command(['up', '--state', state(`early-${sign.length}`)], { env });
      await eventually(sign, () => up.stdout.includes(sign), 30_000);
      const { tookMs } = await up.stop('SIGINT');
      expect(tookMs).toBeLessThan(STOP_MS);
      expect(left()).toEqual([]);
    }
  });
});
