import type { Duplex } from 'node:stream';
import type { Endpoint, Environment } from '../local/environment.js';
import { cutDuplex } from './cut.js';

/** Every connection this program has made and not yet closed, so that all of them can be cut at once. */
export class OutgoingConnections {
  readonly #environment: Pick<Environment, 'connect'>;
  readonly #before: () => void;
  readonly #open = new Set<Duplex>();

  /**
   * @param before - called before each: the last moment to find that this machine is a copy
   */
  constructor(environment: Pick<Environment, 'connect'>, before: () => void) {
    this.#environment = environment;
    this.#before = before;
  }

  /** Connections that are open, or being made. */
  get size(): number {
    return this.#open.size;
  }

  connect(endpoint: Endpoint): Duplex {
    return this.keep(() => this.#environment.connect(endpoint));
  }

  /** The same for a connection that is made some other way. */
  keep(make: () => Duplex): Duplex {
    this.#before();
    const duplex = make();
    this.#open.add(duplex);
    duplex.once('close', () => this.#open.delete(duplex));
    return duplex;
  }

  /**
   * Destroys all of them without another byte. Whoever used one sees it break and makes a new one.
   * @returns how many there were
   */
  cut(): number {
    const open = [...this.#open];
    for (const duplex of open) cutDuplex(duplex);
    return open.length;
  }
}
