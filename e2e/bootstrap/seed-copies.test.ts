import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { NeverTwice, tellApart } from './hedge-record.fixture.js';
import { Machine, type RunOptions, StateFolder } from './machine.fixture.js';
import { MountNamespace } from './mount-namespace.fixture.js';

/*
 * One seed in two hands: two agents at once, a backup that was restored, an image that was copied. Where the seed is the same it
 * is x that must differ; each test prints what it was that did.
 */

const isRoot = process.geteuid?.() === 0;
const AT_ONCE = 4;

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

describe('several agents in one folder', () => {
  it('take turns, and never the same use', async () => {
    const never = new NeverTwice();
    never.note('the start that made the seed', await machine.run(state.path));
    const before = state.seed().counter;
    const starting = Array.from({ length: AT_ONCE }, () => machine.start(state.path));
    const runs = await Promise.all(starting);
    never.note('all of them', { uses: runs.flatMap(({ uses }) => uses), hellos: await machine.heard() });
    for (const run of runs) {
      expect(run, run.stderr).toMatchObject({ code: 0, report: { hedge: 'on', seed: { folded: true } } });
      expect(run.uses).toHaveLength(1);
    }
    const counters = runs.map(({ uses }) => BigInt(`0x${uses[0]?.x.get('counter') ?? ''}`));
    expect(new Set(counters).size).toBe(AT_ONCE);
    expect(state.seed().counter).toBe(before + 2n * BigInt(AT_ONCE));
  });

  needs('flock')('of which one hangs with the lock in its hand', () => {
    it('do not wait for it: mixed in, nothing claimed, and not rotated', async () => {
      await machine.run(state.path);
      const before = state.seed();
      const holder: ChildProcess = spawn(
        'flock',
        ['--exclusive', '--no-fork', `${state.path}/seed.lock`, 'cat'],
        { stdio: ['pipe', 'pipe', 'ignore'] },
      );
      try {
        // What `cat` sends back says that the lock is held.
        if (holder.stdout === null) throw new Error('it has a stdout');
        const held = once(holder.stdout, 'data');
        holder.stdin?.write('.');
        await held;
        const run = await machine.run(state.path);
        expect(run, run.stderr).toMatchObject({
          code: 0,
          report: { hedge: 'degraded', hedgeReason: { code: 'ERR_SEED_BUSY' }, seed: { folded: false } },
        });
        expect(run.stderr).toContain('hint: is another agent or node at work in the same folder');
        expect(state.seed()).toEqual(before);
      } finally {
        holder.kill('SIGKILL');
        await once(holder, 'exit');
      }
      const free = await machine.run(state.path);
      expect(free.report?.hedge).toBe('on');
    });
  });
});

describe('a backup of the folder that was restored', () => {
  it('gives the same seed again, and another x each time', async () => {
    const never = new NeverTwice();
    await machine.run(state.path);
    const backup = machine.path('backup');
    cpSync(state.path, backup, { recursive: true });
    const runs = [];
    for (const what of ['the original', 'the first restore', 'the second']) {
      rmSync(state.path, { recursive: true });
      cpSync(backup, state.path, { recursive: true });
      const run = await machine.run(state.path);
      expect(run, run.stderr).toMatchObject({ code: 0, report: { hedge: 'on' } });
      never.note(what, run, { isKeyAgain: true });
      runs.push(run);
    }
    const [first, ...restored] = runs.map(({ uses }) => uses[0]);
    for (const use of restored) {
      expect(use?.key).toBe(first?.key);
      const differ = tellApart('a restored backup', first, use);
      expect(differ).toEqual(expect.arrayContaining(['realtime', 'monotonic', 'os']));
      expect(differ).not.toContain('counter');
    }
  });
});

needs(
  'unshare',
  'nsenter',
  'mount',
)('an image that was copied', () => {
  const MACHINE_ID = '/etc/machine-id';

  describe.skipIf(!isRoot || !existsSync(MACHINE_ID))(`(needs root and ${MACHINE_ID})`, () => {
    const namespaces: MountNamespace[] = [];
    afterAll(() => Promise.all(namespaces.map((namespace) => namespace.end())));

    /** Another machine that runs from a copy of this disk. */
    async function copyOf(folder: string, name: string, id: string): Promise<[StateFolder, RunOptions]> {
      const copy = new StateFolder(machine.path(name));
      if (existsSync(folder)) cpSync(folder, copy.path, { recursive: true });
      const namespace = await MountNamespace.make();
      namespaces.push(namespace);
      namespace.mount('--bind', machine.write(`${name}-id`, `${id}\n`), MACHINE_ID);
      return [copy, { prefix: namespace.prefix }];
    }

    it('is noticed on every machine but the first; each goes its own way', async () => {
      const never = new NeverTwice();
      const [original, onOriginal] = await copyOf('', 'original', 'a0'.repeat(16));
      never.note('the start that made the seed', await machine.run(original.path, onOriginal));
      const [copy, onCopy] = await copyOf(original.path, 'copy', 'b1'.repeat(16));

      const at = await machine.run(original.path, onOriginal);
      expect(at, at.stderr).toMatchObject({ code: 0, report: { hedge: 'on' } });
      never.note('the original', at);
      const other = await machine.run(copy.path, onCopy);
      expect(other, other.stderr).toMatchObject({
        code: 0,
        report: { hedge: 'degraded', hedgeReason: { code: 'ERR_SEED_COPIED' } },
      });
      expect(other.stderr).toContain('the machine seed was made on another machine');
      expect(other.stderr).toContain('hint: this is a copied image: enrol again');
      never.note('the copy', other, { isKeyAgain: true });
      expect(other.uses[0]?.key, 'one use, on two machines').toBe(at.uses[0]?.key);
      expect(tellApart('a copied image', at.uses[0], other.uses[0])).toEqual(
        expect.arrayContaining(['monotonic', 'os']),
      );

      // Both rotate away from it, by beacons of their own.
      expect(copy.seed().counter).toBe(original.seed().counter);
      expect(copy.seed().hash).not.toBe(original.seed().hash);
      const again = await machine.run(copy.path, onCopy);
      expect(again.report, 'until it is enrolled anew').toMatchObject({ hedge: 'degraded' });
      never.note('the copy, again', again);
    });
  });
});
