import { FIRST_RESERVED_DOMAIN } from '../../wire/xenstore.js';

/** The folder of all domains. Source: Xen 4.17, docs/misc/xenstore-paths.pandoc. */
export const DOMAINS_FOLDER = '/local/domain';

/** Watches that tell when a domain is known to xenstored, and when it is not any more. */
export const INTRODUCED = '@introduceDomain';
export const RELEASED = '@releaseDomain';

/**
 * What the daemon's events come to: kept until it is looked at, in memory bounded by the number of domains there can be,
 * however many events guests cause. (Each may write in its own folder as it likes; every such event is looked at once and forgotten.)
 */
export class News {
  /** Domains that came, went, or came again under a number that was in use. */
  readonly changed = new Set<number>();
  /** Domains whose request node was written. */
  readonly asked = new Set<number>();
  /** The list of domains has to be read. */
  relist = false;
  /** Some domain is gone from xenstored. */
  released = false;
  /** Some domain is new to xenstored. */
  introduced = false;
  readonly #requestSuffix: string;

  /** @param requestNode - relative to a domain's folder */
  constructor(requestNode: string) {
    this.#requestSuffix = `/${requestNode}`;
  }

  /**
   * Notes one event.
   * @param path - as the daemon says
   * @returns whether there is something to do now
   */
  note(path: string): boolean {
    if (path === INTRODUCED) {
      this.introduced = true;
      return true;
    }
    if (path === RELEASED) {
      this.released = true;
      return true;
    }
    if (path === DOMAINS_FOLDER) {
      this.relist = true;
      return true;
    }
    if (!path.startsWith(`${DOMAINS_FOLDER}/`)) return false;
    const start = DOMAINS_FOLDER.length + 1;
    const end = path.indexOf('/', start);
    const domain = guestNumber(end < 0 ? path.slice(start) : path.slice(start, end));
    if (domain === undefined) return false;
    if (end < 0) this.changed.add(domain);
    else if (path.length - end === this.#requestSuffix.length && path.endsWith(this.#requestSuffix)) {
      this.asked.add(domain);
    } else return false;
    return true;
  }
}

/** The number in a domain's name, if it is a guest's: neither domain 0 nor one that Xen keeps for itself. */
export function guestNumber(name: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(name)) return undefined;
  const number = Number(name);
  return number < FIRST_RESERVED_DOMAIN ? number : undefined;
}
