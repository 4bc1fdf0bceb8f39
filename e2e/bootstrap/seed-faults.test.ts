import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { NeverTwice, tellApart } from './hedge-record.fixture.js';
import { type HeardRun, Machine, StateFolder } from './machine.fixture.js';
import { MountNamespace } from './mount-namespace.fixture.js';

/*
 * What becomes of a seed that cannot be written, or is no seed any more. Never worse than "the seed is lost": the agent asks its
 * relay, seeds the kernel, says what is wrong and what to do, and repeats nothing.
 */

const isRoot = process.geteuid?.() === 0;

let machine: Machine;
beforeAll(async () => {
  machine = await Machine.make({ relay: true });
});
afterAll(() => machine.end());

let folders = 0;
let state: StateFolder;
beforeEach(() => {
  state = new StateFolder(machine.path(`state-${(folders += 1)}`));
});

/** What every start must do, whatever the seed is like. */
function expectSeeded(run: HeardRun): void {
  expect(run, run.stderr).toMatchObject({ code: 0, report: { seeded: true, beacons: 1 } });
  expect(run.hellos).toHaveLength(1);
}

function expectHealthy(run: HeardRun): void {
  expectSeeded(run);
  expect(run.report).toMatchObject({ hedge: 'on', seed: { folded: true } });
}

/** Mixed in, nothing claimed, nothing changed on the disk, and the person told. */
function expectDegraded(run: HeardRun, code: string, ...told: readonly string[]): void {
  expectSeeded(run);
  expect(run.report).toMatchObject({ hedge: 'degraded', hedgeReason: { code }, seed: { folded: false } });
  expect(run.uses).toHaveLength(1);
  expect(run.stderr).toContain(`WARNING: the tls hedge is degraded`);
  for (const text of told) expect(run.stderr).toContain(text);
}

