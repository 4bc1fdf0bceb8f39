import type { Environment } from '../local/environment.js';

const PAGE_LENGTH_BYTES = 4_096;
/** How long a read may take before it counts as stalled, and how long `stop` waits for it. */
const DEADLINE_MS = 5_000;
const STOP_WAIT_MS = 1_000;

/** Small reads of one file, now and then, for the sake of the moments at which they are over. */
export interface DiskCompletions {
  status(): { readonly completions: number; readonly failures: number; readonly stalled: boolean };
  /** No more reads; waits for the one under way, for at most 1 s. */
  stop(): Promise<void>;
}

/**
 * Reads one byte from a random page of a file every `periodMs` and tells when each read is over.
 *
 * Pages that are not in memory come from the disk; for the others the moment is that of a thread's turn. Only one read is under way
 * at a time, so a file system that hangs costs one of libuv's threads, not all four; it is named `stalled` after 5 s, and
 * asked again when it has answered. Cost: some 0.2 ms of CPU a read, nearly all of it on libuv's threads.
 * @param file - a regular file that nobody removes; this program's own executable unless told
 * @param onCompletion - called once a read that succeeded
 */
export function diskCompletions(
  { periodMs, file = process.execPath }: { readonly periodMs: number; readonly file?: string },
  environment: Pick<Environment, 'fs' | 'runtimeRandom' | 'timers'>,
  onCompletion: () => void,
): DiskCompletions {
  let completions = 0;
  let failures = 0;
  let stalled = false;
  let isStopped = false;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const deadline = environment.timers.after(DEADLINE_MS, () => (stalled = true));
    try {
      await readOneByte(file, environment);
      if (isStopped) return;
      completions += 1;
      onCompletion();
    } catch {
      failures += 1;
    } finally {
      deadline.cancel();
      stalled = false;
      reading = undefined;
    }
  }

  const timer = environment.timers.every(periodMs, () => void (reading ??= read()));
  return {
    status: () => ({ completions, failures, stalled }),
    async stop() {
      isStopped = true;
      timer.cancel();
      if (reading === undefined) return;
      let wait: { cancel(): void } | undefined;
      const waited = new Promise<void>((resolve) => {
        wait = environment.timers.after(STOP_WAIT_MS, resolve);
      });
      await Promise.race([reading, waited]);
      wait?.cancel();
    },
  };
}

async function readOneByte(
  file: string,
  environment: Pick<Environment, 'fs' | 'runtimeRandom'>,
): Promise<void> {
  const handle = await environment.fs.open(file, 'r');
  try {
    const { size } = await handle.stat();
    const random = environment.runtimeRandom(4);
    const page = new DataView(random.buffer, random.byteOffset, 4).getUint32(0);
    const position = (page * PAGE_LENGTH_BYTES) % Math.max(1, size);
    await handle.read(new Uint8Array(1), 0, 1, position);
  } finally {
    await handle.close();
  }
}
