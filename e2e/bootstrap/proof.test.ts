import { readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SeedRecord } from '../../packages/lamplighter/dist/local/seed/seed-record.js';
import { needs } from '../../packages/lamplighter/dist/needs.fixture.js';
import type { ClientHello } from './client-hello.fixture.js';
import { type Chance, FixedMachine } from './fixed-machine.fixture.js';
import { tellApart } from './hedge-record.fixture.js';
import { type HeardRun, Machine, type RunOptions, StateFolder } from './machine.fixture.js';

/*
 * The proof of the bootstrap (DESIGN section 7): what the OS gives to OpenSSL is made the same in every run, and then all that
 * decides what TLS and the kernel get is the machine seed and x.
 */

const SEED: SeedRecord = {
  counter: 7n,
  machine: new Uint8Array(32),
  seed: Uint8Array.from({ length: 64 }, (_, index) => index),
};
const OTHER_SEED: SeedRecord = { ...SEED, seed: SEED.seed.map((byte) => byte ^ 1) };

/** One field of x each, and what has to be otherwise for it. */
const SEPARATORS: Readonly<Record<string, { chance?: Partial<Chance>; seed?: SeedRecord }>> = {
  realtime: { chance: { realtimeMs: Date.now() + 1_000 } },
  // A whole millisecond: what lies below the milliseconds of real time comes from this clock.
  monotonic: { chance: { monotonicNs: 5_000_001_000_000n } },
  'boot-id': { chance: { bootId: 'other' } },
  counter: { seed: { ...SEED, counter: SEED.counter + 1n } },
  'vm-generation': { chance: { vmGeneration: 'other' } },
  cycles: { chance: { cycles: 123_456_790n } },
  os: { chance: { osByte: 0x18 } },
};

/** What the preloaded library notes of 64 bytes for the kernel, given once, with no credit. */
const HANDED_OVER = /^(RNDADDENTROPY|write) 0 [0-9a-f]{128}\n$/;

const here = {
  name: `Node ${process.versions.node}`,
  node: process.execPath,
  isHybrid: isHybrid(process.version),
};
const there = process.env['LAMPLIGHTER_NODE24'];

let machine: Machine;
let fixed: FixedMachine;
let state: StateFolder;

beforeAll(async () => {
  machine = await Machine.make({ relay: false });
});
afterAll(() => machine.end());

type ProvedRun = HeardRun & { readonly hello: ClientHello; readonly handedOver: string };

/** Starts the agent from a seed, which is put in its place first. */
async function start(
  node: string,
  { seed = SEED, mode = 0o600, ...options }: RunOptions & { seed?: SeedRecord; mode?: number },
): Promise<ProvedRun> {
  state.putSeed(seed, mode);
  const file = machine.path('handed-over');
  rmSync(file, { force: true });
  const run = await machine.run(state.path, { ...options, node, env: { ...options.env, HANDED_OVER: file } });
  expect(run, run.stderr).toMatchObject({ code: 2, signal: null });
  const [hello, ...more] = run.hellos;
  if (hello === undefined || more.length > 0) throw new Error(`${run.hellos.length} connections, not one`);
  return { ...run, hello, handedOver: readFileSync(file, 'utf8') };
}

function expectNothingInCommon(a: ClientHello, b: ClientHello): void {
  expect(a.random).not.toBe(b.random);
  expect(Object.keys(a.keyShares)).toEqual(Object.keys(b.keyShares));
  for (const [group, share] of Object.entries(a.keyShares)) expect(b.keyShares[group]).not.toBe(share);
}

needs('cc', 'setarch')('the bootstrap, proved', () => {
  describe.skipIf(process.arch !== 'x64')(
    'on a machine on which nothing is left to chance (needs x64)',
    () => {
      beforeAll(() => {
        fixed = new FixedMachine(machine);
        state = new StateFolder(machine.path('state'));
      });
      describe(here.name, () => {
        const usual = proveTls(here);
        proveMore(here, usual);
      });
      describe.skipIf(there === undefined)('Node 24 (needs LAMPLIGHTER_NODE24, its binary)', () => {
        proveTls({ name: 'Node 24', node: there ?? '', isHybrid: true });
      });
    },
  );
});

