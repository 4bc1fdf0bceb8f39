import type { Outlet, OutletContext } from '../outlets/outlet.js';
import type { OutletStatus } from '../wire/status.js';
import { createOutlet, type OutletEntry, type OutletFactory } from './outlet-kinds.js';

/** What outlets are made and started with. */
export interface NodeOutletsOptions {
  /** What all are made with; asked anew for each. */
  readonly factory: () => OutletFactory;
  /** What one may draw from, by its name. */
  readonly context: (name: string) => OutletContext;
  /** Fires when outlets had their time to drain. */
  readonly cut: AbortSignal;
}

/** The outlets of one node, by name: made, started, stopped, replaced. */
export class NodeOutlets {
  readonly #options: NodeOutletsOptions;
  readonly #outlets = new Map<string, Outlet>();

  constructor(options: NodeOutletsOptions) {
    this.#options = options;
  }

  status(): OutletStatus[] {
    return [...this.#outlets.values()].map((outlet) => ({
      name: outlet.name,
      kind: outlet.kind,
      ...outlet.status(),
    }));
  }

  /** Makes one, not started. @throws LamplighterError `fix-configuration` when it can never work */
  make(entry: OutletEntry): Outlet {
    return createOutlet(entry, this.#options.factory());
  }

  async start(outlet: Outlet): Promise<void> {
    this.#outlets.set(outlet.name, outlet);
    await outlet.start(this.#options.context(outlet.name), this.#options.cut);
  }

  /** Stops and forgets one, if there is one of that name. */
  async stop(name: string, deadlineMs: number): Promise<void> {
    const outlet = this.#outlets.get(name);
    this.#outlets.delete(name);
    await outlet?.stop(deadlineMs);
  }

  /** Destroys the connections of those that listen for themselves (DESIGN 6.4, step 1). @returns how many there were */
  cut(): number {
    return [...this.#outlets.values()].reduce((total, outlet) => total + (outlet.cut?.() ?? 0), 0);
  }

  /** Those that listen for themselves use their certificate as it is now. @throws LamplighterError; the old ones stay in use */
  async reloadTls(): Promise<void> {
    for (const outlet of this.#outlets.values()) await outlet.reloadTls?.();
  }

  /** Those with lines to guests give a burst, see {@link Outlet.resume}. @returns on how many lines */
  resume(guest?: string): number {
    return [...this.#outlets.values()].reduce((lines, outlet) => lines + (outlet.resume?.(guest) ?? 0), 0);
  }

  /** Drains all; their last status stays. */
  async stopAll(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#outlets.values()].map((outlet) => outlet.stop(deadlineMs)));
  }
}
