import { hash } from 'node:crypto';
import { hmac, LamplighterError, wipe } from '@lamplighter/core';
import { readAuthorities } from '../../identity/pem-file.js';
import type { TlsMaterial } from '../../identity/tls-files.js';
import type { Environment } from '../../local/environment.js';
import type { Stream } from '../../local/stream.js';
import { type Exchange, Listener, type ListenerMaterial, type ListenerOptions } from '../../wire/listener.js';
import {
  POLLEN_ANSWER_LENGTH_BYTES,
  POLLEN_CONTENT_TYPE,
  POLLEN_RANDOM_LENGTH_BYTES,
  pollenAnswer,
} from '../../wire/pollen.js';
import type { OutletReport } from '../../wire/status.js';
import { loadServerFiles } from '../../wire/server-files.js';
import type { Outlet, OutletContext } from '../outlet.js';
import { basisForAnswer, isServing } from '../serving.js';
import { AddressBudgets } from './address-budget.js';
import { challengeOf } from './challenge.js';

/** pollinate's form is 138 bytes. */
const MAX_BODY_BYTES = 8_192;
/** Some 100 bytes each. */
const MAX_ADDRESSES = 8_192;

const HEADERS = { 'content-type': POLLEN_CONTENT_TYPE };
const HEADERS_OF_REFUSAL = { ...HEADERS, 'x-content-type-options': 'nosniff' };
const NO_CHALLENGE = Buffer.from(
  'ERR_CHALLENGE: ask as pollinate does, with a field named challenge that is not empty\n',
);

/** Where it listens. */
interface Address {
  readonly host: string;
  /** 0 lets the system choose; the status says which. */
  readonly port: number;
}

/** How a pollen outlet is configured. */
export interface PollenOutletOptions {
  readonly name: string;
  /** In the clear: whoever is on the way reads the answer. */
  readonly http?: Address | undefined;
  /** TLS 1.3. `cert` and `key`, both or neither: the node's own unless told; `clientCa`: see {@link loadServerFiles}. */
  readonly https?:
    | (Address & {
        readonly cert?: string | undefined;
        readonly key?: string | undefined;
        readonly clientCa?: string | undefined;
      })
    | undefined;
  /** Requests an address, or an IPv6 /64, may make in a minute, and at once; ≥ 1. */
  readonly perMinute: number;
  readonly environment: Environment;
  /** The node's own certificate. @throws LamplighterError ERR_CONFIG when it has none */
  readonly tls: () => TlsMaterial;
  /** For its listeners: what looks for a clone before each request, and what hears of our own faults. */
  readonly listening?: Pick<ListenerOptions, 'before' | 'onError'>;
}

/** An outlet that listens for itself. */
export interface PollenOutlet extends Outlet {
  /** Destroys every connection without another byte (DESIGN 6.4, step 1). @returns how many there were */
  cut(): number;
  /**
   * Uses the certificate as it is now, the node's own or its own files, for handshakes from now on.
   * @throws LamplighterError ERR_CERTIFICATE_FILE, ERR_KEY_FILE; the old one stays in use
   */
  reloadTls(): Promise<void>;
}

/**
 * Answers the pollen protocol, for machines that run pollinate: any path, any method, a challenge in the query or in a form.
 *
 *     hex(sha512(challenge)) LF hex(HMAC-SHA-512(64 bytes of its own stream, challenge)) LF
 *
 * Source: DESIGN section 8, and what Debian's pollen 4.21 answers. Every answer has a key of its own, so no two share a byte,
 * also for one challenge. Nobody is known here: who asks is held to a budget by his address. What he asks with is mixed, as one
 * source for all, and earns nothing.
 * @throws LamplighterError ERR_CONFIG when it would listen nowhere, or has half a certificate
 */
export function pollenOutlet(options: PollenOutletOptions): PollenOutlet {
  const { http, https } = options;
  if (http === undefined && https === undefined) {
    throw new LamplighterError('ERR_CONFIG', 'pollen: neither http nor https', {
      hint: 'say where it listens: https: { host: 0.0.0.0, port: 443 }',
    });
  }
  if ((https?.cert === undefined) !== (https?.key === undefined)) {
    throw new LamplighterError('ERR_CONFIG', 'pollen: https needs cert and key, or neither');
  }
  return new PollenListeners(options);
}

class PollenListeners implements PollenOutlet {
  readonly name: string;
  readonly kind = 'pollen';
  readonly #options: PollenOutletOptions;
  readonly #budgets: AddressBudgets;
  #http: Listener | undefined;
  #https: Listener | undefined;
  #bound: { readonly http?: string; readonly https?: string } = {};
  #maker: { readonly context: OutletContext; readonly stream: Stream } | undefined;
  readonly #stopped = new AbortController();
  #stopping: Promise<void> | undefined;
  #answers = 0;
  #answersInClear = 0;
  #overBudget = 0;
  #refused = 0;

