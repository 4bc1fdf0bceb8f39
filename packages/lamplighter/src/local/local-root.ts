import { Accumulator, LamplighterError, type Part, wipe } from '@lamplighter/core';
import { type Ability, able, unable } from './ability.js';
import type { BufferedRoot } from './buffered-stream.js';
import { CloneDetector, type CloneSign } from './clone-detector.js';
import type { Environment } from './environment.js';
import { LocalSamples } from './local-samples.js';
import type { NativeDoors } from './native-doors.js';
import { type LibrarySource, OwnSources, type OwnSourceStatus } from './own-sources.js';
import type { ProcessEnvironment } from './process-environment.js';
import { type ResumeReport, resumeSteps, type ResumeSteps } from './resume.js';
import { separators } from './separators.js';
import { whirlwind } from './whirlwind.js';

/** Steps of resume that this package cannot do by itself; those left out are reported as undone. */
export type OwnSteps = Partial<
  Pick<ResumeSteps, 'destroyConnections' | 'hostEntropy' | 'rotateSeed' | 'fetchBeacons'>
>;

/** What the root is made of. */
export interface LocalRootOptions {
  readonly environment: Environment;
  readonly process: ProcessEnvironment;
  readonly native: NativeDoors;
  readonly sources?: readonly LibrarySource[];
  readonly steps?: OwnSteps;
}