/** @returns the run on the usual machine, that all others are compared with */
function proveTls({ name, node, isHybrid: hybrid }: typeof here): () => ProvedRun {
  let usual: ProvedRun | undefined;
  const theUsual = (): ProvedRun => {
    if (usual === undefined) throw new Error('it has not run');
    return usual;
  };
  beforeAll(async () => {
    usual = await start(node, fixed.options());
  });

  it('without the hedge two runs say the same, whatever the clocks show', async () => {
    const options = { ...fixed.options(), env: { ...fixed.onlyOs(), LAMPLIGHTER_NATIVE: 'off' } };
    const [one, two] = [await start(node, options), await start(node, options)];
    expect(two.hello).toEqual(one.hello);
    expect(Object.keys(one.hello.keyShares)).toEqual(hybrid ? ['X25519MLKEM768', 'X25519'] : ['X25519']);
    expect(one.report).toMatchObject({ hedge: 'off', hedgeReason: { code: 'ERR_HEDGE_OFF' } });
    expect(one.stderr).toContain('WARNING: the tls hedge is off');
  });

  it('with it two runs of one seed have nothing in common, though the OS says the same', async () => {
    const options = { ...fixed.options(), env: fixed.onlyOs() };
    const [one, two] = [await start(node, options), await start(node, options)];
    expect(one.report?.hedge).toBe('on');
    expect(tellApart(`${name}, the OS known`, one.uses[0], two.uses[0])).toContain('monotonic');
    expectNothingInCommon(one.hello, two.hello);
  });

  it('the same seed and the same x agree, in TLS and for the kernel: the experiment can fail', async () => {
    const again = await start(node, fixed.options());
    expect(again.report?.hedge).toBe('on');
    expect(again.uses).toEqual(theUsual().uses);
    expect(again.hello).toEqual(theUsual().hello);
    expect(again.handedOver).toBe(theUsual().handedOver);
  });

  it('another seed at the same x has nothing in common with it, in TLS and for the kernel', async () => {
    const other = await start(node, { ...fixed.options(), seed: OTHER_SEED });
    expect(tellApart(`${name}, another seed`, theUsual().uses[0], other.uses[0])).toEqual([]);
    expectNothingInCommon(theUsual().hello, other.hello);
    expect(other.handedOver).toMatch(HANDED_OVER);
    expect(other.handedOver).not.toBe(theUsual().handedOver);
  });

  it('the same seed at another x has nothing in common with it', async () => {
    const later = await start(node, fixed.options({ cycles: fixed.usual.cycles + 1n }));
    expect(tellApart(`${name}, one cycle later`, theUsual().uses[0], later.uses[0])).toEqual(['cycles']);
    expectNothingInCommon(theUsual().hello, later.hello);
  });

  return theUsual;
}

function proveMore({ name, node }: typeof here, usual: () => ProvedRun): void {
  it('any one field of x is enough', async () => {
    expect(Object.keys(SEPARATORS), 'none is forgotten').toEqual([...(usual().uses[0]?.x.keys() ?? [])]);
    for (const [field, { chance, seed = SEED }] of Object.entries(SEPARATORS)) {
      const run = await start(node, { ...fixed.options(chance), seed });
      expect(tellApart(`${name}, only ${field}`, usual().uses[0], run.uses[0])).toEqual([field]);
      expectNothingInCommon(usual().hello, run.hello);
    }
  });

  it('a seed that others may know is still mixed in, and nothing is claimed of it', async () => {
    const options = { ...fixed.options(), mode: 0o644 };
    const [one, other] = [await start(node, options), await start(node, { ...options, seed: OTHER_SEED })];
    expect(one.report).toMatchObject({ hedge: 'degraded', hedgeReason: { code: 'ERR_SEED_MODE' } });
    expect(one.uses[0]?.key, 'another key than that of a seed that was rotated').not.toBe(
      usual().uses[0]?.key,
    );
    expectNothingInCommon(one.hello, other.hello);
    expect(state.seed().counter).toBe(SEED.counter);
  });

  it('the kernel is handed 64 bytes that the seed alone decides, by ioctl where that is allowed', () => {
    const { report, handedOver } = usual();
    const call = process.geteuid?.() === 0 ? 'RNDADDENTROPY' : 'write';
    expect(handedOver).toMatch(HANDED_OVER);
    expect(handedOver).toContain(call);
    expect(report?.kernel).toMatchObject({ call, bytesWritten: 64, creditedBits: 0 });
    // What went in beside the seed: known all of it, on this machine.
    const sources = { 'beacon/relay': 0, cpu: 0, os: 64, timing: 64, whirlwind: 800 };
    expect(report?.sources).toEqual(sources);
  });

  it('the kernel is handed what the seed alone decides without the addon too, by write(2)', async () => {
    const options = { ...fixed.options(), env: { ...fixed.options().env, LAMPLIGHTER_NATIVE: 'off' } };
    const [one, again] = [await start(node, options), await start(node, options)];
    const other = await start(node, { ...options, seed: OTHER_SEED });
    expect(one.handedOver).toMatch(/^write 0 /);
    expect(one.handedOver).toMatch(HANDED_OVER);
    expect(again.handedOver).toBe(one.handedOver);
    expect(other.handedOver).not.toBe(one.handedOver);
    expect(other.report?.sources).toEqual(one.report?.sources);
  });
}

/** OpenSSL 3.5 offers the hybrid group by itself. */
function isHybrid(version: string): boolean {
  return Number(/^v(\d+)/.exec(version)?.[1]) >= 24;
}
