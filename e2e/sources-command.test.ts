import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SourceTrial } from '../packages/lamplighter/dist/doctor/source-trial.js';
import { Place } from './place.fixture.js';
import { commandLineOf, descendants, runs } from './proc.fixture.js';
import { Command, endAll, eventually, freePorts, run, untilStatus } from './processes.fixture.js';
import { lines, transcript } from './transcript.fixture.js';

const STOP_MS = 2_000;
/** Kinds that every machine may have by itself, and what the others cannot do without. */
const HERE = ['trickle', 'xenstore', 'public', 'whirlwind', 'timing', 'jitter', 'hwrng', 'tpm', 'cpu', 'os'];
const CONFIGURED = {
  camera: 'url',
  feed: 'url',
  beacon: 'url',
  pollen: 'url',
  egd: 'address',
  mailbox: 'folder',
  process: 'from',
};

let place: Place;
beforeAll(async () => {
  place = await Place.make();
});
afterEach(endAll);
afterAll(() => place.remove());

const attempt = (...args: string[]) => run(['sources', 'try', ...args], { cwd: place.folder });

const seen = (...args: string[]) => transcript(['sources', 'try', ...args], place);

/** The child that a command listens to. */
const sleepOf = (pid: number) =>
  descendants(pid).find((child) => commandLineOf(child).slice(-3, -1).join(' ').endsWith('sleep 3600'));

/** What a machine measures is a number; everything else is as it stands. */
const measured = (text: string) => text.replace(/\d+(\.\d+)?/g, 'N');

