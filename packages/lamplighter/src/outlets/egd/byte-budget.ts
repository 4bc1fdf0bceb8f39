import type { Environment } from '../../local/environment.js';

/** One that waits for its turn. */
interface Waiting {
  readonly costBytes: number;
  readonly go: () => void;
}

/**
 * A token bucket whose token is a byte. Over budget means waiting, first come first served: when each client has at most one
 * request waiting, that is a round robin, however greedy one of them is. What was not spent is kept for one second, no
 * longer.
 */
export class ByteBudget {
  readonly #bytesPerSecond: number;
  readonly #environment: Pick<Environment, 'monotonicNs' | 'timers'>;
  #tokens: number;
  #filledAtNs: bigint;
  #queue: Waiting[] = [];
  #timer: { cancel(): void } | undefined;
  #lifted = false;

  /** @param bytesPerSecond - > 0; also the most that can be spent at once */
  constructor(bytesPerSecond: number, environment: Pick<Environment, 'monotonicNs' | 'timers'>) {
    if (!(bytesPerSecond > 0)) throw new RangeError('a budget is more than 0 bytes a second');
    this.#bytesPerSecond = bytesPerSecond;
    this.#environment = environment;
    this.#tokens = bytesPerSecond;
    this.#filledAtNs = environment.monotonicNs();
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Spends bytes, now or when they are there.
   * @param costBytes - 0..`bytesPerSecond`
   * @param signal - gives up the place in the queue; nothing is spent then
   * @throws RangeError when there can never be as many; the signal's reason when it fired
   */
  take(costBytes: number, signal: AbortSignal): Promise<void> {
    if (!(costBytes >= 0 && costBytes <= this.#bytesPerSecond)) {
      throw new RangeError('more than the budget can ever hold');
    }
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#lifted) return Promise.resolve();
    this.#fill();
    if (this.#queue.length === 0 && this.#tokens >= costBytes) {
      this.#tokens -= costBytes;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#queue = this.#queue.filter((other) => other !== waiting);
        this.#serve();
        reject(signal.reason as Error);
      };
      const waiting: Waiting = {
        costBytes,
        go() {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.push(waiting);
      this.#serve();
    });
  }

  /** Nothing is counted from now on; whoever waits goes, in order. For the end: what is owed by then is paid. */
  lift(): void {
    this.#lifted = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const { go } of this.#queue.splice(0)) go();
  }

  #fill(): void {
    const nowNs = this.#environment.monotonicNs();
    const grown = (Number(nowNs - this.#filledAtNs) / 1e9) * this.#bytesPerSecond;
    this.#tokens = Math.min(this.#bytesPerSecond, this.#tokens + grown);
    this.#filledAtNs = nowNs;
  }

  /** Lets go whoever can be paid for, in order, and comes back when the next one can. */
  #serve(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#fill();
    for (let [first] = this.#queue; first !== undefined; [first] = this.#queue) {
      if (this.#tokens < first.costBytes) {
        const missingMs = ((first.costBytes - this.#tokens) / this.#bytesPerSecond) * 1_000;
        this.#timer = this.#environment.timers.after(Math.ceil(missingMs), () => this.#serve());
        return;
      }
      this.#tokens -= first.costBytes;
      this.#queue.shift();
      first.go();
    }
  }
}
