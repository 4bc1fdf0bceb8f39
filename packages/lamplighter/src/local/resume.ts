import type { Ability } from './ability.js';
import type { CloneSign } from './clone-detector.js';

/**
 * What the five steps do, in the order in which they are done. Each may fail by itself: the rest goes on, and the report
 * says so.
 *
 * Source: DESIGN 6.4.
 */
export interface ResumeSteps {
  /** 1a. Destroys every TLS socket and session without writing another byte. */
  destroyConnections(): Ability<unknown>;
  /** 1b. Wipes bytes made ahead, of every stream. */
  wipeMadeAhead(): Ability<unknown>;
  /** 2. Cycle counter, RDSEED or RDRAND, a Whirlwind burst and any host burst, straight into the root. */
  burst(): Ability<unknown>;
  /** 3a. /dev/hwrng and the host channel, into the root. */
  hostEntropy(): Ability<unknown>;
  /** 3b. RNDADDENTROPY, uncredited, of a value derived from all these; then RNDRESEEDCRNG. */
  reseedKernel(): Ability<unknown>;
  /** 3c. Only then the OS RNG, into the root. */
  readOs(): Ability<unknown>;
  /** 4. This process's OpenSSL. */
  reseedOpenssl(): Ability<unknown>;
  /** 5a. The machine seed. */
  rotateSeed(): Ability<unknown>;
  /** 5b. New beacons, by a deadline: only started here. */
  fetchBeacons(): Ability<unknown>;
}

/** In this order. */
export const RESUME_STEPS = [
  'destroyConnections',
  'wipeMadeAhead',
  'burst',
  'hostEntropy',
  'reseedKernel',
  'readOs',
  'reseedOpenssl',
  'rotateSeed',
  'fetchBeacons',
] as const satisfies readonly (keyof ResumeSteps)[];

/** What was done about a sign that this process was copied. Holds no secret. */
export interface ResumeReport {
  readonly sign: CloneSign;
  /**
   * `may repeat`: the kernel could not be told to reseed, so that every copy may have read the same bytes until its next
   * reseed, up to a minute later. They were mixed all the same. `failed`: they could not be read.
   */
  readonly os: 'fresh' | 'may repeat' | 'failed';
  /** Each step in order: done, or why not. */
  readonly steps: readonly { readonly name: keyof ResumeSteps; readonly undone?: string }[];
}

/** The last time a program found, or was told, that its machine was cloned, restored or asleep (DESIGN 6.4). */
export interface ResumeStatus {
  /** How often, since it started. */
  readonly count: number;
  /** Real time, ISO 8601. */
  readonly at: string;
  /**
   * What told: `vm-generation`, `pid`, `cycle-counter`, `clock`, `kernel-fork`, `hardware-clock`; `host` when the host said so,
   * with bytes; `resume` when somebody else did.
   */
  readonly sign: string;
  /** `may repeat`: other copies may have read the same bytes from the OS RNG then, for up to a minute. */
  readonly os: 'fresh' | 'may repeat' | 'failed';
  /** Steps that could not be done, and why. */
  readonly undone: readonly { readonly step: string; readonly reason: string }[];
}

/** Does the five steps. Never throws. */
export function resumeSteps(sign: CloneSign, steps: ResumeSteps): ResumeReport {
  const done = RESUME_STEPS.map((name) => {
    const undone = reasonWhyNot(() => steps[name]());
    return { name, ...(undone !== undefined && { undone }) };
  });
  const isDone = (step: keyof ResumeSteps): boolean =>
    done.some(({ name, undone }) => name === step && undone === undefined);
  const os = isDone('readOs') ? (isDone('reseedKernel') ? 'fresh' : 'may repeat') : 'failed';
  return { sign, os, steps: done };
}

function reasonWhyNot(step: () => Ability<unknown>): string | undefined {
  try {
    const ability = step();
    return ability.supported ? undefined : ability.reason;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