needs(
  'unshare',
  'nsenter',
  'mount',
)('a seed', () => {
  describe.skipIf(!isRoot)('that cannot be written (needs root)', () => {
    let namespace: MountNamespace;
    let disk: string;
    let inside: StateFolder;

    beforeAll(async () => {
      namespace = await MountNamespace.make();
    });
    afterAll(() => namespace.end());
    beforeEach(() => {
      disk = machine.path(`disk-${folders}`);
      mkdirSync(disk);
      namespace.mount('-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'lamplighter', disk);
      state = new StateFolder(`${disk}/state`);
      inside = new StateFolder(namespace.path(state.path));
    });

    /**
     * Two starts before `open`, and one after it. @param shut - makes the disk unwritable
     */
    async function expectUnwritten(shut: () => void, open: () => void, why: string): Promise<void> {
      const never = new NeverTwice();
      const start = () => machine.run(state.path, { prefix: namespace.prefix });
      const made = await start();
      expectHealthy(made);
      never.note('the start that made it', made);
      shut();
      const before = inside.seed();
      const [one, two] = [await start(), await start()];
      for (const run of [one, two]) {
        expectDegraded(run, 'ERR_SEED_NOT_ROTATED', why, `hint: make ${state.path} writable`);
        expect(run.stderr).toContain('the beacons are not in the seed');
        never.note(why, run, { isKeyAgain: true });
      }
      expect(inside.seed(), 'the old seed stays').toEqual(before);
      expect(inside.names()).toEqual(['seed', 'seed.lock']);
      expect(one.uses[0]?.key, 'unrotated').toBe(two.uses[0]?.key);
      expect(tellApart(`unwritable (${why})`, one.uses[0], two.uses[0])).toEqual(
        expect.arrayContaining(['monotonic', 'os']),
      );
      open();
      const healed = await start();
      expectHealthy(healed);
      // Of the same seed, but now its one use.
      expect(healed.uses[0]?.key).not.toBe(one.uses[0]?.key);
      never.note('after it', healed);
      expect(inside.seed().counter).toBe(before.counter + 2n);
    }

    it('because the disk is full', () =>
      expectUnwritten(
        () => {
          expect(namespace.run('dd', 'if=/dev/zero', `of=${disk}/filler`, 'bs=4k')).not.toBe(0);
        },
        () => rmSync(namespace.path(`${disk}/filler`)),
        'ENOSPC',
      ));

    it('because the disk is read-only', () =>
      expectUnwritten(
        () => namespace.mount('-o', 'remount,ro', disk),
        () => namespace.mount('-o', 'remount,rw', disk),
        'EROFS',
      ));

    it('because there never was one: an empty read-only disk', async () => {
      namespace.mount('-o', 'remount,ro', disk);
      const run = await machine.run(state.path, { prefix: namespace.prefix });
      expectSeeded(run);
      expect(run.report).toMatchObject({ hedge: 'off', hedgeReason: { code: 'ERR_STATE_DIRECTORY' } });
      expect(run.stderr).toContain('WARNING: the tls hedge is off');
      expect(run.stderr).toMatch(/^hint: /m);
    });
  });
});

describe('a seed that others may know', () => {
  /** @param spoil - makes it so; the cure is told by `hint` */
  async function expectCurable(spoil: () => void, hint: string): Promise<void> {
    expectHealthy(await machine.run(state.path));
    const before = state.seed();
    spoil();
    const spoilt = await machine.run(state.path);
    expectDegraded(spoilt, 'ERR_SEED_MODE', hint);
    expect(state.seed(), 'not rotated').toEqual(before);
    chmodSync(state.seedPath, 0o600);
    if (isRoot) chownSync(state.seedPath, 0, 0);
    const cured = await machine.run(state.path);
    expectHealthy(cured);
    expect(cured.uses[0]?.key, 'its one use').not.toBe(spoilt.uses[0]?.key);
  }

  it.each([
    ['0644', 0o644],
    ['0620', 0o620],
  ])('is mixed in and not rotated until it is cured: mode %s', (_, mode) =>
    expectCurable(() => chmodSync(state.seedPath, mode), `hint: chmod 0600 ${state.seedPath}`),
  );

  it.skipIf(!isRoot)('is mixed in and not rotated until it is cured: another user (needs root)', () =>
    expectCurable(() => chownSync(state.seedPath, 12_345, 12_345), 'hint: chown'),
  );
});

describe('a seed that is none any more', () => {
  /** What is found in its place, made from the seed that was there. */
  const found: Readonly<Record<string, (seed: Buffer) => Uint8Array>> = {
    'an empty file': () => new Uint8Array(0),
    'a file torn in the middle': (seed) => seed.subarray(0, 70),
    'a file with one bit changed': (seed) => seed.map((byte, at) => (at === 60 ? byte ^ 1 : byte)),
    'a file of noise': () => randomBytes(141),
    'a file of another program': () => Buffer.alloc(1_000_000, 'something else\n'),
  };

  it.each(Object.entries(found))('%s: is lost, and another is made', async (_, put) => {
    await machine.run(state.path);
    state.putFile(put(readFileSync(state.seedPath)));
    const run = await machine.run(state.path);
    expectHealthy(run);
    expect(run.report?.seed.made).toBe('lost');
    expect(run.stderr).toContain('the machine seed was lost: another was made; enrol this machine again');
    expect(state.seed().counter).toBe(2n);
    expectHealthy(await machine.run(state.path));
  });

  /** What is not a file. The agent removes no folder and follows no link. */
  const things: Readonly<Record<string, { put: () => void; hedge: 'on' | 'off' }>> = {
    'a pipe': { put: () => void execFileSync('mkfifo', [state.seedPath]), hedge: 'on' },
    'a folder': { put: () => mkdirSync(state.seedPath), hedge: 'off' },
    'a link': {
      put: () => {
        writeFileSync(machine.path('elsewhere'), 'not mine');
        symlinkSync(machine.path('elsewhere'), state.seedPath);
      },
      hedge: 'off',
    },
  };

  it.each(Object.entries(things))('%s: holds nothing up', async (_, { put, hedge }) => {
    mkdirSync(state.path, { mode: 0o700 });
    put();
    const run = await machine.run(state.path);
    expectSeeded(run);
    expect(run.report?.hedge).toBe(hedge);
    if (hedge === 'on') return;
    expect(run.stderr).toContain('WARNING: the tls hedge is off');
    expect(run.stderr).toMatch(/^hint: /m);
    expect(await machine.run(state.path, { flags: ['--require-hedge'] })).toMatchObject({
      code: 1,
      hellos: [],
    });
  });
});
