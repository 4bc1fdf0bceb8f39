import type { Accumulator } from '@lamplighter/core';
import type { Environment } from '../local/environment.js';
import { labelOf } from '../sources/round.js';
import type { Source, SourceSink } from '../sources/source.js';
import type { SourceStatus } from '../wire/status.js';
import { eventBudget } from './event-budget.js';
import type { Speaker } from './rest.js';
import { isSecret } from './secret-source.js';
import type { SourceEntry } from './source-kinds.js';

/** One source at work in a node: where its events go, and what was really heard of it. */
export class SourceRunner implements SourceSink {
  readonly source: Source;
  readonly entry: SourceEntry;
  readonly #number: number;
  readonly #accumulator: Accumulator;
  readonly #environment: Environment;
  readonly #budget: SourceSink & { close(): void };
  readonly #stopping = new AbortController();
  #bytes = 0;
  #events = 0;
  #lastHeardNs: bigint | undefined;
  #everSimulated = false;

  /**
   * @param source - not started yet
   * @param number - its number in the accumulator, 0..255, fixed for the life of the node
   */
  constructor(
    source: Source,
    entry: SourceEntry,
    number: number,
    accumulator: Accumulator,
    environment: Environment,
  ) {
    this.source = source;
    this.entry = entry;
    this.#number = number;
    this.#accumulator = accumulator;
    this.#environment = environment;
    this.#budget = eventBudget(environment, (event) => this.#add(event));
  }

  start(): Promise<void> {
    return this.source.start(this, this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.source.stop();
    this.#budget.close();
  }

  hear(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#note(bytes);
    // A beacon goes straight into a reseed *and* into its pools; everything else waits for its pool (DESIGN 6.3).
    if (this.source.kind === 'beacon' && this.#accumulator.seeded) {
      this.#accumulator.reseedDirect('beacon', [{ label: labelOf(this.source), bytes }]);
    }
    this.#budget.hear(bytes);
  }

  /** Counts an answer to a round. It went into the round's mix, not into the pools. */
  answered(bytes: Uint8Array): void {
    this.#note(bytes);
  }

  /** Whether anything simulated was ever heard from it: that cannot be taken back out. */
  get everSimulated(): boolean {
    return this.#everSimulated;
  }

  /** Who speaks, and whether what it says may be secret now. */
  get speaker(): Speaker {
    const { name, kind } = this.source;
    return { name, kind, isSecret: isSecret(this.entry, this.source.status()) };
  }

  status(): SourceStatus {
    const { name, kind } = this.source;
    return {
      name,
      kind,
      required: this.entry.required,
      ...this.source.status(),
      bytes: this.#bytes,
      events: this.#events,
      ...(this.#lastHeardNs !== undefined && {
        lastHeard: new Date(Number(this.#lastHeardNs / 1_000_000n)).toISOString(),
      }),
    };
  }

  #note(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    this.#lastHeardNs = this.#environment.realtimeNs();
    // Only what comes from outside can be simulated, and events from here are many.
    this.#everSimulated ||= this.source.position === 'outside' && this.source.status().basis.simulated;
  }

  #add(event: Uint8Array): void {
    this.#events += 1;
    this.#accumulator.add(this.#number, event);
  }
}
