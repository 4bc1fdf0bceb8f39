import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { type Ability, able } from './ability.js';
import { type Environment, systemEnvironment } from './environment.js';
import { fixedEnvironment } from './fixed-environment.fixture.js';
import { fixedProcess, notingNative } from './fixed-process.fixture.js';
import { Lamplighter } from './lamplighter.js';
import { systemProcess } from './process-environment.js';

/** Something that may tell two copies from each other. */
export type Separator = 'monotonic' | 'cycles' | 'cpu' | 'pid' | 'thread' | 'root' | 'os';

/** What a process or thread of this experiment does. */
export interface Experiment {
  /** What is this machine's own from the very start; all else is the same in every copy. */
  readonly fromStart: readonly Separator[];
  /** What becomes this machine's own once the state is there: after the restore. */
  readonly afterRestore: readonly Separator[];
  /** The VM generation after the restore; 0 before it. */
  readonly generation?: number;
  /** Whether `resume()` is called after the restore. */
  readonly resume?: boolean;
  readonly blocks: number;
}

const BLOCK_BYTES = 16;

/**
 * Makes 16-byte blocks with the library on a machine of which everything is fixed that the experiment does not name.
 *
 * The state at the restore is that of a root seeded from these fixed values and read once, so it is bit for bit the same in
 * every process that runs this: restoring a serialised state, with the inputs that made it for its serialisation.
 */
export function blocksOf(experiment: Experiment): Uint8Array<ArrayBuffer> {
  let restored = false;
  const isOwn = (separator: Separator): boolean =>
    experiment.fromStart.includes(separator) || (restored && experiment.afterRestore.includes(separator));

  const system = systemEnvironment();
  const fixed = fixedEnvironment();
  const process = systemProcess();
  const still = fixedProcess(fixed);
  const environment: Environment = {
    ...fixed,
    monotonicNs: () => (isOwn('monotonic') ? system.monotonicNs() : fixed.monotonicNs()),
    // Set back to the same moment in every copy.
    realtimeNs: () => 1_700_000_000_000_000_000n,
    cycleCounter: () => (isOwn('cycles') ? system.cycleCounter() : able(1n)),
    cpuRandom: (lengthBytes, use) =>
      isOwn('cpu') ? system.cpuRandom(lengthBytes, use) : able(new Uint8Array(lengthBytes)),
    osRandom: (lengthBytes) => (isOwn('os') ? system.osRandom(lengthBytes) : fixed.osRandom(lengthBytes)),
    vmGeneration: (): Ability<Uint8Array> => able(Uint8Array.of(restored ? (experiment.generation ?? 0) : 0)),
  };
  const lamplighter = Lamplighter.create({
    environment,
    process: {
      ...still,
      bootTimeNs: () => able(environment.monotonicNs()),
      pid: () => (isOwn('pid') ? process.pid() : 1),
      threadId: isOwn('thread') ? process.threadId : 0,
      nextRoot: () => (isOwn('root') ? process.nextRoot() : 1),
    },
    native: notingNative(),
  });

  lamplighter.randomBytes(BLOCK_BYTES);
  restored = true;
  // What was made ahead before the restore is gone, as it is after 1 ms: a snapshot inside it can repeat (DESIGN 6.4).
  still.endTurn();
  fixed.advance(2);
  if (experiment.resume === true) lamplighter.resume();
  const blocks = new Uint8Array(experiment.blocks * BLOCK_BYTES);
  for (let at = 0; at < blocks.length; at += BLOCK_BYTES) {
    lamplighter.getRandomValues(blocks.subarray(at, at + BLOCK_BYTES));
  }
  return blocks;
}

// As a process: the experiment as JSON in the first argument, the blocks on stdout. As a thread: workerData and a message.
const [, , json] = process.argv;
if (!isMainThread) {
  const blocks = blocksOf(workerData as Experiment);
  parentPort?.postMessage(blocks, [blocks.buffer]);
} else if (json?.startsWith('{') === true) {
  process.stdout.write(blocksOf(JSON.parse(json) as Experiment));
}
