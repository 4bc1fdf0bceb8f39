import { randomInt, randomUUID } from 'node:crypto';
import type { Environment } from './environment.js';
import { jitteredMs } from './jitter.js';
import type { Lamplighter } from './lamplighter.js';
import type { NativeDoors } from './native-doors.js';
import type { ProcessEnvironment } from './process-environment.js';

/** What was done for this process's OpenSSL. Never a secret byte. */
export interface HedgeStatus {
  /** `off`: not started, or stopped. `unhedged`: the last reseed did not happen, `reason` says why. */
  readonly state: 'off' | 'hedged' | 'unhedged';
  readonly reason?: string;
  /** Reseeds that happened. */
  readonly reseeds: number;
  /** Milliseconds since 1970 at the last of them. */
  readonly lastReseedMs?: number;
}

const PERIOD_MS = 300_000;
/** How often a process that does nothing looks whether its VM was cloned; only where the hypervisor tells. */
const WATCH_MS = 1_000;
/** What Node keeps of OpenSSL's output made earlier, as of Node 20 to 24: lib/internal/crypto/random.js. */
const CACHED_UUIDS = 128;
const CACHED_INTEGERS = 1_024;

/**
 * Keeps the OpenSSL of this process mixed with a root of ours, so that Node's own, unmodified crypto and TLS draw from a
 * state that one good source of ours is enough to make unpredictable.
 *
 * Source: DESIGN 6.5 and 7. It only adds: OpenSSL takes fresh bytes of the OS in the same step. After each reseed the
 * values that Node cached before it are drawn and dropped; those of this thread, other threads keep caches of their own
 * (and load this module too, when it came by `--import`). Without the addon it says so and changes nothing.
 */
export class OpensslHedge {
  readonly #lamplighter: Lamplighter;
  readonly #environment: Environment;
  readonly #process: ProcessEnvironment;
  readonly #native: NativeDoors;
  readonly #log: (line: string) => void;
  #status: HedgeStatus = { state: 'off', reseeds: 0 };
  readonly #timers = new Map<'reseed' | 'watch', { cancel(): void }>();

  /** @param options - `log` takes one line for each thing done, for debugging */
  constructor(
    lamplighter: Lamplighter,
    options: {
      environment: Environment;
      process: ProcessEnvironment;
      native: NativeDoors;
      log: (line: string) => void;
    },
  ) {
    this.#lamplighter = lamplighter;
    this.#environment = options.environment;
    this.#process = options.process;
    this.#native = options.native;
    this.#log = options.log;
  }

  /**
   * Reseeds now and, in the main thread, every four to six minutes. OpenSSL's state is one for all threads. Never throws,
   * keeps no process alive.
   */
  start(): void {
    const addon = this.#native.available();
    if (!addon.supported) {
      this.#status = { ...this.#status, state: 'unhedged', reason: addon.reason };
      this.#log(`OpenSSL is not hedged: ${addon.reason}`);
      return;
    }
    this.#reseed();
    if (this.#process.threadId !== 0) return;
    this.#reseedLater();
    if (this.#environment.vmGeneration().supported) this.#watchLater();
  }

  /** Reseeds once more if a source has said something for the first time that was not there at start. */
  heard(): void {
    if (this.#timers.has('reseed') && this.#lamplighter.status().sources.some(({ answers }) => answers > 0)) {
      this.#reseed();
    }
  }

  /** The truth, now. */
  status(): HedgeStatus {
    return this.#status;
  }

  /** Ends the reseeds to come. What is in OpenSSL stays. Idempotent. */
  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#status = { ...this.#status, state: 'off' };
  }

  #reseed(): void {
    const reason = this.#reasonWhyNot();
    const { reseeds } = this.#status;
    if (reason !== undefined) {
      this.#status = { ...this.#status, state: 'unhedged', reason };
      this.#log(`OpenSSL was not reseeded: ${reason}`);
      return;
    }
    this.#status = {
      state: 'hedged',
      reseeds: reseeds + 1,
      lastReseedMs: Number(this.#environment.realtimeNs() / 1_000_000n),
    };
    drainCaches();
    this.#log(
      `OpenSSL reseeded with 64 bytes; ${CACHED_UUIDS} UUIDs and ${CACHED_INTEGERS} integers made before are dropped`,
    );
  }

  #reasonWhyNot(): string | undefined {
    try {
      const done = this.#lamplighter.reseedOpenssl();
      return done.supported ? undefined : done.reason;
    } catch (error) {
      return error instanceof Error ? error.message : 'the root cannot be seeded';
    }
  }

  #reseedLater(): void {
    const again = (): void => {
      this.#reseed();
      this.#reseedLater();
    };
    this.#timers.set('reseed', this.#process.later(jitteredMs(this.#environment, PERIOD_MS), again));
  }

  #watchLater(): void {
    const again = (): void => {
      // The steps of a resume have reseeded OpenSSL; what is left is to drop what Node cached, and to tell.
      if (this.#lamplighter.refresh()) this.#reseed();
      this.#watchLater();
    };
    this.#timers.set('watch', this.#process.later(WATCH_MS, again));
  }
}

function drainCaches(): void {
  for (let drawn = 0; drawn < CACHED_UUIDS; drawn++) randomUUID();
  for (let drawn = 0; drawn < CACHED_INTEGERS; drawn++) randomInt(2);
}
