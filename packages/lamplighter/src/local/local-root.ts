import { Accumulator, LamplighterError, type Part, wipe } from '@lamplighter/core';
import { type Ability, unable } from './ability.js';
import type { BufferedRoot } from './buffered-stream.js';
import { type Environment, monotonicMs } from './environment.js';
import { LocalSamples } from './local-samples.js';
import type { NativeDoors } from './native-doors.js';
import { type LibrarySource, OwnSources, type OwnSourceStatus } from './own-sources.js';
import type { ProcessEnvironment } from './process-environment.js';
import type { ResumeReport } from './resume.js';
import { type OwnSteps, WatchedRoot } from './watched-root.js';
import { whirlwind } from './whirlwind.js';

/** What the root is made of. */
export interface LocalRootOptions {
  readonly environment: Environment;
  readonly process: ProcessEnvironment;
  readonly native: NativeDoors;
  readonly sources?: readonly LibrarySource[];
  readonly steps?: OwnSteps;
}

/** The numbers under which the accumulator knows the sources. Own sources follow. */
const SOURCE = { os: 0, cpu: 1, timing: 2, whirlwind: 3, hwrng: 4, own: 16 } as const;
// Implementation constants: what is heard while the library is used, so that the cost stays bounded and no timer is needed.
/** Refills whose moments make one timing event. */
const TIMING_EVENT_BYTES = 32;
const LISTEN_EVERY_NS = 1_000_000_000n;

/**
 * The root behind the library: seeded synchronously at first use, fed and watched whenever it is used.
 *
 * Source: DESIGN 2 ("the library seeds synchronously at first use from os, cpu, timing"), 6.3, 6.4.
 * Nobody waits for it and it holds no timer: everything it does, it does when a stream refills.
 * - First seeding takes, in this order: own sources, a Whirlwind burst, CPU, OS. Without 32 bytes of the OS there is none.
 * - At every refill: the clone detector; one byte of timing.
 * - At the first refill after a second: own sources, CPU and OS, as events.
 */
export class LocalRoot implements BufferedRoot {
  readonly #environment: Environment;
  readonly #samples: LocalSamples;
  readonly #own: OwnSources;
  readonly #accumulator: Accumulator;
  readonly #watched: WatchedRoot;
  readonly #timing = new Uint8Array(TIMING_EVENT_BYTES);
  #moments = 0;
  #listenedNs = 0n;
  /** Whether something may be due that was not when last asked: asking costs as much as all else a refill asks. */
  #heard = false;

