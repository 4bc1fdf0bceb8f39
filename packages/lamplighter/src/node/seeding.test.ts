import { Accumulator } from '@lamplighter/core';
import { describe, expect, it } from 'vitest';
import { fixedEnvironment } from '../local/fixed-environment.fixture.js';
import type { Source } from '../sources/source.js';
import { NO_BASIS } from '../wire/basis.js';
import type { Reason } from '../wire/status.js';
import { seed } from './seeding.js';
import type { SourceEntry } from './source-kinds.js';
import { SourceRunner } from './source-runner.js';

type Answer = () => Promise<Uint8Array | undefined>;

const silent: Answer = () => Promise.resolve(undefined);
const always =
  (byte: number, lengthBytes: number): Answer =>
  () =>
    Promise.resolve(new Uint8Array(lengthBytes).fill(byte));

function bench() {
  const environment = fixedEnvironment();
  const accumulator = new Accumulator({ schedule: 'classic', monotonicMs: () => 0 });
  const runners: SourceRunner[] = [];
  const reasons: Reason[] = [];
  const stopping = new AbortController();

  return {
    environment,
    accumulator,
    runners,
    reasons,
    stopping,
    add(kind: string, sample: Answer, required = false): SourceRunner {
      const source: Source = {
        name: kind,
        kind,
        position: kind === 'os' ? 'local' : 'outside',
        start: () => Promise.resolve(),
        sample,
        status: () => ({ state: 'ok', basis: NO_BASIS, details: {} }),
        stop: () => Promise.resolve(),
      };
      const entry = { kind, name: kind, required } as SourceEntry;
      const runner = new SourceRunner(source, entry, runners.length, accumulator, environment);
      runners.push(runner);
      return runner;
    },
    /** Seeds, letting time pass whenever it waits for it. */
    async seed(rounds = 5): Promise<boolean> {
      const progress = { isDone: false };
      const seeding = seed(accumulator, () => runners, {
        environment,
        deadlineMs: 100,
        signal: stopping.signal,
        onWaiting: (reason) => reasons.push(reason),
      }).then(() => (progress.isDone = true));
      for (let i = 0; i < rounds && !progress.isDone; i += 1) {
        for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
        environment.advance(2_000);
      }
      if (!progress.isDone) {
        stopping.abort();
        await expect(seeding).rejects.toMatchObject({ code: 'ERR_STOPPED' });
      }
      return progress.isDone;
    },
  };
}

const hex = (accumulator: Accumulator): string => Buffer.from(accumulator.generate(32)).toString('hex');

describe('first seeding', () => {
  it('needs 32 bytes of the OS RNG', async () => {
    for (const sample of [silent, always(1, 31)]) {
      const node = bench();
      node.add('camera', always(1, 64));
      node.add('os', sample);
      expect(await node.seed()).toBe(false);
      expect(node.accumulator.seeded).toBe(false);
      expect(node.reasons[0]).toMatchObject({
        code: 'ERR_NOT_SEEDED',
        message: 'the OS RNG has not answered',
      });
    }
    const node = bench();
    node.add('os', always(1, 32));
    expect(await node.seed()).toBe(true);
  });

  it('is not made by any amount of other input', async () => {
    const node = bench();
    for (const kind of ['camera', 'feed', 'beacon']) node.add(kind, always(7, 4_096));
    for (const runner of node.runners)
      for (let i = 0; i < 500; i += 1) runner.hear(new Uint8Array(64).fill(i));
    expect(await node.seed()).toBe(false);
  });

  it('waits for a required source, beyond its deadline, and for no other', async () => {
    const node = bench();
    let isUp = false;
    node.add('feed', () => new Promise(() => undefined));
    node.add('camera', () => (isUp ? always(3, 64)() : silent()), true);
    node.add('os', always(1, 64));
    expect(await node.seed(3)).toBe(false);
    expect(node.reasons.at(-1)?.message).toBe('required and not heard yet: camera');

    const other = bench();
    other.add('feed', () => new Promise(() => undefined));
    other.add('camera', () => (isUp ? always(3, 64)() : silent()), true);
    other.add('os', always(1, 64));
    isUp = true;
    expect(await other.seed(3)).toBe(true);
  });

  it('keeps what unsuccessful rounds brought: it is in the pools that first seeding drains', async () => {
    const output = async (earlyByte: number): Promise<string> => {
      const node = bench();
      let round = 0;
      node.add('camera', () => {
        round += 1;
        return Promise.resolve(Uint8Array.of(round === 1 ? earlyByte : 9));
      });
      node.add('os', () => (round > 1 ? always(1, 64)() : silent()));
      expect(await node.seed()).toBe(true);
      return hex(node.accumulator);
    };
    expect(await output(1)).toBe(await output(1));
    expect(await output(1)).not.toBe(await output(2));
  });

  it('rests on every byte heard before it', async () => {
    const output = async (byte: number): Promise<string> => {
      const node = bench();
      node.add('camera', silent).hear(Uint8Array.of(byte));
      node.add('os', always(1, 64));
      expect(await node.seed()).toBe(true);
      return hex(node.accumulator);
    };
    expect(await output(1)).not.toBe(await output(2));
  });
});

describe('a beacon', () => {
  it('goes straight into a reseed once the node is seeded, and into the pools as well', async () => {
    const node = bench();
    const beacon = node.add('beacon', silent);
    node.add('os', always(1, 64));
    beacon.hear(new Uint8Array(64).fill(5));
    expect(node.accumulator.directReseedCount).toBe(0);
    expect(await node.seed()).toBe(true);
    node.environment.advance(1_000);
    expect(node.accumulator.directReseedCount).toBe(1);
    beacon.hear(new Uint8Array(64).fill(6));
    expect(node.accumulator.directReseedCount).toBe(2);
    expect(beacon.status()).toMatchObject({ bytes: 128, events: 2 });
  });

  it('is the only kind that does: a feed block waits for its pool', async () => {
    const node = bench();
    const feed = node.add('feed', silent);
    node.add('os', always(1, 64));
    expect(await node.seed()).toBe(true);
    feed.hear(new Uint8Array(64).fill(6));
    expect(node.accumulator.directReseedCount).toBe(1);
  });
});
