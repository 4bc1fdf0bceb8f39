import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { isFull, needs } from '../packages/lamplighter/dist/needs.fixture.js';

/*
 * A smoke test and nothing more: output of any good cipher passes, however well its key is known. What it would catch is a
 * counter that stands still, a buffer served twice or zeroed too early.
 */

const core = fileURLToPath(new URL('../packages/core/dist/index.js', import.meta.url));
const library = fileURLToPath(new URL('../packages/lamplighter/dist/index.js', import.meta.url));

/** Programs that write output for ever, until their reader is gone. Each with sizes that cross its own borders. */
const STREAMS = {
  generator: `
    import { FortunaGenerator } from '${core}';
    const generator = new FortunaGenerator({ shad256: 'book' });
    generator.reseed(Buffer.from('a seed that everybody knows'));
    const make = (i) => generator.generate([16, 1_000, 65_536, 1_000_000][i % 4]);`,
  library: `
    import { randomBytes } from '${library}';
    const make = (i) => randomBytes([1, 7, 16, 100, 4_096, 5_000, 70_000, 1_000_000][i % 8]);`,
};

const WRITER = `
  process.stdout.on('error', () => process.exit(0));
  let i = 0;
  const write = () => {
    while (process.stdout.write(make(i++)));
    process.stdout.once('drain', write);
  };
  write();`;

/** Pipes a stream into a program until that ends. @returns what it said on both outputs */
async function test(stream: keyof typeof STREAMS, program: string, args: readonly string[]): Promise<string> {
  const writer = spawn(process.execPath, ['--input-type=module', '-e', STREAMS[stream] + WRITER], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const reader = spawn(program, args, { stdio: [writer.stdout, 'pipe', 'pipe'] });
  writer.stdout.destroy();
  let said = '';
  for (const output of [reader.stdout, reader.stderr]) {
    output.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  await closed(reader);
  await closed(writer);
  return said;
}

const closed = (child: ChildProcess): Promise<unknown> =>
  child.exitCode === null ? new Promise((resolve) => child.once('close', resolve)) : Promise.resolve();

const streams = Object.keys(STREAMS) as (keyof typeof STREAMS)[];

needs('rngtest')('FIPS 140-2 by rngtest', () => {
  const blocks = isFull ? 100_000 : 2_000;

  it.each(streams)(
    'finds no more failures in the %s than chance has',
    { timeout: 300_000 },
    async (stream) => {
      const said = await test(stream, 'rngtest', ['-c', String(blocks)]);
      expect(said).toContain(`FIPS 140-2 successes: `);
      const failures = Number(/FIPS 140-2 failures: (\d+)/.exec(said)?.[1]);
      // Ideal output fails 0.08 % of the blocks; six standard deviations beyond that.
      const expected = blocks * 0.0008;
      expect(failures).toBeLessThan(expected + 6 * Math.sqrt(expected) + 1);
    },
  );
});

describe.runIf(isFull)('in full', () => {
  // Those of dieharder's own and of the diehard tests that its manual does not call suspect; those over tuples need to be
  // told their length (without one, 201 fails /dev/urandom as well).
  const TESTS = '0,1,2,3,4,8,9,10,11,12,13,15,16,17,100,101,102,200 -n 3,201 -n 2,202,204,206'.split(',');

  needs('dieharder')('dieharder', () => {
    for (const stream of streams) {
      it.each(TESTS)(`-d %s does not fail the ${stream}`, { timeout: 1_200_000 }, async (chosen) => {
        // From a pipe: a file would be rewound, and then it repeats.
        const said = await test(stream, 'dieharder', ['-g', '200', '-d', ...chosen.split(' ')]);
        expect(said).toMatch(/PASSED|WEAK/);
        // FAILED means p below 10^-6; one in a million runs of a good generator.
        expect(said).not.toContain('FAILED');
      });
    }
  });
});
