import { type Accumulator, LamplighterError, type Part, wipe } from '@lamplighter/core';
import { type Ability, able, unable } from './ability.js';
import type { BufferedRoot } from './buffered-stream.js';
import { CloneDetector, type CloneSign } from './clone-detector.js';
import type { Environment } from './environment.js';
import type { LocalSamples } from './local-samples.js';
import type { NativeDoors } from './native-doors.js';
import type { ProcessEnvironment } from './process-environment.js';
import { type ResumeReport, resumeSteps, type ResumeSteps } from './resume.js';
import { separators } from './separators.js';
import { whirlwind } from './whirlwind.js';

/** Steps of resume that a root cannot do by itself; those left out are reported as undone. */
export type OwnSteps = Partial<
  Pick<ResumeSteps, 'destroyConnections' | 'hostEntropy' | 'rotateSeed' | 'fetchBeacons'>
>;

/** What a resume hears of this machine. */
export type ResumeSample = 'whirlwind' | 'hwrng' | 'cpu' | 'os';

/** What a watched root is made of. */
export interface WatchedRootOptions {
  readonly accumulator: Accumulator;
  readonly environment: Environment;
  readonly process: ProcessEnvironment;
  readonly native: NativeDoors;
  readonly samples: LocalSamples;
  readonly steps: OwnSteps;
  /** Adds what a resume heard to the pools of its source, after it went into the generator. Copied before it returns. */
  readonly hear: (sample: ResumeSample, bytes: Uint8Array) => void;
  /** Hears of every resume, whoever found the sign. */
  readonly onResume?: (report: ResumeReport) => void;
}

const KERNEL_BYTES = 32;
const OPENSSL_BYTES = 64;
const HOST_BYTES = 64;
/** A host that has not answered by then is waited for no longer: everything stands still meanwhile. */
const HOST_DEADLINE_MS = 500;

/**
 * An accumulator that looks for signs that it was copied before every byte it gives, and does the five steps when there is
 * one: what the streams of the library and of a node are keyed from.
 *
 * Source: DESIGN 6.4. It holds no timer. A stream asks it at every refill; whoever may be idle for long looks by himself.
 */
export class WatchedRoot implements BufferedRoot {
  readonly #accumulator: Accumulator;
  readonly #environment: Environment;
  readonly #process: ProcessEnvironment;
  readonly #native: NativeDoors;
  readonly #samples: LocalSamples;
  readonly #steps: OwnSteps;
  readonly #hear: WatchedRootOptions['hear'];
  readonly #onResume: WatchedRootOptions['onResume'];
  readonly #rootNumber: number;
  readonly #wipers = new Set<() => void>();
  /** Undefined until seeded: there is no state to copy before. */
  #detector: CloneDetector | undefined;
  #number = 0;
  /** What the steps do may ask this root again, and would find the sign they are about. */
  #resuming = false;
  #lastResume: ResumeReport | undefined;

  constructor(options: WatchedRootOptions) {
    this.#accumulator = options.accumulator;
    this.#environment = options.environment;
    this.#process = options.process;
    this.#native = options.native;
    this.#samples = options.samples;
    this.#steps = options.steps;
    this.#hear = options.hear;
    this.#onResume = options.onResume;
    this.#rootNumber = options.process.nextRoot();
  }

  get generation(): number {
    return this.#accumulator.generation;
  }

  get number(): number {
    return this.#number;
  }

  get lastResume(): ResumeReport | undefined {
    return this.#lastResume;
  }

