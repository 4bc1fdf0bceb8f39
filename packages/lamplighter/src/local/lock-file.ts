import { constants } from 'node:fs';
import type { Ability } from './ability.js';
import type { Environment } from './environment.js';
import type { NativeDoors } from './native-doors.js';

const LOOK_EVERY_MS = 10;

/** A file that stands for what only one process may do at a time. It is never renamed: a lock would stay on the old one. */
export interface LockFile {
  /**
   * Takes the lock, or looks for it again until `withinMs` are over.
   * @returns whether this process has it; unsupported without the addon, and where a file system has no locks
   */
  take(withinMs: number): Promise<Ability<{ readonly locked: boolean }>>;
  /** Closes the file, which also unlocks it. */
  release(): Promise<void>;
}

/**
 * Opens a lock, and makes the file, 0600, where there is none. Nothing is held yet.
 * @throws Error from the file system
 */
export async function openLockFile(
  path: string,
  { environment, native }: { environment: Environment; native: Pick<NativeDoors, 'lockFile'> },
): Promise<LockFile> {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const file = await environment.fs.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  return {
    async take(withinMs) {
      const untilNs = environment.monotonicNs() + BigInt(withinMs) * 1_000_000n;
      for (;;) {
        const tried = native.lockFile(file.fd, { exclusive: true });
        if (!tried.supported || tried.value.locked || environment.monotonicNs() >= untilNs) return tried;
        await environment.timers.sleep(LOOK_EVERY_MS);
      }
    },
    release: () => file.close(),
  };
}
