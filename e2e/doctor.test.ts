import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, statSync, truncateSync } from 'node:fs';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { nativeAddon } from '../packages/native/dist/index.js';
import type { Fact } from '../packages/lamplighter/dist/doctor/fact.js';
import { Place } from './place.fixture.js';
import { Command, endAll, freePorts, run, untilStatus } from './processes.fixture.js';

const hasAddon = nativeAddon().supported;

interface Told {
  readonly code: number | null;
  readonly verdict: string;
  readonly facts: Readonly<Record<string, Omit<Fact, 'id'>>>;
  readonly actions: readonly string[];
  readonly text: string;
}

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

async function doctor(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Told> {
  const { code, stdout, stderr } = await run(['doctor', '--json', ...args], { env });
  // Node itself says where a debugger may attach.
  if (env['NODE_OPTIONS'] === undefined) expect(stderr).toBe('');
  const { verdict, facts, actions } = JSON.parse(stdout) as Omit<Told, 'code' | 'text'>;
  return { code, verdict, facts, actions, text: stdout };
}

/** Starts a relay and waits until it serves. @returns its port */
async function relay(): Promise<number> {
  const ports = await freePorts('relay', 'admin');
  const file = place.writeNode({
    name: 'relay',
    listen: ports.relay,
    admin: ports.admin,
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }],
  });
  const node = new Command(['node', '--config', file]);
  await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
  expect(node.isRunning).toBe(true);
  return ports.relay;
}

describe.skipIf(!hasAddon)(
  'a machine with a seed, a certificate and a relay (needs the native addon)',
  () => {
    it('is examined on everything, and neither changed nor betrayed', async () => {
      const port = await relay();
      const file = place.writeAgent([port]);
      const state = place.path('state', 'machine');
      expect((await run(['seed', 'create', '--state', state])).code).toBe(0);
      const seed = readFileSync(place.path('state', 'machine', 'seed'));

      const { code, verdict, facts, actions, text } = await doctor(['--agent-config', file]);
      expect(facts).toMatchObject({
        'config.agent': { level: 'ok' },
        'kernel.rng': { level: 'ok', values: { ready: true } },
        addon: { level: 'ok' },
        seed: { level: 'ok', values: { mode: '0600', uses: 0 } },
        hedge: { level: 'ok', values: { state: 'on' } },
        'clock.time': { level: 'ok' },
        'certificate.agent': { level: 'ok', values: { role: 'machine', name: 'machine', keyMode: '0600' } },
        relays: { level: 'ok', values: { configured: 1, answered: 1, required: 1 } },
        'relay.relay-1': { level: 'ok', values: { answered: true, role: 'relay', name: 'relay' } },
        agent: { level: 'info' },
        'node.version': { values: { node: process.version } },
        'source.os': { level: 'ok' },
      });
      const levels = Object.values(facts).map(({ level }) => level);
      expect(levels).not.toContain('broken');
      // Good or weak is for the machine under the test to say, and follows from its facts.
      expect(verdict).toBe(levels.includes('weak') ? 'weak' : 'good');
      expect(actions.length > 0).toBe(verdict === 'weak');
      expect(code).toBe(0);

      expect(readFileSync(place.path('state', 'machine', 'seed'))).toEqual(seed);
      const key = readFileSync(place.tls('machine').key, 'latin1').split('\n')[1] ?? '';
      expect(key.length).toBeGreaterThan(10);
      expect(text).not.toContain(key);
      for (const spelling of ['hex', 'base64'] as const) {
        for (const part of [seed.subarray(45, 75), seed.subarray(77, 107)]) {
          expect(text).not.toContain(part.toString(spelling));
        }
      }
    });

    it('is told at a glance, one line a fact, without colour in a pipe', async () => {
      const port = await relay();
      const { code, stdout } = await run(['doctor', '--agent-config', place.writeAgent([port])]);
      const lines = stdout.trimEnd().split('\n');
      const verdictAt = lines.findIndex((line) => line.startsWith('verdict: '));
      expect(lines[verdictAt]).toMatch(/^verdict: (good|weak)$/);
      for (const line of lines.slice(0, verdictAt))
        expect(line).toMatch(/^(ok|weak|broken|info) +[a-z][a-z0-9.-]+ +\S/);
      const next = lines.slice(verdictAt + 1);
      expect(next.length).toBeGreaterThan(0);
      for (const line of next) expect(line).toMatch(/^next: \S/);
      expect(stdout).not.toContain('\x1b');
      expect(code).toBe(0);
    });

    it.each([
      ['is coloured for eyes', {}, true],
      ['is plain for who wants no colour', { NO_COLOR: '1' }, false],
    ])('%s', async (_, env, isColoured) => {
      const program = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
      const command = [process.execPath, program, 'doctor', '--state', place.path('state', 'none')].join(' ');
      // script(1), of bsdutils, gives it a terminal.
      const { stdout } = await promisify(execFile)('script', ['-qec', command, '/dev/null'], {
        env: { ...without(process.env, 'NO_COLOR'), TERM: 'xterm', ...env },
        timeout: 60_000,
      });
      expect(stdout).toContain('verdict: ');
      expect(stdout.includes('\x1b[')).toBe(isColoured);
    });

    it('says what the agent did last', async () => {
      const port = await relay();
      const file = place.writeAgent([port]);
      await run(['agent', '--once', '--config', file]);
      const { facts } = await doctor(['--agent-config', file]);
      expect(facts['agent']).toMatchObject({
        values: { reported: true, resident: false, beacons: 1, hedge: 'on' },
      });
      expect(facts['seed']?.values?.['uses']).toBeGreaterThan(0);
    });
  },
);

