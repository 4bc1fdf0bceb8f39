import { constants } from 'node:fs';
import { join } from 'node:path';
import { encode, hmac, LamplighterError, type Part, wipe } from '@lamplighter/core';
import { replaceDurably } from '../durable-file.js';
import type { Environment } from '../environment.js';
import { type LockFile, openLockFile } from '../lock-file.js';
import type { NativeDoors } from '../native-doors.js';
import { machineMark, sameMachine } from './machine-mark.js';
import { seedKeys, wipeKeys } from './seed-keys.js';
import {
  decodeSeedFile,
  encodeSeedFile,
  SEED_FILE_LENGTH_BYTES,
  type SeedRecord,
  wipeRecord,
} from './seed-record.js';

const FILE_NAME = 'seed';
/** A lock on the seed itself would stay behind on the old file. */
export const SEED_LOCK_NAME = 'seed.lock';
const LOCK_WITHIN_MS = 2_000;

/** One use of the machine seed. */
export interface SeedUse {
  /**
   * Whether the seed was durably rotated first. If not, `degraded` says why, and nothing may be claimed of this use.
   */
  readonly rotated: boolean;
  readonly degraded: LamplighterError | undefined;
  /** The counter of this use: one more than ever before, if rotated. */
  readonly counter: bigint;
  /** When the seed was last changed before, ms since 1970 by this machine's clock. */
  readonly lastChangedMs: number;
  /** Keys the hedge: `use`, or `unrotated`. 64 secret bytes, the caller's to wipe. */
  readonly key: Uint8Array;
  /** Keys the final mix. 64 secret bytes, the caller's to wipe. */
  readonly mixKey: Uint8Array;
}

/** What can be told of a seed without using it. */
export interface SeedFacts {
  readonly path: string;
  readonly counter: bigint;
  readonly lastChangedMs: number;
  /** Why a use of it would be degraded; undefined when none is known. */
  readonly fault: LamplighterError | undefined;
}

/**
 * The machine seed on disk: one secret, used once, replaced before it is used.
 *
 * Source: DESIGN section 7. The order is what makes it safe, whatever is killed or unplugged in between:
 * lock, read, derive, **write counter + 1 and `next` durably**, and only then hand out `use`. A seed that cannot be rotated is
 * handed out as `unrotated`, which is another key, so that no HMAC output of the two can ever agree.
 */
export class SeedStore {
  readonly path: string;
  readonly #folder: string;
  readonly #environment: Environment;
  readonly #native: Pick<NativeDoors, 'lockFile'>;

  /** @param folder - the state folder of an agent or node; made (0700) by {@link SeedStore.create} */
  constructor(folder: string, options: { environment: Environment; native: Pick<NativeDoors, 'lockFile'> }) {
    this.#folder = folder;
    this.path = join(folder, FILE_NAME);
    this.#environment = options.environment;
    this.#native = options.native;
  }

