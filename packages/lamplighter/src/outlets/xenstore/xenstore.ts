import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { keepTrying } from '../../local/retry.js';
import type { Stream } from '../../local/stream.js';
import { checkRange } from '../../local/range.js';
import { parseEgdAddress } from '../../wire/egd-address.js';
import { reasonOf } from '../../wire/reason.js';
import { isXenstorePath } from '../../wire/xenstore.js';
import type { OutletReport, Reason } from '../../wire/status.js';
import type { Outlet, OutletContext } from '../outlet.js';
import { readyUnlessStopped } from '../serving.js';
import { guestNumber } from './news.js';
import { Trickle, type TrickleCounts } from './trickle.js';

/** Bounds of a xenstore outlet; each may be configured. */
export const XENSTORE_LIMITS = {
  socket: '/run/xenstored/socket',
  path: 'data/lamplighter/entropy',
  lengthBytes: 32,
  periodMs: 600_000,
  /** Between two writes for one guest, however often it asks. */
  leastMs: 1_000,
  /** For each answer of xenstored. */
  deadlineMs: 5_000,
  maxDomains: 4_096,
} as const;

const MAX_PATH_LENGTH = 256;
/** In hex it must fit in one message beside its path. */
const [LEAST_LENGTH_BYTES, MOST_LENGTH_BYTES] = [16, 512];

/** How a xenstore outlet is configured; see {@link XENSTORE_LIMITS} for what is not told. */
export interface XenstoreOutletOptions {
  readonly name: string;
  readonly environment: Environment;
  /** xenstored's unix socket, absolute. */
  readonly socket?: string;
  /** Of the node, relative to a domain's folder; the guest asks by writing to `PATH/request`. */
  readonly path?: string;
  /** 16..512. */
  readonly lengthBytes?: number;
  readonly periodMs?: number;
  readonly leastMs?: number;
  readonly deadlineMs?: number;
  /** 1..4,096. */
  readonly maxDomains?: number;
}

/** What a xenstore outlet does besides what every outlet does. */
export interface XenstoreOutlet extends Outlet {
  /**
   * Other bytes, now: without a number for every guest, because this host was resumed; with one for that domain alone. Does nothing
   * before the node is seeded or when there is no such domain. (A domain that is restored has a new number: it is served at once anyway.)
   */
  resume(guest?: string): number;
}

/**
 * Gives every Xen guest a few fresh bytes through xenstore, as lowercase hex: at once when the domain appears or asks, then every
 * `periodMs` with jitter.
 *
 * Source: DESIGN section 8 and Whirlwind's way of seeding guests from domain 0. A guest reads what is in its own node and no
 * other's; what it is given is written once and never again, also when a domain comes back under a number that was in use. Domain 0
 * and everybody with its rights read it all: it is not secret from them, and earns no credit. The node is taken away with the
 * domain, and when this outlet stops. Where xenstored is slow, hung or gone, only this outlet waits.
 * @throws LamplighterError ERR_CONFIG when the socket or the path is none
 * @throws RangeError when a number is out of its range
 */
export function xenstoreOutlet(options: XenstoreOutletOptions): XenstoreOutlet {
  return new XenstoreTrickle(options);
}