  /** What tells this root from every other one: part of its first seeding. */
  separators(): readonly Part[] {
    return separators(this.#environment, this.#process, this.#rootNumber);
  }

  /** @param wipeMadeAhead - called in step 1 of every resume */
  onWipe(wipeMadeAhead: () => void): void {
    this.#wipers.add(wipeMadeAhead);
  }

  /** From now on it is watched: to be called right after the first seeding. */
  watch(): void {
    this.#detector ??= new CloneDetector(this.#environment, this.#process);
  }

  /** Looks for a sign, and does the steps if there is one. Cost: see {@link CloneDetector.look}. */
  look(nowNs: bigint = this.#environment.monotonicNs()): void {
    if (this.#resuming) return;
    const sign = this.#detector?.look(nowNs);
    if (sign !== undefined) this.resume(sign);
  }

  /** Looks for a sign, then drains what is due. */
  reseedIfDue(): void {
    this.look();
    this.#accumulator.reseedIfDue();
  }

  /** @throws LamplighterError ERR_NOT_SEEDED before the first seeding; state unchanged */
  generate(lengthBytes: number): Uint8Array {
    return this.#accumulator.generate(lengthBytes);
  }

  /**
   * All five steps, now. Each may fail by itself: the report says which did.
   * @throws LamplighterError ERR_NOT_SEEDED before the first seeding; nothing was done
   */
  resume(sign: CloneSign): ResumeReport {
    // Connections are not cut for nothing.
    if (!this.#accumulator.seeded) {
      throw new LamplighterError('ERR_NOT_SEEDED', 'there is nothing to resume before the first seeding');
    }
    this.#resuming = true;
    this.#lastResume = resumeSteps(sign, this.#allSteps());
    this.#resuming = false;
    this.#accumulator.rekeySchedule();
    this.#detector?.settle(sign);
    this.#onResume?.(this.#lastResume);
    return this.#lastResume;
  }

  /** Mixes 64 root bytes into this process's OpenSSL. */
  reseedOpenssl(): Ability<unknown> {
    const bytes = this.#accumulator.generate(OPENSSL_BYTES);
    try {
      return this.#native.reseedOpenssl(bytes);
    } finally {
      wipe(bytes);
    }
  }

  #allSteps(): ResumeSteps {
    const missing = (what: string) => () => unable(`there is no ${what}`);
    return {
      destroyConnections: this.#steps.destroyConnections ?? missing('list of connections'),
      wipeMadeAhead: () => {
        this.#number += 1;
        for (const wipeMadeAhead of this.#wipers) wipeMadeAhead();
        return able(true);
      },
      burst: () => {
        this.#bypass(this.separators(), {
          whirlwind: whirlwind(this.#environment),
          cpu: this.#samples.cpu('seed'),
        });
        return able(true);
      },
      hostEntropy: this.#steps.hostEntropy ?? (() => this.#hostEntropy()),
      reseedKernel: () => this.#reseedKernel(),
      readOs: () => {
        this.#bypass([], { os: this.#samples.os() });
        return able(true);
      },
      reseedOpenssl: () => this.reseedOpenssl(),
      rotateSeed: this.#steps.rotateSeed ?? missing('machine seed'),
      fetchBeacons: this.#steps.fetchBeacons ?? missing('relay'),
    };
  }

  /** What the host gives through virtio-rng, or a chip: other bytes for every copy. */
  #hostEntropy(): Ability<unknown> {
    const hwrng = this.#environment.readDevice('/dev/hwrng', HOST_BYTES, HOST_DEADLINE_MS);
    if (hwrng.supported) this.#bypass([], { hwrng: hwrng.value });
    return hwrng;
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

  /** Straight into the generator, and what was sampled also into the pools of its source (DESIGN 6.3). Wipes the samples. */
  #bypass(known: readonly Part[], samples: Partial<Record<ResumeSample, Uint8Array | undefined>>): void {
    const heard = RESUME_SAMPLES.filter((label) => label in samples).map((label) => ({
      label,
      bytes: samples[label],
    }));
    this.#accumulator.reseedDirect('resume', [...known, ...heard]);
    for (const { label, bytes } of heard) {
      if (bytes !== undefined) this.#hear(label, bytes);
      wipe(bytes);
    }
  }
}

/** In the order of the label table. */
const RESUME_SAMPLES = ['whirlwind', 'hwrng', 'cpu', 'os'] as const satisfies readonly ResumeSample[];
