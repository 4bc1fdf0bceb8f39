import type { Environment } from '../local/environment.js';
import type { NodeEvent } from '../wire/event.js';

/** Events that are kept; older ones are in the log only. */
const MAX_EVENTS = 500;
/** Of one text: reasons come from peers and devices too. */
const MAX_TEXT_LENGTH = 500;

/** What is said about an event by whom it happened to; number and time are the log's own. */
export type NewEvent = Omit<NodeEvent, 'id' | 'atMs'>;

/**
 * The last events of a node. Whatever a node tells, it tells here: the log on standard error, the page and the terminal
 * all listen, so that none knows of something the others do not.
 */
export class EventLog {
  readonly #environment: Pick<Environment, 'realtimeNs'>;
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  readonly #events: NodeEvent[] = [];
  #lastId = 0;

  constructor(environment: Pick<Environment, 'realtimeNs'>) {
    this.#environment = environment;
  }

  /** Tells everybody who listens, and keeps the event until 500 others have come. Texts are cut at 500 characters. */
  add(event: NewEvent): void {
    this.#lastId += 1;
    const { text, reason, ...rest } = event;
    const kept: NodeEvent = {
      id: this.#lastId,
      atMs: Number(this.#environment.realtimeNs() / 1_000_000n),
      ...rest,
      text: shortened(text),
      ...(reason && { reason: { ...reason, message: shortened(reason.message) } }),
    };
    this.#events.push(kept);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    for (const listener of this.#listeners) listener(kept);
  }

  /** @param id - of the last event known; 0 for all that are kept. @returns those after it, oldest first */
  since(id: number): readonly NodeEvent[] {
    return this.#events.filter((event) => event.id > id);
  }

  /** @param listener - hears every event from now on. @returns the way to hear no more */
  onEvent(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

const shortened = (text: string): string =>
  text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH - 1)}…` : text;
