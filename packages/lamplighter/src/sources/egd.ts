import type { Endpoint, Environment } from '../local/environment.js';
import { jitteredMs } from '../local/jitter.js';
import { NO_BASIS } from '../wire/basis.js';
import { EgdReplyDecoder, MAX_EGD_LENGTH_BYTES, encodeEgdRequest } from '../wire/egd.js';
import { egdAddressText, parseEgdAddress } from '../wire/egd-address.js';
import type { SourceReport } from '../wire/status.js';
import { EgdLink } from './egd-link.js';
import type { Source, SourceSink } from './source.js';
import { SourceLife } from './source-life.js';

const MIN_BACK_OFF_MS = 250;
const MAX_BACK_OFF_MS = 15_000;
const DEFAULT_PERIOD_MS = 60_000;
const DEFAULT_LENGTH_BYTES = 32;
/** Long enough for a server that gathers as it goes. */
const DEFAULT_DEADLINE_MS = 10_000;

/** A round that waits for its answer. */
interface Waiting {
  answer(bytes: Uint8Array | undefined): void;
}

/**
 * Another EGD server: asked every `periodMs` and once for every round, on one connection that is kept.
 *
 * Source: DESIGN section 8. Asks with command 02 alone: its answer has exactly the length asked for, so anything else is a
 * fault, and a server that has nothing yet waits instead of being asked again and again, until the deadline makes a state
 * of it. Whatever the server sends is mixed; it earns no credit and never makes a node seeded.
 * @param options - `address`: `unix:/path` or `tcp:host:port`; `lengthBytes`: 1..255, 32 unless told; `periodMs`: mean time
 *   between requests, 60,000 unless told; `deadlineMs`: for the connection and for each answer, 10,000 unless told
 * @throws LamplighterError ERR_CONFIG when the address is none
 * @throws RangeError when the length is out of range
 */
export function egdSource(
  options: {
    readonly name?: string;
    readonly address: string;
    readonly lengthBytes?: number;
    readonly periodMs?: number;
    readonly deadlineMs?: number;
  },
  environment: Environment,
): Source {
  return new EgdSource(options, environment);
}

class EgdSource implements Source {
  readonly name: string;
  readonly kind = 'egd';
  readonly position = 'outside';
  readonly #endpoint: Endpoint;
  readonly #environment: Environment;
  readonly #lengthBytes: number;
  readonly #periodMs: number;
  readonly #deadlineMs: number;
  readonly #life = new SourceLife(() => this.#nobodyWaits());
  #waiting: Waiting[] = [];
  #link: EgdLink | undefined;
  #connections = 0;
  #answers = 0;
  #failures = 0;

  constructor(options: Parameters<typeof egdSource>[0], environment: Environment) {
    this.name = options.name ?? 'egd';
    this.#endpoint = parseEgdAddress(options.address);
    this.#environment = environment;
    this.#lengthBytes = options.lengthBytes ?? DEFAULT_LENGTH_BYTES;
    this.#periodMs = options.periodMs ?? DEFAULT_PERIOD_MS;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    const length = this.#lengthBytes;
    if (!Number.isInteger(length) || length < 1 || length > MAX_EGD_LENGTH_BYTES) {
      throw new RangeError(`an EGD server is asked for 1 to ${MAX_EGD_LENGTH_BYTES} bytes`);
    }
  }

  start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    return this.#life.begin((attempt) => this.#converse(sink, attempt), signal, {
      environment: this.#environment,
      onFault: (error) => {
        this.#failures += 1;
        this.#life.fail(error);
      },
      minMs: MIN_BACK_OFF_MS,
      maxMs: MAX_BACK_OFF_MS,
      // Longer than a run that only waited for a connection and an answer that never came.
      healthyAfterMs: 3 * this.#deadlineMs,
    });
  }

  sample(signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (signal.aborted || this.#life.isOver) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        resolve(undefined);
      };
      const waiting: Waiting = {
        answer(bytes) {
          signal.removeEventListener('abort', leave);
          resolve(bytes);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiting);
      this.#link?.wake();
    });
  }

  status(): SourceReport {
    return {
      ...this.#life.condition,
      basis: NO_BASIS,
      details: {
        server: egdAddressText(this.#endpoint),
        lengthBytes: this.#lengthBytes,
        periodMs: this.#periodMs,
        answers: this.#answers,
        failures: this.#failures,
        reconnects: Math.max(0, this.#connections - 1),
      },
    };
  }

  stop(): Promise<void> {
    return this.#life.end();
  }

  #nobodyWaits(): void {
    for (const waiting of this.#waiting.splice(0)) waiting.answer(undefined);
  }

  /** One connection. Ends only by a fault or by the signal. */
  async #converse(sink: SourceSink, signal: AbortSignal): Promise<void> {
    const link = await EgdLink.open(this.#endpoint, {
      environment: this.#environment,
      deadlineMs: this.#deadlineMs,
      signal,
    });
    this.#connections += 1;
    this.#link = link;
    try {
      for (let dueNs = 0n; !signal.aborted;) {
        const asked = this.#waiting[0];
        const nowNs = this.#environment.monotonicNs();
        if (asked === undefined && nowNs < dueNs) {
          await link.rest(Number(dueNs - nowNs) / 1e6);
          continue;
        }
        if (asked === undefined) {
          dueNs = nowNs + BigInt(Math.ceil(jitteredMs(this.#environment, this.#periodMs) * 1e6));
        }
        this.#heard(await this.#ask(link), asked, sink);
      }
    } finally {
      this.#link = undefined;
      await link.close();
    }
  }

  async #ask(link: EgdLink): Promise<Uint8Array> {
    const request = { kind: 'read', lengthBytes: this.#lengthBytes, blocking: true } as const;
    const reply = await link.ask(encodeEgdRequest(request), new EgdReplyDecoder(request), this.#deadlineMs);
    if (reply.kind !== 'read') throw new TypeError('a read is answered by bytes');
    this.#environment.arrivals.note();
    return reply.bytes;
  }

  /** @param asked - the round this was asked for; it may have closed meanwhile, and the bytes are then heard */
  #heard(bytes: Uint8Array, asked: Waiting | undefined, sink: SourceSink): void {
    if (this.#life.isOver) return;
    this.#answers += 1;
    this.#life.note('ok');
    const [first] = this.#waiting;
    if (asked !== undefined && asked === first) {
      this.#waiting.shift();
      asked.answer(bytes);
      return;
    }
    sink.hear(bytes);
    bytes.fill(0);
  }
}