  /**
   * Takes the seed's one use, having rotated it.
   * @throws LamplighterError ERR_SEED_MISSING, ERR_SEED_DAMAGED: there is no seed; everything else is a degraded use
   */
  take(): Promise<SeedUse> {
    return this.#withLock(async (unlocked) => {
      const { record, lastChangedMs, fault } = await this.#read();
      const keys = seedKeys(record.seed);
      try {
        const next: SeedRecord = { ...record, counter: record.counter + 1n, seed: keys.next };
        // A copied image is a reason for alarm, and none to go on using one seed: both copies rotate away from it.
        const mayRotate = unlocked === undefined && fault?.code !== 'ERR_SEED_MODE';
        const unwritten = mayRotate ? await this.#write(next) : undefined;
        const rotated = mayRotate && unwritten === undefined;
        return {
          rotated,
          degraded: unlocked ?? fault ?? unwritten,
          counter: rotated ? next.counter : record.counter,
          lastChangedMs,
          key: Uint8Array.from(rotated ? keys.use : keys.unrotated),
          mixKey: rotated ? Uint8Array.from(keys.mix) : hmac('sha512', keys.unrotated, MIX_LABEL),
        };
      } finally {
        wipeKeys(keys);
        wipeRecord(record);
      }
    });
  }

  /**
   * Folds beacons into the seed: s ← HMAC(s, E("fold", beacons)), durably. On any failure the old s stays.
   * @param beacons - one part a relay, absent ones included; the caller wipes them
   * @throws LamplighterError as {@link SeedStore.take}, and where that would be degraded
   */
  fold(beacons: readonly Part[]): Promise<void> {
    return this.#withLock(async (unlocked) => {
      if (unlocked !== undefined) throw unlocked;
      const { record, fault } = await this.#read();
      const text = encode('fold', beacons);
      const seed = hmac('sha512', record.seed, text);
      try {
        if (fault?.code === 'ERR_SEED_MODE') throw fault;
        const unwritten = await this.#write({ ...record, counter: record.counter + 1n, seed });
        if (unwritten !== undefined) throw unwritten;
      } finally {
        wipe(text, seed);
        wipeRecord(record);
      }
    });
  }

  /**
   * Makes the machine's first seed, or another in its place.
   * @param seed - 64 secret bytes, the caller's to wipe
   * @param options - `replace`: false leaves a seed that is there alone
   * @throws LamplighterError ERR_SEED_EXISTS; ERR_STATE_DIRECTORY, ERR_STATE_FILE when it cannot be written
   */
  async create(seed: Uint8Array, options: { readonly replace: boolean }): Promise<void> {
    const { fs } = this.#environment;
    try {
      await fs.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw new LamplighterError('ERR_STATE_DIRECTORY', `cannot make the folder ${this.#folder}`, {
        hint: 'run as root, or give a folder that can be written to',
        cause,
      });
    }
    await this.#withLock(async (unlocked) => {
      if (unlocked !== undefined) throw unlocked;
      const there = await fs.lstat(this.path).catch(() => undefined);
      if (there !== undefined && !options.replace) {
        throw new LamplighterError('ERR_SEED_EXISTS', `${this.path} is there already`, {
          hint: 'a seed is made once; --replace makes another when this one is lost, copied or known to somebody',
        });
      }
      const machine = await machineMark(this.#environment);
      const unwritten = await this.#write({ counter: 0n, machine, seed });
      if (unwritten !== undefined) {
        throw new LamplighterError('ERR_STATE_FILE', `cannot write ${this.path}`, {
          hint: 'run as root, or give a folder that can be written to',
          cause: unwritten,
        });
      }
    });
  }

  /**
   * Looks at the seed without using it.
   * @throws LamplighterError ERR_SEED_MISSING, ERR_SEED_DAMAGED
   */
  async facts(): Promise<SeedFacts> {
    const { record, lastChangedMs, fault } = await this.#read();
    wipeRecord(record);
    return { path: this.path, counter: record.counter, lastChangedMs, fault };
  }

  async #write(record: SeedRecord): Promise<LamplighterError | undefined> {
    const file = encodeSeedFile(record);
    try {
      await replaceDurably(this.#environment.fs, this.path, file);
      return undefined;
    } catch (cause) {
      return this.#unwritable('rotated', cause);
    } finally {
      wipe(file);
    }
  }

  #unwritable(what: 'locked' | 'rotated', cause: unknown): LamplighterError {
    return new LamplighterError(
      'ERR_SEED_NOT_ROTATED',
      `the machine seed cannot be ${what}: ${reasonIn(cause)}`,
      { hint: `make ${this.#folder} writable, with room on its disk`, cause },
    );
  }

  async #read(): Promise<{ record: SeedRecord; lastChangedMs: number; fault: LamplighterError | undefined }> {
    const file = Buffer.alloc(SEED_FILE_LENGTH_BYTES + 1);
    try {
      const { stat, lengthBytes } = await this.#readInto(file);
      const record = stat.isFile() ? decodeSeedFile(file.subarray(0, lengthBytes)) : 'it is no regular file';
      if (typeof record === 'string') {
        throw new LamplighterError('ERR_SEED_DAMAGED', `the machine seed ${this.path} is lost: ${record}`, {
          hint: 'enrol this machine again, or make a seed with `lamplighter seed create --replace`',
        });
      }
      return { record, lastChangedMs: stat.mtimeMs, fault: await this.#faultOf(record, stat) };
    } finally {
      wipe(file);
    }
  }

  async #readInto(file: Uint8Array) {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    let handle: Awaited<ReturnType<Environment['fs']['open']>>;
    try {
      handle = await this.#environment.fs.open(this.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (cause) {
      throw new LamplighterError('ERR_SEED_MISSING', `there is no machine seed at ${this.path}`, {
        hint: 'enrol this machine, or make one with `lamplighter seed create`',
        cause,
      });
    }
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) return { stat, lengthBytes: 0 };
      const { bytesRead } = await handle.read(file, 0, file.length, 0);
      return { stat, lengthBytes: bytesRead };
    } finally {
      await handle.close();
    }
  }

  async #faultOf(
    record: SeedRecord,
    stat: { mode: number; uid: number },
  ): Promise<LamplighterError | undefined> {
    const mode = stat.mode & 0o777;
    if ((mode & 0o077) !== 0) {
      const octal = mode.toString(8).padStart(4, '0');
      return new LamplighterError('ERR_SEED_MODE', `the machine seed has mode ${octal}: others may know it`, {
        hint: `chmod 0600 ${this.path}; if somebody can have read it, enrol again`,
      });
    }
    if (stat.uid !== process.geteuid?.()) {
      return new LamplighterError('ERR_SEED_MODE', `the machine seed belongs to user ${stat.uid}`, {
        hint: `chown it to the user that runs this; if others can have read it, enrol again`,
      });
    }
    if (!sameMachine(record.machine, await machineMark(this.#environment))) {
      return new LamplighterError('ERR_SEED_COPIED', 'the machine seed was made on another machine', {
        hint: 'this is a copied image: enrol again, or `lamplighter seed create --replace`; seal images before copying',
      });
    }
    return undefined;
  }

  /**
   * Runs what must not run twice at once.
   * @param body - is told why when the lock could not be had
   */
  async #withLock<T>(body: (unlocked: LamplighterError | undefined) => Promise<T>): Promise<T> {
    const doors = { environment: this.#environment, native: this.#native };
    let lock: LockFile;
    try {
      lock = await openLockFile(join(this.#folder, SEED_LOCK_NAME), doors);
    } catch (cause) {
      return await body(this.#unwritable('locked', cause));
    }
    try {
      const tried = await lock.take(LOCK_WITHIN_MS);
      if (!tried.supported) return await body(unlockable(tried.reason));
      return await body(tried.value.locked ? undefined : busy());
    } finally {
      await lock.release();
    }
  }
}

const busy = (): LamplighterError =>
  new LamplighterError('ERR_SEED_BUSY', 'the machine seed cannot be locked: somebody else holds it', {
    hint: 'is another agent or node at work in the same folder',
  });

/** Without a lock two could use one seed, so nobody does. */
const unlockable = (why: string): LamplighterError =>
  new LamplighterError('ERR_HEDGE_OFF', `the machine seed cannot be locked: ${why}`, {
    hint: 'the native addon is needed: see `lamplighter doctor`',
  });

const MIX_LABEL = encode('mix', []);

function reasonIn(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'an unexpected error';
}
