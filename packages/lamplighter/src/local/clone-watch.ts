import type { Accumulator } from '@lamplighter/core';
import { able } from './ability.js';
import type { Environment } from './environment.js';
import { LocalSamples } from './local-samples.js';
import type { NativeDoors } from './native-doors.js';
import type { CloneSign } from './clone-detector.js';
import type { ProcessEnvironment } from './process-environment.js';
import { RestoreWatch } from './restore-watch.js';
import type { ResumeReport, ResumeStatus } from './resume.js';
import { WatchedRoot } from './watched-root.js';

/** Nothing is given out without a look before it; this is for who is asked nothing. */
const LOOK_EVERY_MS = 250;

/** What a watch needs to know of the program it is in. */
export interface CloneWatchOptions {
  readonly accumulator: Accumulator;
  readonly environment: Environment;
  readonly process: ProcessEnvironment;
  readonly native: NativeDoors;
  /** Adds to the pools. */
  readonly hear: (bytes: Uint8Array) => void;
  /** Destroys every connection, in and out, without another byte. */
  readonly cut: () => number;
  /** Replaces the machine seed: begun when this returns. */
  readonly rotateSeed: () => void;
  /** Asks every relay for a beacon: begun when this returns. */
  readonly fetchBeacons: () => void;
  readonly onResume: (status: ResumeStatus) => void;
}

/**
 * Watches whether the machine this runs on was cloned, restored or asleep, and does the five steps.
 *
 * Source: DESIGN 6.4. Looked at before every byte of output, every request answered and every connection made, and four
 * times a second besides.
 */
export class CloneWatch {
  /** What streams are keyed from. */
  readonly root: WatchedRoot;
  readonly #environment: Environment;
  readonly #onResume: CloneWatchOptions['onResume'];
  readonly #restores: RestoreWatch;
  #timer: { cancel(): void } | undefined;
  #status: ResumeStatus | undefined;

  constructor(options: CloneWatchOptions) {
    const { environment, cut, rotateSeed, fetchBeacons, hear } = options;
    this.#environment = environment;
    this.#onResume = options.onResume;
    this.#restores = new RestoreWatch({ environment, onSign: (sign) => this.resume(sign) });
    this.root = new WatchedRoot({
      accumulator: options.accumulator,
      environment,
      process: options.process,
      native: options.native,
      samples: new LocalSamples(environment),
      steps: {
        destroyConnections: () => able(cut()),
        rotateSeed: () => able(rotateSeed()),
        fetchBeacons: () => able(fetchBeacons()),
      },
      hear: (_sample, bytes) => hear(bytes),
      onResume: (report) => this.#note(report),
    });
  }

  /** The last resume, and how many there were; undefined when there was none. */
  get status(): ResumeStatus | undefined {
    return this.#status;
  }

  /** Watches from now on: to be called right after the first seeding. */
  start(): void {
    this.root.watch();
    this.#timer = this.#environment.timers.every(LOOK_EVERY_MS, () => this.look());
    void this.#restores.start();
  }

  /** Looks, and does the steps if there is a sign. Cost: 0.3 µs. */
  look(): void {
    this.root.look();
  }

  /**
   * All five steps, now: somebody says that this machine was resumed.
   * @param sign - who
   * @throws LamplighterError ERR_NOT_SEEDED before the first seeding; nothing was done
   */
  resume(sign: CloneSign = 'resume'): void {
    this.root.resume(sign);
  }

  /** Resolves when nothing is looked at any more. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#restores.stop();
  }

  #note({ sign, os, steps }: ResumeReport): void {
    this.#status = {
      count: this.root.number,
      at: new Date(Number(this.#environment.realtimeNs() / 1_000_000n)).toISOString(),
      sign,
      os,
      undone: steps.flatMap(({ name, undone }) =>
        undone === undefined ? [] : [{ step: name, reason: undone }],
      ),
    };
    this.#onResume(this.#status);
  }
}
