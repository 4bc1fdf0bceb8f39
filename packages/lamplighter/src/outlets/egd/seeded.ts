/** Waits for the first seeding, once for all clients: a client that comes and goes before it leaves nothing behind. */
export class Seeded {
  readonly #waiting = new Set<{ readonly resolve: () => void; readonly reject: (error: unknown) => void }>();
  #outcome: { readonly error?: unknown } | undefined;

  /** @param ready - see `OutletContext.ready` */
  constructor(ready: Promise<void>) {
    ready.then(
      () => this.#settle({}),
      (error: unknown) => this.fail(error),
    );
  }

  /** Whether output can be had. */
  get now(): boolean {
    return this.#outcome !== undefined && !('error' in this.#outcome);
  }

  /**
   * @param signal - gives up waiting; never asked once seeded
   * @throws what `ready` was rejected with or `fail` was told; the signal's reason when it fired first
   */
  wait(signal: AbortSignal): Promise<void> {
    if (this.now) return Promise.resolve();
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#outcome !== undefined) return Promise.reject(this.#outcome.error);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(waiting);
        reject(signal.reason as Error);
      };
      const over = (): void => signal.removeEventListener('abort', leave);
      const waiting = {
        resolve: () => (over(), resolve()),
        reject: (error: unknown) => (over(), reject(error)),
      };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** It will not come any more. Does nothing once seeded. */
  fail(error: unknown): void {
    this.#settle({ error });
  }

  #settle(outcome: { readonly error?: unknown }): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    for (const { resolve, reject } of this.#waiting) {
      if ('error' in outcome) reject(outcome.error);
      else resolve();
    }
    this.#waiting.clear();
  }
}
