// Implementation constants.
/** What one turn of the event loop gives to beginning handshakes; all else that is due comes in between. */
const TURN_BUDGET_MS = 10;
/** And begins at least, because on a crowded machine the time may be gone before anything was done in it. */
const TURN_LEAST = 8;
/**
 * Connections accepted before handshakes are begun again, and how long that may take. Node 20 accepts one a turn, and in the
 * kernel's queue nobody can choose among them: a quiet machine stood there for two seconds behind 600 others.
 */
const MAX_GATHERED = 32;
const GATHER_BUDGET_MS = 20;

/** When handshakes are begun: no more at a time than the event loop can do besides everything else. */
export class HandshakePace {
  readonly #begin: (least: number, endMs: number) => void;
  #isDue = false;
  /** Connections accepted in this turn: when it brought one there may be more where it came from. */
  #accepted = 0;
  /** Connections accepted since it was first due. */
  #gathered = 0;
  #gatheringSinceMs: number | undefined;

  /** @param begin - begins handshakes until `endMs`, monotonic milliseconds (performance.now), and at least `least` */
  constructor(begin: (least: number, endMs: number) => void) {
    this.#begin = begin;
  }

  /** A connection has come. */
  accepted(): void {
    this.#accepted += 1;
  }

  /** Some are to be begun, as soon as it is their turn. */
  due(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isDue = false;
    const nowMs = performance.now();
    this.#gatheringSinceMs ??= nowMs;
    this.#gathered += this.#accepted;
    const mayBeMore = this.#accepted > 0;
    this.#accepted = 0;
    if (mayBeMore && this.#gathered < MAX_GATHERED && nowMs - this.#gatheringSinceMs < GATHER_BUDGET_MS) {
      this.due();
      return;
    }
    this.#gathered = 0;
    this.#gatheringSinceMs = undefined;
    this.#begin(TURN_LEAST, nowMs + TURN_BUDGET_MS);
  }
}
