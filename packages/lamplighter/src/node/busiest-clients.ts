import type { Taken } from './fleet/gate.js';

/** Identities that have a series at one time. */
const MOST = 32;
/** Of what an identity is worth, after each sample: one that was busy a hundred samples ago has a third of it left. */
const FADES = 0.99;
/** Who takes the place of another is so many times busier in one sample than the other has been worth lately. */
const CLEARLY = 2;

/**
 * Beacons a second of the busiest identities, at most 32 of them, however many there are. Whoever is among them stays until
 * another is clearly busier, so that series do not flicker.
 *
 * Between two samples it remembers one number for each identity that the gate remembers, and the gate bounds those.
 */
export class BusiestClients {
  #counts: ReadonlyMap<string, number> = new Map();
  readonly #worth = new Map<string, number>();
  readonly #onLeave: (client: string) => void;

  /** @param onLeave - hears who lost his place, as ROLE/NAME */
  constructor(onLeave: (client: string) => void) {
    this.#onLeave = onLeave;
  }

  /**
   * @param clients - what each has taken by now
   * @param elapsedS - since the last call; 0 the first time
   * @returns by ROLE/NAME; empty the first time
   */
  rates(clients: Iterable<Taken>, elapsedS: number): Map<string, number> {
    const isFirst = elapsedS <= 0;
    const counts = new Map<string, number>();
    const rates = new Map<string, number>();
    for (const { role, name, beacons } of clients) {
      const client = `${role}/${name}`;
      counts.set(client, beacons);
      // Somebody new has begun at nothing.
      const before = this.#counts.get(client) ?? 0;
      const more = beacons >= before ? beacons - before : beacons;
      if (!isFirst && (more > 0 || this.#worth.has(client))) rates.set(client, more / elapsedS);
    }
    this.#counts = counts;
    this.#choose(rates);
    return new Map([...rates].filter(([client]) => this.#worth.has(client)));
  }

  #choose(rates: ReadonlyMap<string, number>): void {
    for (const [client, worth] of this.#worth)
      this.#worth.set(client, worth * FADES + (rates.get(client) ?? 0));
    for (const [client, rate] of rates) {
      if (this.#worth.has(client)) continue;
      if (this.#worth.size >= MOST) {
        const [least, worth] = this.#least();
        if (worth * CLEARLY >= rate) continue;
        this.#worth.delete(least);
        this.#onLeave(least);
      }
      this.#worth.set(client, rate);
    }
  }

  #least(): [string, number] {
    return [...this.#worth].reduce((least, one) => (one[1] < least[1] ? one : least), ['', Infinity]);
  }
}