  constructor(options: LocalRootOptions) {
    const { environment, process, native, steps = {} } = options;
    this.#environment = environment;
    this.#samples = new LocalSamples(environment);
    this.#accumulator = new Accumulator({
      schedule: 'improved',
      monotonicMs: () => monotonicMs(environment),
    });
    this.#own = new OwnSources(options.sources ?? [], ({ index, name, bytes, first }) => {
      // Part of the first seeding, come late. Once a source: later answers past the pools would be the premature reseed that
      // Fortuna exists to prevent.
      if (first && this.seeded) this.#accumulator.reseedDirect('seed', [{ label: `process/${name}`, bytes }]);
      this.#add(SOURCE.own + index, bytes);
      wipe(bytes);
    });
    this.#watched = new WatchedRoot({
      accumulator: this.#accumulator,
      environment,
      process,
      native,
      samples: this.#samples,
      steps: { ...steps, hostEntropy: () => this.#hostEntropy(steps.hostEntropy) },
      hear: (sample, bytes) => this.#add(SOURCE[sample], bytes),
    });
  }

  get seeded(): boolean {
    return this.#accumulator.seeded;
  }

  get generation(): number {
    return this.#accumulator.generation;
  }

  get number(): number {
    return this.#watched.number;
  }

  get directReseeds(): number {
    return this.#accumulator.directReseedCount;
  }

  get lastResume(): ResumeReport | undefined {
    return this.#watched.lastResume;
  }

  get osFailure(): string | undefined {
    return this.#samples.osFailure;
  }

  ownSources(): readonly OwnSourceStatus[] {
    return this.#own.status();
  }

  /** @param wipeMadeAhead - called in step 1 of every resume */
  onWipe(wipeMadeAhead: () => void): void {
    this.#watched.onWipe(wipeMadeAhead);
  }

  /** Asks own sources before first use, so that those which need time can be part of the first seeding. */
  async askOwnSources(): Promise<void> {
    this.#addOwn(this.#own.ask());
    await this.#own.settled();
  }

  /**
   * Seeds if that has not happened, looks for clones, hears what is due, drains what is due.
   * @throws LamplighterError ERR_OS_RNG when it is not seeded and the OS RNG cannot be read; asked again next time
   */
  reseedIfDue(): void {
    if (!this.seeded) this.#seed();
    const nowNs = this.#environment.monotonicNs();
    this.#watched.look(nowNs);
    this.#listen(nowNs);
    if (!this.#heard) return;
    this.#heard = false;
    this.#accumulator.reseedIfDue();
  }

  /** @throws LamplighterError ERR_NOT_SEEDED before `reseedIfDue` */
  generate(lengthBytes: number): Uint8Array {
    return this.#accumulator.generate(lengthBytes);
  }

  /**
   * Tells that this process may be a copy, or that its machine was put aside: all five steps, now.
   * @throws LamplighterError ERR_OS_RNG when it is not seeded and cannot be
   */
  resume(): ResumeReport {
    if (!this.seeded) this.#seed();
    return this.#watched.resume('resume');
  }

  /**
   * Mixes 64 root bytes into this process's OpenSSL, after the root was brought up to date.
   * @throws LamplighterError ERR_OS_RNG when it is not seeded and cannot be
   */
  reseedOpenssl(): Ability<unknown> {
    this.reseedIfDue();
    return this.#watched.reseedOpenssl();
  }

  /** Wipes everything; later calls throw. */
  destroy(): void {
    this.#accumulator.destroy();
    this.#timing.fill(0);
  }

  #seed(): void {
    const own = this.#own.ask();
    const burst = whirlwind(this.#environment);
    const cpu = this.#samples.cpu('seed');
    const os = this.#samples.os();
    this.#accumulator.reseedDirect('seed', [
      ...this.#watched.separators(),
      ...own,
      { label: 'whirlwind', bytes: burst },
      { label: 'cpu', bytes: cpu },
      { label: 'os', bytes: os },
    ]);
    wipe(burst, cpu, os, ...own.map(({ bytes }) => bytes));
    this.#listenedNs = this.#environment.monotonicNs();
    this.#watched.watch();
  }

  /** Own sources are asked again, and what they give at once goes straight into the root, also into their pools. */
  #hostEntropy(more: OwnSteps['hostEntropy']): Ability<unknown> {
    const own = this.#own.ask();
    if (own.some(({ bytes }) => bytes !== undefined)) this.#accumulator.reseedDirect('resume', own);
    this.#addOwn(own);
    return more?.() ?? unable('there is no host channel, and /dev/hwrng is not read');
  }

  #listen(nowNs: bigint): void {
    this.#timing[this.#moments] = Number(BigInt.asUintN(8, nowNs));
    this.#moments += 1;
    if (this.#moments === TIMING_EVENT_BYTES) {
      this.#moments = 0;
      this.#add(SOURCE.timing, this.#timing);
    }
    if (BigInt.asUintN(64, nowNs - this.#listenedNs) < LISTEN_EVERY_NS) return;
    this.#listenedNs = nowNs;
    this.#addOwn(this.#own.ask());
    const cpu = this.#samples.cpu('separator');
    if (cpu !== undefined) this.#add(SOURCE.cpu, cpu);
    try {
      const os = this.#samples.os();
      this.#add(SOURCE.os, os);
      wipe(cpu, os);
    } catch (error) {
      // Seeded once, it goes on: the failure is named in status, and the other sources carry on.
      if (!(error instanceof LamplighterError)) throw error;
    }
  }

  #addOwn(parts: readonly Part[]): void {
    for (const { label, bytes } of parts) {
      if (bytes === undefined) continue;
      this.#add(SOURCE.own + this.#own.indexOf(label), bytes);
      wipe(bytes);
    }
  }

  #add(source: number, event: Uint8Array): void {
    this.#accumulator.add(source, event);
    this.#heard = true;
  }
}
