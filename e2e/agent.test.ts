import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BootReport } from '../packages/lamplighter/dist/agent/boot.js';
import { Place } from './place.fixture.js';
import { Command, endAll, eventually, freePorts, listens, run, untilStatus } from './processes.fixture.js';

const STOP_MS = 2_000;
const REGISTER = fileURLToPath(new URL('../packages/lamplighter/dist/register.js', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../packages/lamplighter/bin/lamplighter.js', import.meta.url));
const SLEEP_HOOK = fileURLToPath(new URL('../deploy/systemd/system-sleep/lamplighter', import.meta.url));
const WITHOUT_ADDON = { LAMPLIGHTER_NATIVE: 'off' };

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterAll(() => place.remove());
afterEach(endAll);

/** A relay that rests on its own sources. */
async function relay(): Promise<{
  node: Command;
  port: number;
  admin: number;
  start: () => Promise<Command>;
}> {
  const ports = await freePorts('listen', 'admin');
  const file = place.writeNode({
    name: 'relay',
    listen: ports.listen,
    admin: ports.admin,
    sources: [{ kind: 'timing' }, { kind: 'os' }],
    outlets: [{ kind: 'beacon' }],
  });
  const start = async (): Promise<Command> => {
    const command = new Command(['node', '--config', file]);
    await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
    return command;
  };
  return { node: await start(), port: ports.listen, admin: ports.admin, start };
}

/** What an agent with --json has reported so far. */
const reports = (agent: { stdout: string }): BootReport[] =>
  agent.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BootReport);

const untilReports = (agent: Command, count: number) =>
  eventually(`${count} reports`, () => {
    const all = reports(agent);
    return all.length >= count && all;
  });

const uses = async (): Promise<number> => {
  const { stdout } = await run(['seed', 'show', '--state', place.path('state/machine'), '--json']);
  return (JSON.parse(stdout) as { uses: number }).uses;
};

/** Asks an EGD socket for bytes; rejects when it is closed first. */
function drawn(socketPath: string, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath, () => socket.write(Uint8Array.of(2, length)));
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.length < length) return;
      socket.destroy();
      resolve(bytes);
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('closed')));
  });
}

describe('an agent that seeds once', () => {
  it('makes the seed at its first start and says so, hedges, folds, and reports what it did', async () => {
    const { port } = await relay();
    const file = place.writeAgent([port], { state: 'state/first', report: 'run/first.json' });
    const first = await run(['agent', '--once', '--config', file]);
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('this machine had no seed: one was made');
    expect(first.stdout).toContain('tls hedge: on');
    expect(first.stdout).toMatch(/1 of 1 required beacons/);
    const second = await run(['agent', '--once', '--json', '--config', file]);
    expect(second.stderr).toBe('');
    const [report] = reports(second);
    expect(report).toMatchObject({ seeded: true, beacons: 1, hedge: 'on', seed: { folded: true } });
    expect(report?.sources).toMatchObject({ 'beacon/relay-1': 64, whirlwind: 800, timing: 64, os: 64 });
    const written = JSON.parse(readFileSync(place.path('run/first.json'), 'utf8')) as object;
    expect(written).toMatchObject({ version: 1, resident: false, last: { beacons: 1, hedge: 'on' } });
    expect(statSync(place.path('state/first/seed')).mode & 0o777).toBe(0o600);
    expect(statSync(place.path('state/first')).mode & 0o777).toBe(0o700);
  });

  it('says loudly that the hedge is off without the addon, and refuses to connect when it must have it', async () => {
    const { node, port } = await relay();
    const file = place.writeAgent([port]);
    const off = await run(['agent', '--once', '--config', file], { env: WITHOUT_ADDON });
    expect(off.code).toBe(0);
    expect(off.stderr).toContain('WARNING: the tls hedge is off');
    const refused = await run(['agent', '--once', '--require-hedge', '--config', file], {
      env: WITHOUT_ADDON,
    });
    expect(refused.code).toBe(1);
    expect(refused.stdout).toBe('');
    expect(refused.stderr).toMatch(/hedge|seed/);
    await node.stop();
    const on = await run(['agent', '--once', '--require-hedge', '--config', file]);
    expect(on.code).toBe(2);
  });

  it('tries every address of a relay that is given by name', async () => {
    const { port } = await relay();
    // Its first address is ::1, where nobody listens, or its only one is 127.0.0.1.
    const file = place.writeAgent([], {
      relays: [{ name: 'relay-1', url: `https://localhost:${port}`, peer: 'relay' }],
    });
    const { code, stdout } = await run(['agent', '--once', '--config', file]);
    expect(code).toBe(0);
    expect(stdout).toContain('1 of 1 required beacons');
  });

  it('hedges every connection by a seed of its own', async () => {
    const [one, two] = [await relay(), await relay()];
    const file = place.writeAgent([one.port, two.port], { require: 2 });
    await run(['agent', '--once', '--config', file]);
    const before = await uses();
    const { code } = await run(['agent', '--once', '--config', file]);
    expect(code).toBe(0);
    // One use a connection, and the fold of both beacons.
    expect((await uses()) - before).toBe(3);
  });
});

