import { LamplighterError } from '@lamplighter/core';
import type { Policy } from '../../identity/policy.js';
import type { Environment } from '../../local/environment.js';
import type { Exchange, Listener } from '../../wire/listener.js';
import {
  encodePolicy,
  encodePolicyAlive,
  encodePolicyChange,
  isSamePolicy,
  POLICY_CONTENT_TYPE,
  POLICY_HEARTBEAT_MS,
  POLICY_PATH,
} from '../../wire/policy.js';

/** Nodes that follow the policy here at one time. */
const MAX_FOLLOWERS = 256;

/** Where the policy comes from. */
export interface PolicyOrigin {
  /** Undefined while nothing is known: whoever asks then must not take it for "nobody is revoked". */
  current(): Policy | undefined;
  /** Told of every change from now on, until removed. */
  onChange(listener: () => void): { remove(): void };
}

/**
 * Answers `GET /v1/policy` with the whole policy and every change, for as long as the follower stays (wire/policy.ts).
 *
 * A follower that reads slowly is told what changed since what it was told last, however much happened in between.
 * @returns the way to take it off again: followers under way are ended
 */
export function policyRoute(
  listener: Pick<Listener, 'route'>,
  origin: PolicyOrigin,
  environment: Pick<Environment, 'timers'>,
): { remove(): void } {
  const publisher = new Publisher(origin, environment);
  const route = listener.route({
    method: 'GET',
    path: POLICY_PATH,
    roles: ['office', 'relay'],
    maxBodyBytes: 0,
    handle: (exchange) => publisher.serve(exchange),
  });
  return {
    remove: () => {
      route.remove();
      publisher.stop();
    },
  };
}

/** One policy, and what is told of it. Encoded once, however many follow. */
class Edition {
  readonly policy: Policy;
  readonly sequence: number;
  #whole: readonly Buffer[] | undefined;
  readonly #changes = new Map<number, readonly Buffer[]>();

  constructor(policy: Policy, sequence: number) {
    this.policy = policy;
    this.sequence = sequence;
  }

  /** What tells a follower of it that knows another edition, or none. */
  linesAfter(known: Edition | undefined): readonly Buffer[] {
    this.#whole ??= encodePolicy(this.policy, this.sequence);
    if (known === undefined) return this.#whole;
    let lines = this.#changes.get(known.sequence);
    if (lines === undefined) {
      const change = encodePolicyChange(known, this);
      lines = change === undefined ? this.#whole : [change];
      this.#changes.set(known.sequence, lines);
    }
    return lines;
  }
}

class Publisher {
  readonly #origin: PolicyOrigin;
  readonly #environment: Pick<Environment, 'timers'>;
  readonly #stopping = new AbortController();
  readonly #wakes = new Set<() => void>();
  readonly #subscription: { remove(): void };
  #edition: Edition | undefined;
  #followers = 0;

  constructor(origin: PolicyOrigin, environment: Pick<Environment, 'timers'>) {
    this.#origin = origin;
    this.#environment = environment;
    this.#subscription = origin.onChange(() => {
      for (const wake of this.#wakes) wake();
    });
  }

  stop(): void {
    this.#subscription.remove();
    this.#stopping.abort();
  }

  /** @throws LamplighterError ERR_NOT_SEEDED while no policy is known here, ERR_TOO_MANY_CONNECTIONS */
  async serve(exchange: Exchange): Promise<void> {
    if (this.#latest() === undefined) {
      throw new LamplighterError('ERR_NOT_SEEDED', 'the policy is not known here yet');
    }
    if (this.#followers >= MAX_FOLLOWERS) {
      throw new LamplighterError('ERR_TOO_MANY_CONNECTIONS', 'the policy has all the followers it takes');
    }
    this.#followers += 1;
    try {
      await this.#tell(exchange);
    } finally {
      this.#followers -= 1;
    }
  }

  async #tell(exchange: Exchange): Promise<void> {
    const over = AbortSignal.any([exchange.signal, this.#stopping.signal]);
    const response = exchange.stream({ 'content-type': POLICY_CONTENT_TYPE });
    let told: Edition | undefined;
    try {
      while (!over.aborted) {
        const latest = this.#latest() ?? told;
        if (latest === undefined) break;
        const isNew = latest !== told;
        const lines = isNew ? latest.linesAfter(told) : [encodePolicyAlive(latest.sequence)];
        for (const line of lines) await response.write(line);
        told = latest;
        await this.#changeOrHeartbeat(told, over);
      }
    } catch (error) {
      if (!over.aborted) throw error;
    }
    response.end();
  }

  #latest(): Edition | undefined {
    const policy = this.#origin.current();
    const edition = this.#edition;
    if (policy === undefined || policy === edition?.policy) return edition;
    if (edition !== undefined && isSamePolicy(policy, edition.policy)) return edition;
    this.#edition = new Edition(policy, (edition?.sequence ?? 0) + 1);
    return this.#edition;
  }

  async #changeOrHeartbeat(told: Edition, over: AbortSignal): Promise<void> {
    if (over.aborted || this.#latest() !== told) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#wakes.delete(done);
        over.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#environment.timers.after(POLICY_HEARTBEAT_MS, done);
      this.#wakes.add(done);
      over.addEventListener('abort', done, { once: true });
    });
  }
}
