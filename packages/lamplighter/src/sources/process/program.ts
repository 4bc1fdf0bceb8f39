import { Complaint } from './complaint.js';
import type { Attempt } from './attempt.js';
import { hearStream } from './hearing.js';
import { startLeashed } from './leashed-child.js';
import { Pace } from './pace.js';

/** Nobody needs more of a program's stderr, and one that writes more waits, like every other writer. */
const STDERR_BYTES_PER_SECOND = 65_536;

/**
 * Hears a program's stdout until the program is gone.
 *
 * @returns `how` it ended; `heardBytes`; `said`: what of its stderr may be shown, see {@link Complaint}
 * @throws LamplighterError ERR_CHILD_FAILED when it cannot be started; the signal's reason once the program is gone
 */
export async function hearProgram(
  program: string,
  args: readonly string[],
  { hear, signal, environment }: Attempt,
): Promise<{ how: string; heardBytes: number; said: string }> {
  const child = await startLeashed(program, args, { signal }, environment);
  const complaint = new Complaint();
  const pace = new Pace(STDERR_BYTES_PER_SECOND, environment);
  let heardBytes = 0;
  const heard = hearStream(
    child.stdout,
    (bytes) => {
      heardBytes += bytes.length;
      return hear(bytes);
    },
    signal,
    environment,
  );
  const complained = hearStream(
    child.stderr,
    (bytes) => {
      complaint.add(bytes);
      return pace.pauseMs(bytes.length);
    },
    signal,
    environment,
  );
  // A pipe that breaks says less than how the program ended.
  await Promise.allSettled([heard, complained]);
  const how = await child.over;
  signal.throwIfAborted();
  return { how, heardBytes, said: complaint.shown(heardBytes) };
}
