import { LamplighterError, type Part, wipe } from '@lamplighter/core';
import type { Environment } from '../environment.js';
import type { NativeDoors } from '../native-doors.js';
import type { ProcessEnvironment } from '../process-environment.js';
import { makeSeed } from './first-seed.js';
import { SeedStore } from './seed-store.js';
import { type Hedge, hedgeTls } from './tls-hedge.js';

/** How often a program that stays hedges its OpenSSL again and writes its seed anew. Source: DESIGN 6.5. */
export const SEED_PERIOD_MS = 600_000;
const FOLD_BYTES = 64;

/** What can be told of the hedge: no secret. */
export interface HedgeStatus {
  /** `on`: TLS draws on a seed that was rotated first. `degraded`: mixed in, but nothing is claimed. `off`: not at all. */
  readonly state: 'on' | 'degraded' | 'off';
  readonly reason?: LamplighterError;
  /** Whether the seed was made just now, because there was none or because it was lost. */
  readonly made?: 'missing' | 'lost';
}

/**
 * The machine seed in the life of a program: made if there is none, used before the first TLS context is made, used again every
 * ten minutes and whenever asked, and folded with what the program's own root has heard since.
 *
 * Source: DESIGN 6.5 and 7. Nothing here stops a program: whatever fails is a state, with its reason.
 */
export class SeedKeeper {
  readonly store: SeedStore;
  readonly #environment: Environment;
  readonly #native: NativeDoors;
  readonly #process: ProcessEnvironment;
  #made: 'missing' | 'lost' | undefined;
  #hedge: Hedge = { state: 'off' };
  /** One use waits for the one before it: they would only wait for each other's lock. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param folder - where the seed is, or will be */
  constructor(
    folder: string,
    options: { environment: Environment; native: NativeDoors; process: ProcessEnvironment },
  ) {
    this.store = new SeedStore(folder, options);
    this.#environment = options.environment;
    this.#native = options.native;
    this.#process = options.process;
  }

  /**
   * Makes the seed if need be, and hedges for the first time.
   * @returns the first use's mix key, 64 secret bytes, the caller's to wipe; undefined when there is no seed
   */
  async open(): Promise<Uint8Array | undefined> {
    const mixKey = await this.use();
    const why = lossOf(this.#hedge.reason);
    if (why === undefined) return mixKey;
    try {
      await makeSeed(this.store, why, { environment: this.#environment, process: this.#process });
      this.#made = why;
    } catch (error) {
      if (!(error instanceof LamplighterError)) throw error;
      // That there is no seed is said already; this says why none could be made.
      this.#hedge = { state: 'off', reason: error };
      return undefined;
    }
    return await this.use();
  }

  /** Hedges again: before another TLS connection, or because time has passed. Never rejects for want of a seed. */
  async hedge(): Promise<void> {
    wipe(await this.use());
  }

  /** The same, for who also wants the mix key of this use; see {@link SeedKeeper.open}. */
  async use(): Promise<Uint8Array | undefined> {
    const { mixKey, ...hedge } = await this.#inTurn(() =>
      hedgeTls(this.store, { environment: this.#environment, native: this.#native }),
    );
    this.#hedge = hedge;
    return mixKey;
  }

  /**
   * Folds what was heard into the seed; on any failure the old one stays.
   * @param parts - one per relay, absent ones included; the caller wipes them
   * @returns why not, if not
   */
  async fold(parts: readonly Part[]): Promise<LamplighterError | undefined> {
    try {
      await this.#inTurn(() => this.store.fold(parts));
      return undefined;
    } catch (error) {
      if (!(error instanceof LamplighterError)) throw error;
      return error;
    }
  }

  /**
   * Folds output of the program's own root into the seed, so that what it heard outlives it.
   * @param root - asked for 64 bytes
   */
  async foldRoot(root: { generate(lengthBytes: number): Uint8Array }): Promise<LamplighterError | undefined> {
    const bytes = root.generate(FOLD_BYTES);
    const unfolded = await this.fold([{ label: 'root', bytes }]);
    wipe(bytes);
    return unfolded;
  }

  status(): HedgeStatus {
    const { state, reason } = this.#hedge;
    return { state, ...(reason && { reason }), ...(this.#made && { made: this.#made }) };
  }

  /** When the seed was last changed before its last use, ms since 1970: time cannot be earlier than that. */
  get lastChangedMs(): number | undefined {
    return this.#made === undefined ? this.#hedge.lastChangedMs : undefined;
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function lossOf(reason: LamplighterError | undefined): 'missing' | 'lost' | undefined {
  if (reason?.code === 'ERR_SEED_MISSING') return 'missing';
  return reason?.code === 'ERR_SEED_DAMAGED' ? 'lost' : undefined;
}
