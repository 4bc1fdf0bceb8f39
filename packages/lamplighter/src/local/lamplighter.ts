import type { Ability } from './ability.js';
import { BufferedStream } from './buffered-stream.js';
import { type Environment, systemEnvironment } from './environment.js';
import { LocalRoot } from './local-root.js';
import { type NativeDoors, systemNative } from './native-doors.js';
import type { LibrarySource, OwnSourceStatus } from './own-sources.js';
import { type ProcessEnvironment, systemProcess } from './process-environment.js';
import { type RandomFunctions, randomFunctions } from './random-functions.js';
import type { ResumeReport } from './resume.js';
import type { OwnSteps } from './watched-root.js';

/** What {@link Lamplighter.create} takes. */
export interface LamplighterOptions {
  /** Sources of one's own, beside the OS, the CPU and timing. */
  readonly sources?: readonly LibrarySource[];
  /** Steps of resume that the program can do: destroy its TLS sockets, ask its host, rotate its seed, fetch beacons. */
  readonly steps?: OwnSteps;
  /** For tests: everything that is not deterministic. */
  readonly environment?: Environment;
  readonly process?: ProcessEnvironment;
  readonly native?: NativeDoors;
}

/** The truth about an instance, now. Never a secret byte. */
export interface LamplighterStatus {
  /** False until first use, and while the OS RNG cannot be read at first use. */
  readonly seeded: boolean;
  /** Reseeds of any kind so far, and those of them that went past the pools. */
  readonly reseeds: number;
  readonly directReseeds: number;
  /** Why the OS RNG could not be read the last time it was asked. */
  readonly osFailure?: string;
  readonly sources: readonly OwnSourceStatus[];
  /** What tells copies of this process from each other; `reason` where it is missing here. */
  readonly separators: readonly {
    readonly name: string;
    readonly supported: boolean;
    readonly reason?: string;
  }[];
  /** The last time this process was told, or found, that it may be a copy. */
  readonly lastResume?: ResumeReport;
  readonly madeAheadBytes: number;
}

/**
 * Random functions of one's own, on a root of one's own in this thread.
 *
 * Nothing happens at creation but that own sources are asked; the root is seeded at first use, synchronously.
 */
export class Lamplighter implements RandomFunctions {
  readonly randomBytes: RandomFunctions['randomBytes'];
  readonly randomFill: RandomFunctions['randomFill'];
  readonly randomFillSync: RandomFunctions['randomFillSync'];
  readonly randomInt: RandomFunctions['randomInt'];
  readonly randomUUID: RandomFunctions['randomUUID'];
  readonly getRandomValues: RandomFunctions['getRandomValues'];
  readonly #environment: Environment;
  readonly #root: LocalRoot;
  readonly #stream: BufferedStream;
  readonly #asked: Promise<void>;

  /**
   * @param options - see {@link LamplighterOptions}; none is needed
   * @throws TypeError or RangeError for a source that is none; nothing was asked
   */
  static create(options: LamplighterOptions = {}): Lamplighter {
    return new Lamplighter(options);
  }

  private constructor(options: LamplighterOptions) {
    this.#environment = options.environment ?? systemEnvironment();
    const process = options.process ?? systemProcess();
    this.#root = new LocalRoot({
      environment: this.#environment,
      process,
      native: options.native ?? systemNative,
      ...(options.sources && { sources: options.sources }),
      ...(options.steps && { steps: options.steps }),
    });
    const stream = new BufferedStream(this.#root, this.#environment, process, 'library');
    this.#stream = stream;
    this.#root.onWipe(() => stream.wipe());
    this.#asked = this.#root.askOwnSources();
    const functions = randomFunctions(() => stream, process);
    this.randomBytes = functions.randomBytes;
    this.randomFill = functions.randomFill;
    this.randomFillSync = functions.randomFillSync;
    this.randomInt = functions.randomInt;
    this.randomUUID = functions.randomUUID;
    this.getRandomValues = functions.getRandomValues;
  }

  /**
   * Resolves when every source of one's own has answered its first question. Never rejects; how long to wait is the
   * caller's to say. Whoever does not wait is served all the same: late answers are mixed when they come.
   */
  async ready(): Promise<void> {
    await this.#asked;
  }

  /**
   * To be called after a restore, where nothing else tells: all five steps, before it returns.
   * @throws LamplighterError ERR_OS_RNG when this instance was not seeded yet and cannot be
   */
  resume(): ResumeReport {
    return this.#root.resume();
  }

  /**
   * Mixes 64 bytes of this root into this process's OpenSSL: every later `crypto.randomBytes`, key and TLS handshake.
   * @returns why not, where the addon or the OS RNG is missing; nothing has changed then
   */
  reseedOpenssl(): Ability<unknown> {
    return this.#root.reseedOpenssl();
  }

  /**
   * Looks for signs that this process was copied, and does the steps if there is one, as every refill does: for programs
   * that may be idle when it happens.
   * @returns whether there was one
   * @throws LamplighterError ERR_OS_RNG when this instance was not seeded yet and cannot be
   */
  refresh(): boolean {
    const before = this.#root.lastResume;
    this.#root.reseedIfDue();
    return this.#root.lastResume !== before;
  }

  /** Cost: a few system calls. */
  status(): LamplighterStatus {
    const { osFailure, lastResume } = this.#root;
    return {
      seeded: this.#root.seeded,
      reseeds: this.#root.generation,
      directReseeds: this.#root.directReseeds,
      ...(osFailure !== undefined && { osFailure }),
      sources: this.#root.ownSources(),
      separators: this.#separators(),
      ...(lastResume !== undefined && { lastResume }),
      madeAheadBytes: this.#stream.madeAheadBytes,
    };
  }

  #separators(): LamplighterStatus['separators'] {
    const environment = this.#environment;
    const abilities: readonly [string, Ability<unknown>][] = [
      ['cycle-counter', environment.cycleCounter()],
      ['cpu', environment.cpuRandom(1, 'separator')],
      ['vm-generation', environment.vmGeneration()],
      ['boot-id', environment.bootId()],
    ];
    return abilities.map(([name, ability]) => ({
      name,
      supported: ability.supported,
      ...(!ability.supported && { reason: ability.reason }),
    }));
  }
}
