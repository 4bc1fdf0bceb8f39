import { LamplighterError } from '@lamplighter/core';
import type { Endpoint, Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { checkRange } from '../local/range.js';
import { NO_BASIS } from '../wire/basis.js';
import { parseEgdAddress } from '../wire/egd-address.js';
import { reasonOf } from '../wire/reason.js';
import type { Reason, SourceReport } from '../wire/status.js';
import { XenstoreConnection, XenstoreRefusal, isXenstoreRefusal } from '../wire/xenstore-connection.js';
import {
  XENSTORE_TYPE,
  decodeXenstoreEntropy,
  isXenstorePath,
  xenstoreFields,
  xenstoreWritePayload,
} from '../wire/xenstore.js';
import { Sampler } from './sampler.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';
import { openXenbus } from './xenbus-device.js';

/** What a xenstore source does unless told. */
export const XENSTORE_SOURCE_DEFAULTS = {
  address: '/dev/xen/xenbus',
  path: 'data/lamplighter/entropy',
  periodMs: 600_000,
  deadlineMs: 5_000,
} as const;

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 60_000;
const TOKEN = 'entropy';

/** What a person says about a xenstore source; see {@link XENSTORE_SOURCE_DEFAULTS} for what is not told. */
export interface XenstoreSourceOptions {
  readonly name?: string;
  /** A guest's character device, or `unix:/path` of xenstored's socket. */
  readonly address?: string;
  /** The node that the host writes: relative to this domain's own folder, or absolute. Asked for by writing to `PATH/request`. */
  readonly path?: string;
  /** Mean time between requests, ms, 100..86,400,000. The host's writes are heard at once, whether asked for or not. */
  readonly periodMs?: number;
  /** For each answer of xenstored, ms. */
  readonly deadlineMs?: number;
}

/**
 * Bytes that a Xen host gives this guest through xenstore: heard, then overwritten in the store, so that nobody reads them there
 * later; asked for at start, once a period and for every round.
 *
 * They are as good as the host that gives them, and known to it: they earn no credit and never make a node seeded.
 * @throws LamplighterError ERR_CONFIG when the address or the path is none
 * @throws RangeError when a number is out of its range
 */
export function xenstoreSource(options: XenstoreSourceOptions, environment: Environment): Source {
  return new XenstoreSource(options, environment);
}

class XenstoreSource implements Source {
  readonly name: string;
  readonly kind = 'xenstore';
  readonly position = 'outside';
  readonly #environment: Environment;
  readonly #address: string;
  readonly #endpoint: Endpoint | undefined;
  readonly #path: string;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #sampler = new Sampler();
  readonly #life = new SourceLife(() => this.#sampler.close());
  #connection: XenstoreConnection | undefined;
  /** The node was written since it was last read. */
  #written = false;
  /** A round waits. */
  #wanted = false;
  /** Asked, and nothing has come yet. */
  #unanswered = false;
  #connections = 0;
  #asks = 0;
  #answers = 0;
  #malformed = 0;
  #failures = 0;

  constructor(options: XenstoreSourceOptions, environment: Environment) {
    const {
      name = 'xenstore',
      address,
      path,
      periodMs,
      deadlineMs,
    } = {
      ...XENSTORE_SOURCE_DEFAULTS,
      ...options,
    };
    this.name = name;
    this.#environment = environment;
    this.#address = address;
    if (address.startsWith('unix:')) this.#endpoint = parseEgdAddress(address);
    else if (!/^\/[^\0]{1,254}$/.test(address)) throw wrong(`${JSON.stringify(address)} is no device`);
    if (!isXenstorePath(path) || path.startsWith('@') || path.length > 256) {
      throw wrong(`${JSON.stringify(path)} is no path in xenstore`);
    }
    checkRange('periodMs', periodMs, 1, 86_400_000);
    checkRange('deadlineMs', deadlineMs, 1, 600_000);
    this.#path = path;
    this.#periodMs = periodMs;
    this.#deadlineMs = deadlineMs;
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((attempt) => this.#converse(sink, attempt), signal, {
      environment: this.#environment,
      onFault: (error) => this.#fail(error),
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#wanted = true;
    this.#connection?.wake();
    return this.#sampler.sample(signal);
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
      basis: NO_BASIS,
      details: {
        from: this.#address,
        node: this.#path,
        periodMs: this.#periodMs,
        asks: this.#asks,
        answers: this.#answers,
        malformed: this.#malformed,
        failures: this.#failures,
        reconnects: Math.max(0, this.#connections - 1),
      },
    };
  }

  stop(): Promise<void> {
    return this.#life.end();
  }

  /** One connection. Ends only by a fault or by the signal. */
  async #converse(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const carrier =
      this.#endpoint === undefined
        ? await openXenbus(this.#address, this.#environment)
        : this.#environment.connect(this.#endpoint);
    const connection = new XenstoreConnection(carrier, {
      environment: this.#environment,
      deadlineMs: this.#deadlineMs,
      signal,
      shown: this.#address,
      maxInFlight: 1,
      onEvent: () => {
        this.#environment.arrivals.note();
        this.#written = true;
        connection.wake();
      },
    });
    this.#connection = connection;
    try {
      await connection.request(XENSTORE_TYPE.watch, xenstoreFields(this.#path, TOKEN), {
        what: 'watch our node',
      });
      this.#connections += 1;
      for (let dueNs = 0n; !signal.aborted;) {
        const nowNs = this.#environment.monotonicNs();
        if (this.#written) {
          this.#written = false;
          await this.#take(connection, sink);
        } else if (this.#wanted || nowNs >= dueNs) {
          if (!this.#wanted && this.#unanswered) this.#life.note('failed', SILENT);
          this.#wanted = false;
          dueNs = nowNs + BigInt(Math.ceil(jitteredMs(this.#environment, this.#periodMs) * 1e6));
          await this.#ask(connection);
        } else {
          await connection.rest(Math.ceil(Number(dueNs - nowNs) / 1e6));
        }
      }
    } finally {
      this.#connection = undefined;
      await connection.close();
    }
  }

  /** Reads, mixes, overwrites. What the host wrote in between is lost with it, unread by anybody: it will be asked again. */
  async #take(connection: XenstoreConnection, sink: SourceSink): Promise<void> {
    let value: Uint8Array;
    try {
      value = await connection.request(XENSTORE_TYPE.read, xenstoreFields(this.#path), {
        what: 'read our node',
      });
    } catch (error) {
      // Not made yet, or removed; or ours are not yet the permissions.
      if (isXenstoreRefusal(error, 'ENOENT', 'EACCES')) return;
      throw error;
    }
    // Empty: what we have written ourselves, or the host before it has set the permissions.
    if (value.length === 0) return;
    const bytes = decodeXenstoreEntropy(value);
    value.fill(0);
    if (bytes === undefined) {
      this.#malformed += 1;
      this.#life.note('degraded', MALFORMED);
      return;
    }
    this.#hear(bytes, sink);
    try {
      await connection.request(XENSTORE_TYPE.write, xenstoreWritePayload(this.#path, new Uint8Array(0)), {
        what: 'overwrite our node',
      });
    } catch (error) {
      if (!(error instanceof XenstoreRefusal)) throw error;
      this.#life.note('degraded', reasonOf(error));
    }
  }

  async #ask(connection: XenstoreConnection): Promise<void> {
    try {
      const request = xenstoreWritePayload(`${this.#path}/request`, Uint8Array.of('1'.charCodeAt(0)));
      await connection.request(XENSTORE_TYPE.write, request, { what: 'take our request' });
      this.#asks += 1;
      this.#unanswered = true;
    } catch (error) {
      if (!(error instanceof XenstoreRefusal)) throw error;
      // The host gives nothing, or has not begun to: the watch tells when it does.
      this.#failures += 1;
      this.#life.note('failed', { ...reasonOf(error), hint: SILENT.hint });
    }
  }

  #hear(bytes: Uint8Array, sink: SourceSink): void {
    if (this.#life.isOver) return;
    this.#answers += 1;
    this.#unanswered = false;
    this.#life.note('ok');
    this.#sampler.hear(bytes);
    sink.hear(bytes);
    bytes.fill(0);
  }

  #fail(error: unknown): void {
    if (this.#life.fail(error) === 'absent') this.#sampler.absent();
    else this.#failures += 1;
  }
}

const SILENT = {
  code: 'ERR_DEADLINE',
  message: 'the host has given nothing since it was asked',
  hint: 'see that a xenstore outlet runs in domain 0, with the same path',
} as const satisfies Reason;

const MALFORMED: Reason = {
  code: 'ERR_XENSTORE_VALUE',
  message: 'what stands in the node is no hex',
  hint: 'see who writes there beside the host’s xenstore outlet',
};

function wrong(message: string): LamplighterError {
  return new LamplighterError('ERR_CONFIG', message, {
    hint: `write ${XENSTORE_SOURCE_DEFAULTS.address} or unix:/path, and a path such as ${XENSTORE_SOURCE_DEFAULTS.path}`,
  });
}
