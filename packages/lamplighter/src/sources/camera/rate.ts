const WINDOW_SECONDS = 5;

/** Counts things a second over the last five whole seconds. Memory: five numbers, however much is counted. */
export class Rate {
  readonly #counts = Array.from({ length: WINDOW_SECONDS + 1 }, () => 0);
  #startMs: number | undefined;
  #second = 0;

  add(count: number, nowMs: number): void {
    this.#startMs ??= nowMs;
    this.#turnTo(nowMs);
    const slot = this.#second % this.#counts.length;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + count;
  }

  /** Things a second, one decimal. In the first five seconds over the time since the first one. */
  perSecond(nowMs: number): number {
    if (this.#startMs === undefined) return 0;
    this.#turnTo(nowMs);
    const total = this.#counts.reduce((sum, count) => sum + count, 0);
    const whole = Math.max(1000, nowMs - this.#startMs);
    const window = Math.min(whole, WINDOW_SECONDS * 1000 + (nowMs % 1000));
    return Math.round((total * 10_000) / window) / 10;
  }

  #turnTo(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    const passed = Math.min(this.#counts.length, second - this.#second);
    for (let step = 1; step <= passed; step++) {
      this.#counts[(second - passed + step) % this.#counts.length] = 0;
    }
    this.#second = Math.max(this.#second, second);
  }
}