class XenstoreTrickle implements XenstoreOutlet {
  readonly name: string;
  readonly kind = 'xenstore';
  readonly #environment: Environment;
  readonly #options: Omit<Required<XenstoreOutletOptions>, 'name' | 'environment'>;
  readonly #stopping = new AbortController();
  readonly #cut = new AbortController();
  readonly #counts: TrickleCounts = {
    bytes: 0,
    writes: 0,
    asks: 0,
    removals: 0,
    refusals: 0,
    conflicts: 0,
  };
  #context: OutletContext | undefined;
  /** For the next guest: it is keyed at its first read, not now. */
  #spare: Stream | undefined;
  #streams = 0;
  #trickle: Trickle | undefined;
  #running: Promise<void> | undefined;
  #seeded = false;
  #stopped = false;
  #connections = 0;
  #fault: Reason | undefined;

  constructor({ name, environment, ...rest }: XenstoreOutletOptions) {
    this.name = name;
    this.#environment = environment;
    const options = { ...XENSTORE_LIMITS, ...rest };
    this.#options = options;
    parseEgdAddress(`unix:${options.socket}`);
    checkPath(options.path);
    checkRange('lengthBytes', options.lengthBytes, LEAST_LENGTH_BYTES, MOST_LENGTH_BYTES);
    checkRange('periodMs', options.periodMs, 1, 86_400_000);
    checkRange('leastMs', options.leastMs, 0, 86_400_000);
    checkRange('deadlineMs', options.deadlineMs, 1, 600_000);
    checkRange('maxDomains', options.maxDomains, 1, XENSTORE_LIMITS.maxDomains);
  }

  start(context: OutletContext, signal: AbortSignal): Promise<void> {
    this.#context = context;
    this.#spare = context.stream('domain-1');
    this.#streams = 1;
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: this.#stopping.signal });
    if (signal.aborted) return this.stop(0);
    this.#running = this.#run(context);
    return Promise.resolve();
  }

  resume(guest?: string): number {
    const domain = guest === undefined ? undefined : guestNumber(guest);
    if (guest !== undefined && domain === undefined) return 0;
    return this.#trickle?.renew(domain) ?? 0;
  }

  status(): OutletReport {
    const { guests = 0, leftOut = 0, refused } = this.#trickle ?? {};
    const { bytes, ...counts } = this.#counts;
    const reason = this.#fault ?? refused?.reason ?? (leftOut > 0 ? this.#crowded(leftOut) : undefined);
    return {
      state: this.#state(),
      ...(reason !== undefined && !this.#stopped && { reason }),
      bytes,
      details: {
        socket: this.#options.socket,
        node: this.#options.path,
        readableBy: 'that domain and domain 0',
        domains: guests,
        maxDomains: this.#options.maxDomains,
        refusedDomains: refused?.guests ?? 0,
        leftOut,
        ...counts,
        reconnects: Math.max(0, this.#connections - 1),
        creditBits: 0,
      },
    };
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    const overdue = this.#environment.timers.after(deadlineMs, () => this.#cut.abort());
    if (deadlineMs <= 0) this.#cut.abort();
    await this.#running;
    overdue.cancel();
    this.#spare?.close();
    this.#stopped = true;
  }

  async #run(context: OutletContext): Promise<void> {
    const { signal } = this.#stopping;
    if (!(await readyUnlessStopped(context, signal))) return;
    this.#seeded = true;
    await keepTrying((attempt) => this.#converse(attempt), {
      environment: this.#environment,
      signal,
      onFault: (error) => {
        this.#fault = reasonOf(error);
      },
    });
  }

  async #converse(signal: AbortSignal): Promise<void> {
    const carrier = this.#environment.connect({ path: this.#options.socket });
    const { socket, ...options } = this.#options;
    const trickle = new Trickle(
      carrier,
      {
        ...options,
        socketPath: socket,
        environment: this.#environment,
        counts: this.#counts,
        stream: () => this.#stream(),
        onListed: () => {
          this.#connections += 1;
          this.#fault = undefined;
        },
      },
      this.#cut.signal,
    );
    this.#trickle = trickle;
    try {
      await trickle.run(signal);
    } finally {
      this.#trickle = undefined;
    }
  }

  #stream(): Stream {
    const { context, spare } = { context: this.#context, spare: this.#spare };
    if (context === undefined || spare === undefined) throw new TypeError('a guest before start');
    this.#streams += 1;
    this.#spare = context.stream(`domain-${this.#streams}`);
    return spare;
  }

  #state(): OutletReport['state'] {
    if (this.#stopped) return 'stopped';
    if (!this.#seeded) return 'waiting';
    if (this.#fault !== undefined) return 'failed';
    const { guests = 0, refused, listed = false } = this.#trickle ?? {};
    if (!listed) return 'waiting';
    return guests > 0 && refused?.guests === guests ? 'failed' : 'ok';
  }

  #crowded(leftOut: number): Reason {
    return {
      code: 'ERR_XENSTORE_CROWDED',
      message: `${leftOut} domains are given nothing: there are more than ${this.#options.maxDomains}`,
      hint: 'raise maxDomains, at most 4096',
    };
  }
}

function checkPath(path: string): void {
  if (isXenstorePath(path) && !/^[/@]/.test(path) && path.length <= MAX_PATH_LENGTH) return;
  throw new LamplighterError('ERR_CONFIG', `${JSON.stringify(path)} is no path in a domain’s folder`, {
    hint: `names of a-z, A-Z, 0-9, - and _ with slashes between them, at most ${MAX_PATH_LENGTH} characters, such as ${XENSTORE_LIMITS.path}`,
  });
}