describe('an agent that stays', () => {
  it('refreshes by timer, serves programs from its socket, and is gone quickly, leaving nothing', async () => {
    const { port } = await relay();
    const socket = { path: 'run/egd/egd.sock' };
    const file = place.writeAgent([port], { refreshMs: 1_000, socket });
    const egd = place.path('run/egd/egd.sock');
    execFileSync('mkdir', ['-p', place.path('run')]);
    const agent = new Command(['agent', '--json', '--config', file]);
    const [first, second, third] = await untilReports(agent, 3);
    for (const report of [first, second, third])
      expect(report).toMatchObject({ seeded: true, beacons: 1, hedge: 'on' });
    const [one, other] = [await drawn(egd, 64), await drawn(egd, 64)];
    expect(one.equals(other)).toBe(false);

    const program = spawn(process.execPath, ['--import', REGISTER, '-e', HEARD_AGENT], {
      env: { ...process.env, LAMPLIGHTER_SOCKET: egd },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said: Buffer[] = [];
    program.stdout.on('data', (chunk: Buffer) => said.push(chunk));
    await once(program, 'close');
    expect(JSON.parse(Buffer.concat(said).toString())).toMatchObject({ state: 'hedged', reseeds: 2 });

    const { code, tookMs } = await agent.stop();
    expect(code).toBe(0);
    expect(tookMs).toBeLessThan(STOP_MS);
    expect(existsSync(egd)).toBe(false);
  });

  it('starts over at once when told of a resume, by signal and by command', async () => {
    const { port } = await relay();
    const file = place.writeAgent([port], { refreshMs: 3_600_000 });
    const agent = new Command(['agent', '--json', '--config', file]);
    await untilReports(agent, 1);
    const before = await uses();
    agent.signal('SIGUSR2');
    await untilReports(agent, 2);
    expect(agent.stderr).toContain('this machine was cloned, restored or asleep (resume)');
    expect(await uses()).toBeGreaterThan(before);
    const told = await run(['agent', 'resume', '--config', file]);
    expect(told).toMatchObject({ code: 0, stdout: `told the agent, process ${agent.pid}\n` });
    await untilReports(agent, 3);
    const bin = place.path('bin');
    mkdirSync(bin);
    symlinkSync(PROGRAM, path.join(bin, 'lamplighter'));
    const env = {
      ...process.env,
      PATH: `${bin}:${path.dirname(process.execPath)}:/usr/bin:/bin`,
      LAMPLIGHTER_AGENT_CONFIG: file,
    };
    execFileSync(SLEEP_HOOK, ['pre', 'suspend'], { env });
    expect(execFileSync(SLEEP_HOOK, ['post', 'suspend'], { env, encoding: 'utf8' })).toContain(
      'told the agent',
    );
    await untilReports(agent, 4);
    expect(reports(agent)).toHaveLength(4);
    await agent.stop();
    const nobody = await run(['agent', 'resume', '--config', file]);
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toContain('ERR_AGENT_ABSENT');
  });

  it('opens no debugger for whoever may send it a signal', async () => {
    const { port } = await relay();
    const agent = new Command(['agent', '--json', '--config', place.writeAgent([port])]);
    await untilReports(agent, 1);
    agent.signal('SIGUSR1');
    agent.signal('SIGUSR2');
    await untilReports(agent, 2);
    expect(agent.stderr).not.toContain('Debugger');
    expect(await listens(9_229)).toBe(false);
    await agent.stop();
  });

  it('goes on without its relay, asks again with back-off, and has it back', async () => {
    const stopped = await relay();
    const file = place.writeAgent([stopped.port], { refreshMs: 1_000, deadlineMs: 1_000 });
    const agent = new Command(['agent', '--json', '--config', file]);
    await untilReports(agent, 1);
    await stopped.node.stop();
    const without = await eventually('a refresh without the relay', () =>
      reports(agent).find(({ beacons }) => beacons === 0),
    );
    expect(without).toMatchObject({
      seeded: true,
      relays: [{ answered: false, reason: { code: 'ERR_UPSTREAM_UNREACHABLE' } }],
    });
    await stopped.start();
    const count = reports(agent).length;
    await eventually('the relay is back', () => reports(agent).slice(count).at(-1)?.beacons === 1);
    await agent.stop();
  });
});

/** A program that was started with --import lamplighter/register, and says whether the agent was heard. */
const HEARD_AGENT = `
  const look = () => {
    const status = globalThis[Symbol.for('lamplighter.hedge')].status();
    if (status.reseeds < 2 && performance.now() < 5000) return setTimeout(look, 10);
    console.log(JSON.stringify(status));
  };
  look();
`;
