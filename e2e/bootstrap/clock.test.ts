import { rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import { compilePreload } from './fixed-machine.fixture.js';
import { NeverTwice, tellApart } from './hedge-record.fixture.js';
import { type HeardRun, Machine, type RunOptions, StateFolder } from './machine.fixture.js';

/*
 * A clock that cannot be right. No certificate is valid then, so nobody is asked; everything that needs no clock is done.
 */

const AFTER_1970_S = [0, 12, 86_400] as const;

let machine: Machine;
let preload: string;
beforeAll(async () => {
  machine = await Machine.make({ relay: true });
});
afterAll(() => machine.end());

let folders = 0;
let state: StateFolder;
beforeEach(() => {
  state = new StateFolder(machine.path(`state-${(folders += 1)}`));
});

/** A machine whose clock shows this, and does not move. */
const at = (seconds: number): RunOptions => ({
  env: { LD_PRELOAD: preload, FIXED_REALTIME_NS: String(seconds * 1_000_000_000) },
});

/** Nobody asked, the kernel seeded all the same, and the person told. */
function expectLocalOnly(run: HeardRun, since: string): void {
  expect(run, run.stderr).toMatchObject({ code: 2, signal: null, hellos: [] });
  expect(run.report).toMatchObject({
    seeded: true,
    beacons: 0,
    clock: { code: 'ERR_CLOCK' },
    relays: [{ answered: false, reason: { code: 'ERR_CLOCK' } }],
    kernel: { bytesWritten: 64 },
    hedge: 'on',
    seed: { folded: false },
  });
  expect(run.stderr).toContain('this machine believes it is 1970-01-');
  expect(run.stderr).toContain(`before ${since}`);
  expect(run.stderr).toContain('[ERR_CLOCK]');
  expect(run.stderr).toContain('hint: set the clock');
  const { timing, os, whirlwind } = run.report?.sources ?? {};
  expect({ timing, os, whirlwind }).toEqual({ timing: 64, os: 64, whirlwind: 800 });
}

needs('cc')('a clock that cannot be right', () => {
  beforeAll(() => {
    preload = compilePreload(machine.folder);
  });

  it('set back to 1970: no relay is asked, and nothing is repeated', async () => {
    const never = new NeverTwice();
    never.note('before', await machine.run(state.path));
    const backup = state.seed();
    const runs = [];
    for (const seconds of AFTER_1970_S) {
      const run = await machine.run(state.path, at(seconds));
      expectLocalOnly(run, 'the machine seed was last written');
      never.note(`at ${seconds} s`, run);
      runs.push(run);
    }
    // The same moment again, from the same seed, and so the same seeds after it.
    state.putSeed(backup);
    const again = await machine.run(state.path, at(AFTER_1970_S[0]));
    never.note('the same moment', again, { isKeyAgain: true });
    expect(again.uses[0]?.key).toBe(runs[0]?.uses[0]?.key);
    expect(tellApart('a clock set back', runs[0]?.uses[0], again.uses[0])).toEqual(
      expect.arrayContaining(['monotonic', 'os']),
    );

    const strict = await machine.run(state.path, { ...at(0), flags: ['--strict'] });
    expect(strict.code).toBe(1);
    never.note('strictly', strict, { isKeyAgain: true });
    const right = await machine.run(state.path);
    expect(right, right.stderr).toMatchObject({ code: 0, report: { beacons: 1, hedge: 'on' } });
    never.note('the clock is right', right, { isKeyAgain: true });
  });

  it('none at all: every start is the first second of 1970, the very first one too', async () => {
    const never = new NeverTwice();
    for (const what of ['its first start', 'its second', 'its third']) {
      const run = await machine.run(state.path, at(1));
      // Of a seed just made nothing is known of the time; then there is the certificate.
      const isFirst = what === 'its first start';
      expectLocalOnly(run, isFirst ? 'its certificate was made' : 'the machine seed was last written');
      expect(run.report?.seed.made).toBe(isFirst ? 'missing' : undefined);
      never.note(what, run);
    }
    // A seed that is lost as well is made again, with nothing of the first.
    rmSync(state.path, { recursive: true });
    never.note('after the loss of it', await machine.run(state.path, at(1)));
  });
});
