// Implementation constants.
/** After so long without asking, what a network has asked for counts half. */
const HALF_LIFE_MS = 4_000;
/** Networks that are remembered; the one that has not asked for longest is forgotten first, and then counts as quiet. */
const MAX_NETWORKS = 4_096;

/** How much each network has asked for lately: all that is known of a machine before its handshake. */
export class Demand {
  /** Whoever asked last stands last. */
  readonly #asked = new Map<string, { count: number; readonly atMs: number }>();

  /**
   * A network asks for one connection.
   * @param nowMs - monotonic milliseconds (performance.now)
   */
  note(network: string, nowMs: number): void {
    const count = this.of(network, nowMs) + 1;
    this.#asked.delete(network);
    this.#asked.set(network, { count, atMs: nowMs });
    if (this.#asked.size <= MAX_NETWORKS) return;
    const [first] = this.#asked.keys();
    if (first !== undefined) this.#asked.delete(first);
  }

  /** Connections lately, each counting half after every {@link HALF_LIFE_MS}; 0 for a network nobody has heard of. */
  of(network: string, nowMs: number): number {
    const asked = this.#asked.get(network);
    return asked === undefined ? 0 : asked.count * 2 ** ((asked.atMs - nowMs) / HALF_LIFE_MS);
  }
}