describe('lamplighter sources list', () => {
  it('has a line for every source: how it is here, or what it needs', async () => {
    const { code, stdout, stderr } = await run(['sources', 'list']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const shown = stdout.trimEnd().split('\n');
    const [here, others] = [shown.slice(0, HERE.length), shown.slice(HERE.length)];
    expect(here.map((line) => line.split(' ')[0])).toEqual(HERE);
    for (const line of here) {
      // Who has no answer says why.
      expect(line).toMatch(
        /^[a-z]+ +(starting|ok|degraded|failed|absent) +(\d+ bytes in \d+\.\d ms|no answer: \S.*)/,
      );
    }
    expect(here.at(-1)).toMatch(/^os {9}ok {8}64 bytes in /);
    expect(others).toEqual(
      Object.entries(CONFIGURED).map(
        ([kind, needs]) => `${kind.padEnd(10)} -         to be configured: ${needs}`,
      ),
    );
  });

  it('says the same as one object, with no byte that was heard', async () => {
    const { code, stdout, stderr } = await run(['sources', 'list', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { here, configured } = JSON.parse(stdout) as { here: SourceTrial[]; configured: unknown };
    expect(here.map(({ kind }) => kind)).toEqual(HERE);
    expect(here.find(({ kind }) => kind === 'os')).toEqual({
      name: 'os',
      kind: 'os',
      state: 'ok',
      physical: false,
      simulated: false,
      seconds: expect.any(Number) as number,
      events: 1,
      bytes: 64,
      answer: { bytes: 64, ms: expect.any(Number) as number },
      details: { periodMs: 1_000 },
    });
    for (const { answer, reason } of here)
      expect((answer === undefined) === (reason !== undefined)).toBe(true);
    expect(configured).toEqual(Object.entries(CONFIGURED).map(([kind, need]) => ({ kind, needs: [need] })));
    // A byte heard would be hex or base64, and longer than any word in it but the chain's public name.
    const chain = here.find(({ kind }) => kind === 'public')?.details['chain'];
    expect(stdout.replaceAll(String(chain), '').match(/[0-9a-zA-Z+/]{32,}/g)).toBeNull();
  });
});

describe('lamplighter sources try', () => {
  it('hears one source for as long as it is told, and says how it does', async () => {
    const { code, stdout, stderr, tookMs } = await attempt('os', '--seconds', '1', '--set', 'periodMs=100');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(measured(stdout)).toBe(
      lines(
        'os: ok (uncredited)',
        '  heard      N events, N bytes in N s, N bytes/s',
        '  one answer N bytes in N ms',
        '  periodMs   N',
        '',
      ),
    );
    expect(stdout).toContain('periodMs   100\n');
    const events = Number(/heard {6}(\d+) events/.exec(stdout)?.[1]);
    expect(events).toBeGreaterThan(1);
    expect(events).toBeLessThanOrEqual(12);
    expect(tookMs).toBeGreaterThan(1_000);
  });

  it('takes a value as YAML has it, and a key alone as true', async () => {
    const from = 'from={ command: [sh, -c, "while echo 12345678; do sleep 0.05; done"] }';
    const { code, stdout } = await attempt('process', '--seconds', '1', '--set', from, '--json');
    expect(code).toBe(0);
    const { kind, state, bytes } = JSON.parse(stdout) as SourceTrial;
    expect({ kind, state }).toEqual({ kind: 'process', state: 'ok' });
    expect(bytes).toBeGreaterThan(0);
    expect(stdout).not.toContain('12345678');
    expect(await seen('mailbox', '--set', 'folder')).toBe(
      lines(
        'lamplighter: mailbox: folder: Invalid input: expected string, received boolean [ERR_USAGE]',
        'hint: give options as --set key=value',
        'exit 64',
      ),
    );
  });

  it('takes a source from a configuration, with its certificates, and asks the node for real', async () => {
    const ports = await freePorts('listen', 'admin', 'other');
    const relay = place.writeNode({
      name: 'relay',
      listen: ports.listen,
      admin: ports.admin,
      sources: [{ kind: 'os' }],
      outlets: [{ kind: 'beacon' }],
    });
    const node = new Command(['node', '--config', relay]);
    await untilStatus(ports.admin, 'the relay is ready', ({ state }) => state === 'ready');
    const file = place.writeNode({
      name: 'service',
      admin: ports.other,
      sources: [{ kind: 'os' }, { kind: 'beacon', name: 'up', url: `https://127.0.0.1:${ports.listen}` }],
    });
    const good = await attempt('up', '--config', file, '--seconds', '1', '--json');
    expect(good.code).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      name: 'up',
      kind: 'beacon',
      state: 'ok',
      answer: { bytes: 64 },
      details: { relay: 'relay' },
    });
    expect(await seen('down', '--config', file)).toBe(
      lines(
        "lamplighter: DIR/service.yaml has no source 'down' [ERR_USAGE]",
        'hint: it has: os, up',
        'exit 64',
      ),
    );
    await node.stop();
    const gone = await attempt('up', '--config', file, '--seconds', '1');
    expect(gone.code).toBe(1);
    expect(gone.stdout).toContain('up: failed (uncredited)\n');
    expect(gone.stdout).toContain('[ERR_UPSTREAM_UNREACHABLE]\n');
    expect(gone.stderr).toBe('hint: check host, port and network, and whether the upstream runs\n');
  });

  it.each<[string[], string, string]>([
    [
      ['lamp'],
      "there is no source 'lamp' [ERR_USAGE]",
      'there is: camera, feed, beacon, pollen, egd, trickle, mailbox, xenstore, process, public, whirlwind, timing, jitter, hwrng, tpm, cpu, os',
    ],
    [
      ['timing', '--set', 'periodMs=soon'],
      'timing: periodMs: Invalid input: expected number, received string [ERR_USAGE]',
      'give options as --set key=value',
    ],
    [
      ['timing', '--set', 'periodMs=0'],
      'timing: periodMs: Too small: expected number to be >=1 [ERR_USAGE]',
      'give options as --set key=value',
    ],
    [
      ['process'],
      'process: from: Invalid input: expected object, received undefined [ERR_USAGE]',
      'give options as --set key=value',
    ],
    [
      ['timing', '--set', 'nothing=1'],
      'timing: Unrecognized key: "nothing" [ERR_USAGE]',
      'give options as --set key=value',
    ],
    [
      ['timing', '--set', 'periodMs=['],
      '--set periodMs= is followed by what is no YAML [ERR_USAGE]',
      'quote it for the shell and for YAML, as in --set \'from={ command: [trng, "-q"] }\'',
    ],
    [['os', '--set'], "option '--set <key=value>' argument missing", 'add --help for what there is'],
    [
      ['os', '--seconds', '0'],
      "option '--seconds <n>' argument '0' is invalid. expected a whole number from 1 to 3600",
      'add --help for what there is',
    ],
    [[], "missing required argument 'name'", 'add --help for what there is'],
  ])('refuses %j', async (args, message, hint) => {
    expect(await seen(...args)).toBe(lines(`lamplighter: ${message}`, `hint: ${hint}`, 'exit 64'));
  });

  it('asks nobody without a certificate, and says where to take one from', async () => {
    const set = ['--set', 'url=https://relay.example'];
    const { code, stdout, stderr } = await attempt('beacon', '--seconds', '1', ...set);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^beacon: failed \(uncredited\)\n {2}why {8}beacon: a source that asks a node needs certificates \[ERR_CONFIG\]\n/,
    );
    expect(stderr).toBe('hint: name the node’s configuration with --config, and the source in it\n');
  });

  it('names a device that is not there, and that is no fault of the source', async () => {
    const set = ['--set', 'path=/dev/no-such-generator'];
    const { code, stdout, stderr } = await attempt('hwrng', '--seconds', '1', ...set);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(
      /^hwrng: absent \(uncredited\)\n {2}why {8}there is no \/dev\/no-such-generator \[ERR_SOURCE_ABSENT\]\n/,
    );
    expect(stdout).toContain('\n  one answer none\n');
  });

  it('ends at Ctrl-C with what is known by then, and leaves no child', async () => {
    const set = ['--set', 'from={ command: [sleep, "3600"] }'];
    const command = new Command(['sources', 'try', 'process', '--seconds', '3600', '--json', ...set]);
    const child = await eventually('it hears its child', () => sleepOf(command.pid));
    const { code, tookMs } = await command.stop('SIGINT');
    expect(tookMs).toBeLessThan(STOP_MS);
    expect(code).toBe(1);
    const trial = JSON.parse(command.stdout) as SourceTrial;
    expect(trial).toMatchObject({ kind: 'process', bytes: 0 });
    expect(trial.seconds).toBeLessThan(60);
    await eventually('the child is gone', () => !runs(child), STOP_MS);
  });
});
