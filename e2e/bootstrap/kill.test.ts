import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isFull, needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { NeverTwice } from './hedge-record.fixture.js';
import { type HeardRun, Machine, StateFolder } from './machine.fixture.js';
import { type Boundary, boundariesIn, straceOf } from './strace.fixture.js';

/*
 * Kill -9, at the system calls that touch the seed and at any instant. What must hold then: the seed is whole; its counter
 * only grows; nothing of a use has left the process whose successor is not on the disk already; the next start works.
 */

const INSTANTS = isFull ? 1_000 : 20;
/** After so many kills one start is left alone, and must do everything. */
const KILLS_BETWEEN = 5;
const TIMEOUT_MS = isFull ? 3_600_000 : 120_000;

let machine: Machine;
let state: StateFolder;
const never = new NeverTwice();

beforeAll(async () => {
  machine = await Machine.make({ relay: true });
  state = new StateFolder(machine.path('state'));
});
afterAll(() => machine.end());

/** A start that is left alone. */
async function startWhole(what: string): Promise<HeardRun> {
  const before = existsSync(state.seedPath) ? state.seed().counter : 0n;
  const run = await machine.run(state.path);
  expect(run, `${what}: ${run.stderr}`).toMatchObject({ code: 0, report: { hedge: 'on', beacons: 1 } });
  expect(run.report?.seed.folded, what).toBe(true);
  expect(run.report?.seed.made, what).not.toBe('lost');
  expect(run.uses, what).toHaveLength(1);
  never.note(what, run);
  // One use, and the fold of the beacon.
  expect(state.seed().counter, what).toBe(before + 2n);
  expect(state.names(), `${what}: nothing is left behind`).toEqual(['seed', 'seed.lock']);
  return run;
}

needs('cc', 'strace')('the agent, killed at a system call that touches its seed', () => {
  // One thread for all of them, so that counting is the same every time.
  const env = { UV_THREADPOOL_SIZE: '1' };
  const traceFile = (): string => machine.path('trace');
  const traced = (...filter: readonly string[]) =>
    machine.run(state.path, { prefix: straceOf(state.path, traceFile(), filter), env });
  const boundaries = (): readonly Boundary[] => boundariesIn(readFileSync(traceFile(), 'utf8'), state.path);

  /** @param replaced - how often the seed was, before that call */
  async function killAt({ name, ordinal, file }: Boundary, what: string): Promise<HeardRun> {
    const killed = await traced('-e', `trace=${name}`, '-e', `inject=${name}:signal=KILL:when=${ordinal}`);
    expect(killed, what).toMatchObject({ signal: 'SIGKILL', report: undefined });
    expect(boundaries().at(-1), what).toMatchObject({ name, ordinal, file });
    never.note(what, killed);
    return killed;
  }

  it('goes on from what is on the disk, and never uses anything twice', { timeout: TIMEOUT_MS }, async () => {
    await machine.run(state.path);
    const whole = await traced();
    expect(whole.code, whole.stderr).toBe(0);
    const all = boundaries();
    const names = [...new Set(all.map(({ name }) => name.replace(/at2?$/, '')))].sort();
    expect(names).toEqual(['close', 'flock', 'fsync', 'open', 'pread64', 'rename', 'statx', 'write']);
    expect(all.at(-1)?.replaced, 'once for the use, once for the fold').toBe(2n);

    const chosen = isFull ? all : all.filter(isDecisive);
    for (const boundary of chosen) {
      const what = `killed at ${boundary.name} ${boundary.file} (${boundary.replaced})`;
      const before = state.seed();
      const killed = await killAt(boundary, what);
      const after = state.seed();
      expect(after.counter - before.counter, what).toBe(boundary.replaced);
      expect(after.hash === before.hash, what).toBe(boundary.replaced === 0n);
      if (boundary.replaced === 0n) expect([killed.uses, killed.hellos], what).toEqual([[], []]);
      await startWhole(`after ${what}`);
    }
    const list = chosen.map(({ name, file }) => `${name} ${file || 'folder'}`).join(', ');
    console.log(`killed at ${chosen.length} of ${all.length} system calls: ${list}`);
  });

  it('in its very first start: has a seed or none, and no half', { timeout: TIMEOUT_MS }, async () => {
    rmSync(state.path, { recursive: true });
    const whole = await traced();
    expect(whole.report, whole.stderr).toMatchObject({ hedge: 'on', seed: { made: 'missing' } });
    // The first to be put in its place is the one that was made.
    const making = boundaries().filter(({ replaced }) => replaced < 2n);
    const chosen = isFull ? making : making.filter(({ name }) => /^(mkdir|write|rename)/.test(name));
    expect(chosen.length).toBeGreaterThan(3);
    for (const boundary of chosen) {
      const what = `first start, killed at ${boundary.name} ${boundary.file} (${boundary.replaced})`;
      rmSync(state.path, { recursive: true, force: true });
      const killed = await killAt(boundary, what);
      expect(existsSync(state.seedPath), what).toBe(boundary.replaced > 0n);
      expect([killed.uses, killed.hellos], what).toEqual([[], []]);
      await startWhole(`after ${what}`);
    }
  });
});

needs('cc')('the agent, killed at any instant', () => {
  it(`${INSTANTS} times: goes on, and never uses anything twice`, { timeout: TIMEOUT_MS }, async () => {
    await machine.run(state.path);
    const { tookMs } = await startWhole('a start that is left alone');
    const seen = { killed: 0, used: 0, heard: 0 };
    for (let i = 0; i < INSTANTS; i += 1) {
      // Before that Node itself starts, and nothing of ours.
      const killAfterMs = tookMs * (0.3 + 0.7 * Math.random());
      const what = `kill ${i} after ${killAfterMs.toFixed(1)} ms`;
      const before = state.seed();
      const killed = await machine.run(state.path, { killAfterMs });
      never.note(what, killed);
      const after = state.seed();
      const risen = after.counter - before.counter;
      expect([0n, 1n, 2n], what).toContain(risen);
      expect(after.hash === before.hash, what).toBe(risen === 0n);
      // What was used, and what was said with it, was replaced before.
      expect(killed.uses.length, what).toBeLessThanOrEqual(Number(risen));
      expect(killed.hellos.length, what).toBeLessThanOrEqual(killed.uses.length);
      seen.killed += killed.signal === 'SIGKILL' ? 1 : 0;
      seen.used += killed.uses.length;
      seen.heard += killed.hellos.length;
      if (i % KILLS_BETWEEN === KILLS_BETWEEN - 1) await startWhole(`after ${what}`);
    }
    console.log(
      `${seen.killed} of ${INSTANTS} were killed in time; the seed was used in ${seen.used}, ` +
        `a ClientHello was heard of ${seen.heard}; ${never.size} keys, outputs, randoms and shares, none twice`,
    );
    expect(seen.killed).toBeGreaterThan(INSTANTS / 4);
  });
});

/** Those that change something and, the first time, those that decide who may. The full run takes all. */
function isDecisive({ name, file, replaced }: Boundary): boolean {
  if (/^(write|fsync|rename)/.test(name)) return true;
  return replaced === 0n && (name === 'flock' || (name === 'openat' && file !== 'seed'));
}
