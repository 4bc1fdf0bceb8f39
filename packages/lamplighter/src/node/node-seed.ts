import { type Accumulator, hmac, wipe } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { SEED_PERIOD_MS, type SeedKeeper } from '../local/seed/seed-keeper.js';
import { hedgeInput } from '../local/seed/tls-hedge.js';
import { reasonOf } from '../wire/reason.js';
import type { NodeStatus } from '../wire/status.js';
import type { Log } from './log.js';
import type { SeedPart } from './seeding.js';

/**
 * The machine seed in the life of a node: used before the first key or TLS context is made, part of the first seeding, used and
 * folded again every ten minutes, folded once more at the end.
 *
 * Source: DESIGN 6.5 and 7. Nothing here stops a node: what fails is in its log and status.
 */
export class NodeSeed {
  readonly #keeper: SeedKeeper;
  readonly #accumulator: Accumulator;
  readonly #environment: Environment;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  #part: SeedPart | undefined;
  #timer: { cancel(): void } | undefined;

  constructor(keeper: SeedKeeper, options: { accumulator: Accumulator; environment: Environment; log: Log }) {
    this.#keeper = keeper;
    this.#accumulator = options.accumulator;
    this.#environment = options.environment;
    this.#log = options.log;
  }

  /** What it brings to the first seeding; undefined when there is no seed, or the first seeding is over. */
  get part(): SeedPart | undefined {
    return this.#part;
  }

  /** Hedges this process's OpenSSL, having made the seed if there was none. */
  async open(): Promise<void> {
    const mixKey = await this.#keeper.open();
    if (mixKey === undefined) return;
    const { state } = this.#keeper.status();
    this.#part = {
      bytes: hmac('sha512', mixKey, hedgeInput(this.#environment, 0n)),
      unspent: state === 'on',
    };
    wipe(mixKey);
  }

  /** Logs what became of the seed, once the node has started. */
  tell(): void {
    const { state, reason, made } = this.#keeper.status();
    if (made === 'missing') this.#log.info('there was no machine seed: one was made');
    if (made === 'lost')
      this.#log.warn('the machine seed was lost: another was made; enrol this machine again');
    if (reason !== undefined) {
      this.#log.warn({ hedge: state, reason: reasonOf(reason) }, `the TLS hedge is ${state}`);
    }
  }

  /** To be called after the first seeding: the part is wiped, and the seed renewed from now on. */
  seeded(): void {
    this.#wipePart();
    this.#timer = this.#environment.timers.every(SEED_PERIOD_MS, () => this.renew());
  }

  /** Hedges again and lets the seed have what was heard since; begun when this returns. */
  renew(): void {
    const renewing = async (): Promise<void> => {
      await this.#keeper.hedge();
      if (!this.#stopping.signal.aborted) await this.#keeper.foldRoot(this.#accumulator);
    };
    renewing().catch((error: unknown) =>
      this.#log.error({ reason: reasonOf(error) }, 'the machine seed was not renewed'),
    );
  }

  status(): NodeStatus['hedge'] {
    const { state, reason } = this.#keeper.status();
    return { state, ...(reason && { reason: reasonOf(reason) }) };
  }

  /** The last fold. The accumulator is still needed for it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    this.#wipePart();
    if (this.#accumulator.seeded) await this.#keeper.foldRoot(this.#accumulator);
  }

  #wipePart(): void {
    wipe(this.#part?.bytes);
    this.#part = undefined;
  }
}