/** The numbers under which the accumulator knows the sources. Own sources follow. */
const SOURCE = { os: 0, cpu: 1, timing: 2, whirlwind: 3, own: 16 } as const;
const KERNEL_BYTES = 32;
const OPENSSL_BYTES = 64;

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
  readonly #process: ProcessEnvironment;
  readonly #native: NativeDoors;
  readonly #steps: OwnSteps;
  readonly #samples: LocalSamples;
  readonly #own: OwnSources;
  readonly #accumulator: Accumulator;
  readonly #rootNumber: number;
  readonly #wipers = new Set<() => void>();
  readonly #timing = new Uint8Array(TIMING_EVENT_BYTES);
  #moments = 0;
  #listenedNs = 0n;
  /** Whether something may be due that was not when last asked: asking costs as much as all else a refill asks. */
  #heard = false;
  /** Undefined until seeded. */
  #detector: CloneDetector | undefined;
  #number = 0;
  #lastResume: ResumeReport | undefined;

  constructor(options: LocalRootOptions) {
    const { environment } = options;
    this.#environment = environment;
    this.#process = options.process;
    this.#native = options.native;
    this.#steps = options.steps ?? {};
    this.#samples = new LocalSamples(environment);
    this.#rootNumber = this.#process.nextRoot();
    this.#accumulator = new Accumulator({
      schedule: 'improved',
      monotonicMs: () => Number(environment.monotonicNs()) / 1_000_000,
    });
    this.#own = new OwnSources(options.sources ?? [], ({ index, name, bytes, first }) => {
      // Part of the first seeding, come late. Once a source: later answers past the pools would be the premature reseed that
      // Fortuna exists to prevent.
      if (first && this.seeded) this.#accumulator.reseedDirect('seed', [{ label: `process/${name}`, bytes }]);
      this.#add(SOURCE.own + index, bytes);
      wipe(bytes);
    });
  }

  get seeded(): boolean {
    return this.#accumulator.seeded;
  }

  get generation(): number {
    return this.#accumulator.generation;
  }

  get number(): number {
    return this.#number;
  }

  get directReseeds(): number {
    return this.#accumulator.directReseedCount;
  }

  get lastResume(): ResumeReport | undefined {
    return this.#lastResume;
  }

  get osFailure(): string | undefined {
    return this.#samples.osFailure;
  }

  ownSources(): readonly OwnSourceStatus[] {
    return this.#own.status();
  }

  /** @param wipeMadeAhead - called in step 1 of every resume */
  onWipe(wipeMadeAhead: () => void): void {
    this.#wipers.add(wipeMadeAhead);
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
    this.#detector ??= this.#seed();
    const nowNs = this.#environment.monotonicNs();
    const sign = this.#detector.look(nowNs);
    if (sign !== undefined) this.#resume(sign, this.#detector);
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
    this.#detector ??= this.#seed();
    return this.#resume('resume', this.#detector);
  }

  /**
   * Mixes 64 root bytes into this process's OpenSSL, after the root was brought up to date.
   * @throws LamplighterError ERR_OS_RNG when it is not seeded and cannot be
   */
  reseedOpenssl(): Ability<unknown> {
    this.reseedIfDue();
    return this.#reseedOpenssl();
  }

  /** Wipes everything; later calls throw. */
  destroy(): void {
    this.#accumulator.destroy();
    this.#timing.fill(0);
  }

  #seed(): CloneDetector {
    const own = this.#own.ask();
    const burst = whirlwind(this.#environment);
    const cpu = this.#samples.cpu('seed');
    const os = this.#samples.os();
    this.#accumulator.reseedDirect('seed', [
      ...separators(this.#environment, this.#process, this.#rootNumber),
      ...own,
      { label: 'whirlwind', bytes: burst },
      { label: 'cpu', bytes: cpu },
      { label: 'os', bytes: os },
    ]);
    wipe(burst, cpu, os, ...own.map(({ bytes }) => bytes));
    this.#listenedNs = this.#environment.monotonicNs();
    return new CloneDetector(this.#environment, this.#process);
  }

  #resume(sign: CloneSign, detector: CloneDetector): ResumeReport {
    const missing = (what: string) => () => unable(`there is no ${what}`);
    this.#lastResume = resumeSteps(sign, {
      destroyConnections: this.#steps.destroyConnections ?? missing('list of connections'),
      wipeMadeAhead: () => {
        this.#number += 1;
        for (const wipeMadeAhead of this.#wipers) wipeMadeAhead();
        return able(true);
      },
      burst: () => this.#burst(),
      hostEntropy: () => this.#hostEntropy(),
      reseedKernel: () => this.#reseedKernel(),
      readOs: () => {
        this.#bypass([{ label: 'os', bytes: this.#samples.os(), source: SOURCE.os }]);
        return able(true);
      },
      reseedOpenssl: () => this.#reseedOpenssl(),
      rotateSeed: this.#steps.rotateSeed ?? missing('machine seed'),
      fetchBeacons: this.#steps.fetchBeacons ?? missing('relay'),
    });
    this.#accumulator.rekeySchedule();
    detector.settle(sign);
    return this.#lastResume;
  }

  #burst(): Ability<unknown> {
    this.#bypass([
      ...separators(this.#environment, this.#process, this.#rootNumber),
      { label: 'whirlwind', bytes: whirlwind(this.#environment), source: SOURCE.whirlwind },
      { label: 'cpu', bytes: this.#samples.cpu('seed'), source: SOURCE.cpu },
    ]);
    return able(true);
  }

  #hostEntropy(): Ability<unknown> {
    const own = this.#own.ask();
    if (own.some(({ bytes }) => bytes !== undefined)) {
      this.#bypass(own.map((part) => ({ ...part, source: SOURCE.own + this.#own.indexOf(part.label) })));
    }
    return this.#steps.hostEntropy?.() ?? unable('there is no host channel, and /dev/hwrng is not read');
  }

  #reseedKernel(): Ability<unknown> {
    const derived = this.#accumulator.generate(KERNEL_BYTES);
    try {
      const added = this.#native.addEntropy(derived, 0);
      return added.supported ? this.#native.reseedKernel() : added;
    } finally {
      wipe(derived);
    }
  }

  #reseedOpenssl(): Ability<unknown> {
    const bytes = this.#accumulator.generate(OPENSSL_BYTES);
    try {
      return this.#native.reseedOpenssl(bytes);
    } finally {
      wipe(bytes);
    }
  }

  /** Straight into the root, and what has a source also into its pools (DESIGN 6.3). Wipes the bytes. */
  #bypass(parts: readonly (Part & { readonly source?: number })[]): void {
    this.#accumulator.reseedDirect('resume', parts);
    for (const { bytes, source } of parts) {
      if (bytes !== undefined && source !== undefined) this.#add(source, bytes);
      wipe(bytes);
    }
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