describe('a machine whose relays are dead or silent', () => {
  it('is broken, each relay with its code, and nobody waits longer than the deadline', async () => {
    const silent = net.createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as net.AddressInfo;
    const { dead } = await freePorts('dead');
    const startedMs = performance.now();
    const file = place.writeAgent([dead, port], { deadlineMs: 1_000 });
    const { code, verdict, facts, actions } = await doctor(['--agent-config', file]);
    silent.close();
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    expect({ code, verdict }).toEqual({ code: 1, verdict: 'broken' });
    expect(facts).toMatchObject({
      relays: { level: 'broken', values: { answered: 0 } },
      'relay.relay-1': { level: 'weak', values: { code: 'ERR_UPSTREAM_UNREACHABLE' } },
      'relay.relay-2': { level: 'weak', values: { code: 'ERR_DEADLINE' } },
    });
    expect(actions[0]).toContain(file);
  });
});

describe('a machine that is not kept well', () => {
  it('is broken when others may read its key, and says the command', async () => {
    await place.issue('machine', 'careless', 'certificates');
    const tls = place.tls('careless');
    chmodSync(tls.key, 0o644);
    const file = place.writeAgent([1], { tls, deadlineMs: 200 });
    const { code, facts, actions } = await doctor(['--agent-config', file]);
    expect(code).toBe(1);
    expect(facts['certificate.agent']).toMatchObject({ level: 'broken', values: { code: 'ERR_KEY_FILE' } });
    expect(actions).toContain(`Run \`chmod 600 ${tls.key}\`.`);
  });

  it.skipIf(!hasAddon)('is broken when its seed is torn', async () => {
    const state = place.path('state', 'torn');
    await run(['seed', 'create', '--state', state]);
    truncateSync(place.path('state', 'torn', 'seed'), 60);
    const { code, verdict, facts } = await doctor(['--state', state]);
    expect({ code, verdict }).toEqual({ code: 1, verdict: 'broken' });
    expect(facts).toMatchObject({
      seed: { level: 'broken' },
      hedge: { level: 'weak', values: { state: 'off' } },
    });
    expect(statSync(place.path('state', 'torn', 'seed')).size).toBe(60);
  });

  it('is weak without the native addon, and told what is off', async () => {
    const state = place.path('state', 'none');
    const { code, verdict, facts, actions } = await doctor(['--state', state], { LAMPLIGHTER_NATIVE: 'off' });
    expect({ code, verdict }).toEqual({ code: 0, verdict: 'weak' });
    expect(facts).toMatchObject({
      'kernel.rng': { level: 'ok' },
      addon: { level: 'weak', values: { loaded: false } },
      hedge: { level: 'weak', values: { state: 'off' } },
    });
    expect(actions).toContain('Let the native addon be loaded: `unset LAMPLIGHTER_NATIVE`.');
  });

  it('is weak with a debugger in its environment', async () => {
    const { facts } = await doctor(['--state', place.path('state', 'none')], { NODE_OPTIONS: '--inspect=0' });
    expect(facts['node.debugger']).toMatchObject({ level: 'weak', values: { listening: true, asked: true } });
  });

  it('is looked at although its configuration is not good', async () => {
    const file = place.write('broken.yaml', 'relays: [');
    const { code, facts, actions } = await doctor([
      '--agent-config',
      file,
      '--config',
      place.path('none.yaml'),
    ]);
    expect(code).toBe(1);
    expect(facts).toMatchObject({
      'config.agent': { level: 'broken', values: { code: 'ERR_CONFIG' } },
      'config.node': { level: 'broken', values: { code: 'ERR_CONFIG_FILE' } },
      'source.os': { level: 'ok' },
    });
    expect(actions[0]).toContain(`lamplighter config check --agent ${file}`);
  });
});

describe('a node', () => {
  it('has its certificate and its seed looked at', async () => {
    const file = place.writeNode({ name: 'relay', listen: 9_443, admin: 9_600, sources: [{ kind: 'os' }] });
    const { facts } = await doctor(['--config', file]);
    expect(facts).toMatchObject({
      'config.node': { level: 'ok' },
      'certificate.node': { level: 'ok', values: { role: 'relay', name: 'relay' } },
      seed: { values: { path: place.path('state', 'relay', 'seed') } },
    });
    expect(Object.keys(facts).filter((id) => id.startsWith('relay'))).toEqual([]);
  });
});

it('says in its help what the exit codes are', async () => {
  const { stdout } = await run(['doctor', '--help']);
  expect(stdout).toContain('exit code: 0 good or weak, 1 broken');
});

function without(env: NodeJS.ProcessEnv, name: string): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([key]) => key !== name));
}
