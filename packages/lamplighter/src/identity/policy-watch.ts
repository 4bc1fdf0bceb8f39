import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import type { LamplighterError } from '@lamplighter/core';
import { type Environment, monotonicMs } from '../local/environment.js';
import type { Policy } from './policy.js';
import { codeOf, fault } from './policy-entry.js';
import { PolicyFolder } from './policy-folder.js';

/** What whoever watches a policy is told. */
export interface PolicyListener {
  /** The policy is another one from now on. */
  onPolicy(policy: Policy): void;
  /**
   * What is wrong now with the folder or with files in it; empty when all is well again. The policy told last stays in force.
   * Told only when it changes, but also once at the beginning.
   */
  onFaults(faults: readonly LamplighterError[]): void;
}

/** Where the file system does not tell of a change, somebody looks. */
const LOOK_EVERY_MS = 1_000;
/** Every so many looks everything is listed, whatever the folder's times say. */
const LIST_EVERY = 30;
/** Changes that come one upon another are read together; nothing may keep a node busy with reading. */
const LEAST_GAP_MS = 5;
const MOST_GAP_MS = 50;
/** Files of revocations looked into at a time, after what they say is in force. */
const INSPECT_AT_ONCE = 256;
const DAY_MS = 86_400_000;

/**
 * Follows a folder of policy entries until told to stop. A change is in force some milliseconds after its file's rename.
 *
 * @param path - the folder that holds the entries
 * @param options - `prune`: removes serials whose certificate came to its end more than a day ago. A clock that was set forward
 *   must not do that: it has to say so for a whole day of the monotonic clock
 * @returns resolves when the signal has fired; never rejects
 */
export async function watchPolicy(
  path: string,
  environment: Pick<Environment, 'fs' | 'monotonicNs' | 'realtimeNs' | 'timers'>,
  listener: PolicyListener,
  signal: AbortSignal,
  options: { readonly prune?: boolean } = {},
): Promise<void> {
  const { fs, timers } = environment;
  const folder = new PolicyFolder(fs, path);
  const bell = new Bell(timers, signal);
  const ear = new Ear(path, fs, bell);
  const ended = new EndedEntries();
  let policy: Policy | undefined;
  let told: string | undefined;
  let listed = '';
  let isSettled = false;
  let looks = 0;
  let gapMs = LEAST_GAP_MS;

  function tellFaults(found: readonly LamplighterError[]): void {
    const faults = ear.fault === undefined ? found : [...found, ear.fault];
    const text = faults.map(({ message }) => message).join('\n');
    if (text === told) return;
    told = text;
    listener.onFaults(faults);
  }

  async function look(isRung: boolean): Promise<void> {
    const stat = await fs.stat(path, { bigint: true }).catch(codeOf);
    const stamp = typeof stat === 'string' ? stat : stampOf(stat);
    if (typeof stat !== 'string') ear.listenTo(stat.ino);
    looks += 1;
    const isSame = stamp === listed;
    if (isSame && isSettled && !isRung && looks % LIST_EVERY !== 0) return;
    try {
      const startedMs = monotonicMs(environment);
      const read = await folder.read();
      gapMs = Math.min(Math.max(LEAST_GAP_MS, monotonicMs(environment) - startedMs), MOST_GAP_MS);
      // Two changes within one tick of the file system's clock leave one time: listed once more at the next look.
      isSettled = isSame || isRung;
      listed = stamp;
      if (read !== policy) {
        policy = read;
        listener.onPolicy(read);
      }
      tellFaults(folder.faults);
      while (!bell.isRung && !signal.aborted && (await folder.inspect(INSPECT_AT_ONCE)));
      tellFaults(folder.faults);
    } catch (error) {
      isSettled = false;
      ear.close();
      tellFaults([error as LamplighterError]);
    }
    if (options.prune === true) await prune();
  }

  async function prune(): Promise<void> {
    const files = folder.endedBefore(Number(environment.realtimeNs() / 1_000_000n) - DAY_MS);
    for (const file of ended.forADay(files, monotonicMs(environment))) {
      // Not ours to remove, or gone already: it does no harm.
      await fs.unlink(join(path, file)).catch(() => undefined);
    }
  }

  let isRung = true;
  while (!signal.aborted) {
    bell.reset();
    await look(isRung);
    await bell.pause(gapMs);
    isRung = await bell.heardWithin(LOOK_EVERY_MS);
  }
  ear.close();
}

/** What the file system tells of one folder, for as long as it is the same folder. */
class Ear {
  fault: LamplighterError | undefined;
  readonly #path: string;
  readonly #fs: Environment['fs'];
  readonly #bell: Bell;
  #inode: bigint | undefined;
  #hearing: AbortController | undefined;

  constructor(path: string, fs: Environment['fs'], bell: Bell) {
    this.#path = path;
    this.#fs = fs;
    this.#bell = bell;
  }

  /** Another folder under the same path is listened to anew. */
  listenTo(inode: bigint): void {
    if (inode === this.#inode) return;
    this.close();
    this.#inode = inode;
    this.#hearing = new AbortController();
    void this.#listen(this.#hearing.signal);
  }

  close(): void {
    this.#hearing?.abort();
    this.#inode = undefined;
  }

  async #listen(signal: AbortSignal): Promise<void> {
    try {
      const changes = this.#fs.watch(this.#path, { signal, persistent: false });
      this.fault = undefined;
      for await (const _change of changes) this.#bell.ring();
    } catch (error) {
      if (signal.aborted) return;
      this.fault = fault(
        this.#path,
        `changes without being told of (${codeOf(error)}): looked at every second`,
      );
    }
    // Tried again at the next look.
    if (!signal.aborted) this.#inode = undefined;
  }
}

/** Something happened: heard at once, or when next asked. */
class Bell {
  isRung = false;
  readonly #timers: Environment['timers'];
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;

  constructor(timers: Environment['timers'], signal: AbortSignal) {
    this.#timers = timers;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  ring(): void {
    this.isRung = true;
    this.#wake?.();
  }

  reset(): void {
    this.isRung = false;
  }

  /** @returns whether it was rung since it was reset, as soon as it is, or after a time */
  async heardWithin(withinMs: number): Promise<boolean> {
    if (!this.isRung && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = this.#timers.after(withinMs, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
    return this.isRung;
  }

  /** A pause that only the signal ends. */
  async pause(delayMs: number): Promise<void> {
    await this.#timers.sleep(delayMs, this.#signal).catch(() => undefined);
  }
}

/** How long each entry has been found to be of no use, by a clock that nobody sets. */
class EndedEntries {
  #since = new Map<string, number>();

  /** @returns those that were among `files` at every call for a day */
  forADay(files: readonly string[], nowMs: number): string[] {
    this.#since = new Map(files.map((file) => [file, this.#since.get(file) ?? nowMs]));
    return files.filter((file) => nowMs - (this.#since.get(file) ?? nowMs) >= DAY_MS);
  }
}

const stampOf = ({ ino, mtimeNs, ctimeNs }: BigIntStats): string => `${ino} ${mtimeNs} ${ctimeNs}`;
