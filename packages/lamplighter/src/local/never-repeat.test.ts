import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { cycleCounter, rdrand } from '@lamplighter/native';
import { describe, expect, it } from 'vitest';
import { isFull } from '../needs.fixture.js';
import type { Experiment, Separator } from './never-repeat.fixture.js';

const BLOCKS = isFull ? 2 ** 20 : 2 ** 14;
/** Compiled: processes and threads of their own run what users run. */
const FIXTURE = fileURLToPath(new URL('../../dist/local/never-repeat.fixture.js', import.meta.url));

type Where = 'process' | 'thread';

async function run(
  where: Where,
  experiment: Omit<Experiment, 'blocks'>,
  blocks = BLOCKS,
): Promise<Uint8Array> {
  const whole: Experiment = { ...experiment, blocks };
  if (where === 'thread') {
    return new Promise((resolve, reject) => {
      const worker = new Worker(FIXTURE, { workerData: whole });
      worker.once('message', (made: Uint8Array) => resolve(made));
      worker.once('error', reject);
    });
  }
  const { stdout } = await promisify(execFile)(process.execPath, [FIXTURE, JSON.stringify(whole)], {
    encoding: 'buffer',
    maxBuffer: 2 ** 26,
  });
  return stdout;
}

/** How many 16-byte blocks are equal to another one, judged by their first half: by chance none in 2^22. */
function repeats(...made: readonly Uint8Array[]): number {
  const all = new BigUint64Array(made.reduce((sum, bytes) => sum + bytes.length / 16, 0));
  let count = 0;
  for (const bytes of made) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at < bytes.length; at += 16) all[count++] = view.getBigUint64(at);
  }
  expect(count).toBe(all.length);
  all.sort();
  return all.filter((block, index) => block === all[index - 1]).length;
}

const hasAddon = cycleCounter().supported && rdrand(16).supported;

describe('two processes restored to the same state', () => {
  it('repeat where nothing at all tells them apart: so the experiment can fail', async () => {
    const nothing = { fromStart: [], afterRestore: [], generation: 1 } as const;
    const [one, two] = await Promise.all([run('process', nothing, 1_000), run('process', nothing, 1_000)]);
    expect(Buffer.from(one).equals(two)).toBe(true);
    expect(repeats(one)).toBe(0);
    expect(repeats(one, two)).toBe(1_000);
  });

  const restored = (afterRestore: readonly Separator[], more: Partial<Experiment> = {}) =>
    ({ fromStart: [], afterRestore, ...more }) as const;
  it.each([
    ['monotonic clock', restored(['monotonic']), restored(['monotonic'])],
    ['process number', restored(['pid']), restored(['pid'])],
    ['VM generation', restored([], { generation: 1 }), restored([], { generation: 2 })],
    ['OS RNG, by resume()', restored(['os'], { resume: true }), restored(['os'], { resume: true })],
  ])('never repeat: %s', async (_, experiment, other) => {
    const [one, two] = await Promise.all([run('process', experiment), run('process', other)]);
    expect(repeats(one, two)).toBe(0);
  });

  it.skipIf(!hasAddon)('never repeat: cycle counter (needs the addon)', async () => {
    const experiment = { fromStart: [], afterRestore: ['cycles'] } as const;
    expect(repeats(await run('process', experiment), await run('process', experiment))).toBe(0);
  });

  it.skipIf(!hasAddon)('never repeat: RDRAND (needs the addon)', async () => {
    const experiment = { fromStart: [], afterRestore: ['cpu'] } as const;
    expect(repeats(await run('process', experiment), await run('process', experiment))).toBe(0);
  });
});

describe('with a fixed OS RNG and a clock set back to the same moment', () => {
  it('two starts repeat where nothing else differs: so the experiment can fail', async () => {
    const nothing = { fromStart: [], afterRestore: [] } as const;
    const [one, two] = await Promise.all([run('process', nothing, 1_000), run('thread', nothing, 1_000)]);
    expect(repeats(one, two)).toBe(1_000);
  });

  it.each([
    ['child processes', 'process number', 'process', 'pid'],
    ['worker threads', 'thread number', 'thread', 'thread'],
    ['restarts', 'monotonic clock', 'process', 'monotonic'],
  ] as const)('%s never repeat: %s', async (_, __, where, separator) => {
    const experiment = { fromStart: [separator], afterRestore: [] };
    const made = await Promise.all([run(where, experiment), run(where, experiment), run(where, experiment)]);
    expect(repeats(...made)).toBe(0);
  });

  it('two copies of the library in one thread never repeat: root number', async () => {
    const { blocksOf } = await import('./never-repeat.fixture.js');
    const experiment = { fromStart: ['root'], afterRestore: [], blocks: BLOCKS } as const;
    expect(repeats(blocksOf(experiment), blocksOf(experiment))).toBe(0);
  });
});