  constructor(options: PollenOutletOptions) {
    this.name = options.name;
    this.#options = options;
    this.#budgets = new AddressBudgets(
      { perMinute: options.perMinute, maxAddresses: MAX_ADDRESSES },
      options.environment,
    );
  }

  async start(context: OutletContext, signal: AbortSignal): Promise<void> {
    const { http, https, listening } = this.#options;
    this.#maker = { context, stream: context.stream('pollen') };
    signal.addEventListener('abort', () => void this.stop(0), { once: true, signal: this.#stopped.signal });
    if (signal.aborted) return this.stop(0);
    if (http !== undefined) {
      this.#http = new Listener(undefined, { ...listening, access: 'plain' });
      await this.#listen('http', this.#http, http);
    }
    if (https !== undefined) {
      const material = await this.#material();
      // A listener made now would never be stopped.
      if (this.#stopped.signal.aborted) return;
      this.#https = new Listener(material, { ...listening, access: 'server' });
      await this.#listen('https', this.#https, https);
    }
  }

  status(): OutletReport {
    const { http, https, perMinute } = this.#options;
    return {
      state: this.#outletState(),
      bytes: this.#answers * POLLEN_ANSWER_LENGTH_BYTES,
      details: {
        answers: this.#answers,
        overBudget: this.#overBudget,
        refused: this.#refused,
        addresses: this.#budgets.size,
        perMinute,
        ...this.#bound,
        ...(http && { answersInClear: this.#answersInClear, answersOverHttp: 'public' }),
        ...(https && { clientsOverHttps: https.clientCa === undefined ? 'anyone' : 'with a certificate' }),
      },
    };
  }

  cut(): number {
    return (this.#http?.cut() ?? 0) + (this.#https?.cut() ?? 0);
  }

  async reloadTls(): Promise<void> {
    if (this.#https === undefined) return;
    this.#https.replaceTls(await this.#material());
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#stopped.abort();
    await Promise.all([this.#http?.stop(deadlineMs), this.#https?.stop(deadlineMs)]);
    this.#maker?.stream.close();
  }

  async #listen(scheme: 'http' | 'https', listener: Listener, { host, port }: Address): Promise<void> {
    listener.route({
      method: 'ANY',
      path: '*',
      roles: 'anyone',
      maxBodyBytes: MAX_BODY_BYTES,
      // Made and handed over within one turn: nothing of ours is ever in flight, so stopping has nothing to drain.
      handle: async (exchange) => this.#answer(exchange, scheme),
    });
    const bound = await listener.listen({ host, port });
    this.#bound = { ...this.#bound, [scheme]: `${bound.host}:${bound.port}` };
  }

  async #material(): Promise<ListenerMaterial> {
    const { https, tls, environment } = this.#options;
    const { cert, key, clientCa } = https ?? {};
    if (cert !== undefined && key !== undefined) {
      return await loadServerFiles({ cert, key, clientCa }, environment);
    }
    const own = tls();
    const ca = clientCa === undefined ? undefined : await readAuthorities(clientCa, environment);
    return { ...own, ...(ca && { clientCa: ca }) };
  }

  #outletState(): OutletReport['state'] {
    if (this.#stopped.signal.aborted) return 'stopped';
    return isServing(this.#maker?.context) ? 'ok' : 'waiting';
  }

  #answer(exchange: Exchange, scheme: 'http' | 'https'): void {
    this.#options.environment.arrivals.note();
    const waitMs = this.#budgets.take(exchange.remoteAddress);
    if (waitMs > 0) {
      this.#overBudget += 1;
      throw new LamplighterError('ERR_QUOTA', 'this address has asked too often', { retryAfterMs: waitMs });
    }
    try {
      const maker = this.#maker;
      if (maker === undefined || this.#stopped.signal.aborted) {
        throw new LamplighterError('ERR_STOPPED', 'the outlet is stopped');
      }
      basisForAnswer(maker.context);
      const { method, target, body } = exchange;
      const challenge = challengeOf({ method, target, contentType: exchange.headers['content-type'], body });
      if (challenge === undefined) {
        this.#refused += 1;
        exchange.reply(400, HEADERS_OF_REFUSAL, NO_CHALLENGE);
        return;
      }
      const answer = answerTo(challenge, maker.stream);
      exchange.reply(200, HEADERS, answer);
      this.#answers += 1;
      if (scheme === 'http') this.#answersInClear += 1;
      maker.context.hear(hash('sha256', challenge, 'buffer'));
    } catch (error) {
      this.#refused += 1;
      throw error;
    }
  }
}

/** Bound to the challenge, under a key that is used for nothing else. */
function answerTo(challenge: Uint8Array, stream: Stream): Uint8Array {
  const key = stream.read(POLLEN_RANDOM_LENGTH_BYTES);
  const random = hmac('sha512', key, challenge);
  try {
    return pollenAnswer(challenge, random);
  } finally {
    wipe(key, random);
  }
}
