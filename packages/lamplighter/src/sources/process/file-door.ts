import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';

/**
 * File operations that may never answer hold one of libuv's threads each, four unless told otherwise, and without a
 * free one all file access and asynchronous cryptography of the process stands still. So of all that goes through a
 * door at most this many are under way in one process, whoever asks.
 */
const MAX_UNDER_WAY = 2;

/** Places for operations that may hang. One for the process unless a test brings its own. */
export class FileDoorPlaces {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(places = MAX_UNDER_WAY) {
    this.#free = places;
  }

  /** @returns what gives the place back; rejects with the signal's reason when it fires first */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free === 0) await this.#turn(signal);
    else this.#free -= 1;
    return () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(asError(signal.reason));
      };
      this.#waiting.push(take);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}

const processPlaces = new FileDoorPlaces();

/**
 * The way of one source to files that may be on a dead network share: one operation at a time, and when one does not
 * answer the source goes on without its answer but starts no other before it has come back.
 *
 * Left over, and said: Node cannot end a system call, so a process with one that hangs cannot exit by itself either.
 */
export class FileDoor {
  readonly #own = new FileDoorPlaces(1);
  readonly #places: FileDoorPlaces;
  #busy = false;

  constructor(places: FileDoorPlaces = processPlaces) {
    this.#places = places;
  }

  /** Whether an operation is under way. */
  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Runs one operation, after the one before it.
   * @param operation - has at most one file operation under way at any moment
   * @param signal - gives up waiting; an operation that has begun goes on by itself
   * @param late - takes what the operation gave when nobody waited for it any more: closes what it opened
   * @returns what the operation gave
   * @throws the operation's error; the signal's reason when that fired first
   */
  async run<T>(
    operation: () => Promise<T>,
    signal: AbortSignal,
    late?: (value: T) => Promise<void>,
  ): Promise<T> {
    const leave = await this.#enter(signal);
    if (signal.aborted) {
      leave();
      throw asError(signal.reason);
    }
    return new Promise<T>((resolve, reject) => {
      let waiting = true;
      const giveUp = (): void => {
        waiting = false;
        reject(asError(signal.reason));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      const work = async (): Promise<void> => {
        try {
          const value = await operation();
          if (waiting) resolve(value);
          else await late?.(value);
        } catch (error) {
          // After giving up there is nobody left to tell.
          reject(asError(error));
        } finally {
          signal.removeEventListener('abort', giveUp);
          leave();
        }
      };
      void work();
    });
  }

  /** Waits for the operation under way, if any, but not for long. */
  async settled(environment: Pick<Environment, 'timers'>, withinMs: number): Promise<void> {
    const tired = new AbortController();
    const timer = environment.timers.after(withinMs, () => tired.abort());
    try {
      (await this.#own.take(tired.signal))();
    } catch {
      // It hangs. What can be let go was let go.
    } finally {
      timer.cancel();
    }
  }

  async #enter(signal: AbortSignal): Promise<() => void> {
    const leaveOwn = await this.#own.take(signal);
    try {
      const leavePlaces = await this.#places.take(signal);
      this.#busy = true;
      return () => {
        this.#busy = false;
        leavePlaces();
        leaveOwn();
      };
    } catch (error) {
      leaveOwn();
      throw error;
    }
  }
}

/** Why a look or an attempt ended that got no answer. */
export function noAnswer(shown: string): LamplighterError {
  return new LamplighterError('ERR_DEADLINE', `${shown} does not answer`, {
    hint: 'if it is on a network share, see whether its server is there',
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
