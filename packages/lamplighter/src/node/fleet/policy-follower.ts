import { LamplighterError } from '@lamplighter/core';
import type { Policy } from '../../identity/policy.js';
import { policyDirectory } from '../../identity/policy-folder.js';
import { watchPolicy } from '../../identity/policy-watch.js';
import type { Environment } from '../../local/environment.js';
import { isSamePolicy, type PolicyStatus } from '../../wire/policy.js';
import { followPolicy } from '../../wire/policy-client.js';
import { reasonOf } from '../../wire/reason.js';
import type { Upstream } from '../../wire/upstream.js';
import type { PolicyOrigin } from './policy-route.js';
import { StoredPolicy } from './stored-policy.js';

/** Where a node learns who is revoked. */
export type PolicyAuthority =
  /** This node is the CA: its folder `policy` is made when missing, and what is of no use any more is removed. */
  | { readonly kind: 'ca'; readonly folder: string }
  /** A copy of a CA's folder that somebody keeps up to date: only its `policy` is read, and nothing is written. */
  | { readonly kind: 'copy'; readonly folder: string }
  /** Another node; what it told last is kept in the state folder. */
  | { readonly kind: 'node'; readonly upstream: Upstream; readonly state: string };

/** How long a start waits for the first policy where there is none of an earlier time. */
const FIRST_POLICY_MS = 2_000;

/**
 * Keeps up with an authority's policy. What is known stays in force whatever happens to where it came from; it is never taken
 * for "nobody is revoked" that nothing can be learned.
 */
export class PolicyFollower implements PolicyOrigin {
  readonly #authority: PolicyAuthority;
  readonly #environment: Environment;
  readonly #stopping = new AbortController();
  readonly #listeners = new Set<(policy: Policy) => void>();
  #policy: Policy | undefined;
  #changedMs: number | undefined;
  /** Why it cannot be learned now, and since when. */
  #lost: { readonly error: unknown; readonly sinceMs: number } | undefined;
  #faults: readonly LamplighterError[] = [];
  #storing: LamplighterError | undefined;
  #answered: () => void = () => undefined;
  #following: Promise<void> | undefined;
  #stored: Promise<void> = Promise.resolve();

  constructor(authority: PolicyAuthority, environment: Environment) {
    this.#authority = authority;
    this.#environment = environment;
  }

  /**
   * Begins. Returns when a policy is known, which {@link PolicyFollower.onChange} was told of, or cannot be for now: a node
   * never waits longer than two seconds for it. Called once.
   */
  async start(): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    if (this.#authority.kind === 'node') await this.#followNode(this.#authority);
    else await this.#followFolder(this.#authority);
    const timer = this.#environment.timers.after(FIRST_POLICY_MS, this.#answered);
    await answered;
    timer.cancel();
  }

  current(): Policy | undefined {
    return this.#policy;
  }

  onChange(listener: (policy: Policy) => void): { remove(): void } {
    this.#listeners.add(listener);
    return { remove: () => void this.#listeners.delete(listener) };
  }

  status(): PolicyStatus {
    const { revokedNames, revokedSerials, quotas } = this.#policy ?? {};
    const problem = this.#problem();
    return {
      from: this.#policy === undefined ? 'none' : this.#authority.kind === 'node' ? 'authority' : 'folder',
      revokedNames: revokedNames?.size ?? 0,
      revokedSerials: revokedSerials?.size ?? 0,
      quotas: quotas?.size ?? 0,
      ...(this.#changedMs !== undefined && { changedAt: isoOf(this.#changedMs) }),
      ...(problem !== undefined && { reason: reasonOf(problem) }),
    };
  }

  /** Ends everything; what is known stays known. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#answered();
    await this.#following;
    await this.#stored;
  }

  async #followFolder({ kind, folder }: PolicyAuthority & { readonly folder: string }): Promise<void> {
    const directory = policyDirectory(folder);
    // Whatever stands in the way of making it is told by the first look.
    if (kind === 'ca') await this.#environment.fs.mkdir(directory, { mode: 0o755 }).catch(() => undefined);
    this.#following = watchPolicy(
      directory,
      this.#environment,
      {
        onPolicy: (policy) => this.#believe(policy, this.#nowMs()),
        onFaults: (faults) => {
          this.#faults = faults;
          this.#answered();
        },
      },
      this.#stopping.signal,
      { prune: kind === 'ca' },
    );
  }

  async #followNode({ upstream, state }: PolicyAuthority & { readonly kind: 'node' }): Promise<void> {
    const stored = new StoredPolicy(state, this.#environment);
    try {
      const found = await stored.load();
      if (found !== undefined) this.#believe(found.policy, found.savedMs);
    } catch (error) {
      this.#storing = error as LamplighterError;
    }
    this.#following = followPolicy(
      upstream,
      {
        environment: this.#environment,
        onPolicy: (policy) => {
          this.#lost = undefined;
          const before = this.#policy;
          if (before !== undefined && this.#storing === undefined && isSamePolicy(before, policy)) return;
          this.#believe(policy, this.#nowMs());
          this.#stored = this.#store(stored, policy);
        },
        onFault: (error) => {
          this.#lost = { error, sinceMs: this.#lost?.sinceMs ?? this.#nowMs() };
        },
      },
      this.#stopping.signal,
    );
  }

  async #store(stored: StoredPolicy, policy: Policy): Promise<void> {
    try {
      await stored.save(policy);
      this.#storing = undefined;
    } catch (error) {
      this.#storing = error as LamplighterError;
    }
  }

  #believe(policy: Policy, changedMs: number): void {
    this.#policy = policy;
    this.#changedMs = changedMs;
    for (const listener of this.#listeners) listener(policy);
    this.#answered();
  }

  /** What a person has to know first. */
  #problem(): LamplighterError | undefined {
    const [fault] = this.#faults;
    const nothing = this.#policy === undefined ? 'no policy is known, so that nobody is kept out: ' : '';
    if (fault !== undefined) {
      const others = this.#faults.length > 1 ? `, and ${this.#faults.length - 1} more` : '';
      return told(fault, 'ERR_POLICY_FILE', `${nothing}${fault.message}${others}`);
    }
    if (this.#lost !== undefined) {
      const { message, code } = reasonOf(this.#lost.error);
      const damaged = this.#policy === undefined && this.#storing ? `; ${this.#storing.message}` : '';
      const text = `the authority is not heard since ${isoOf(this.#lost.sinceMs)}: ${message} (${code})`;
      return told(this.#lost.error, 'ERR_POLICY_STALE', `${nothing}${text}${damaged}`);
    }
    if (this.#policy === undefined) {
      const why = this.#storing?.message ?? 'nothing was heard of the authority yet';
      return told(this.#storing, 'ERR_POLICY_STALE', `${nothing}${why}`);
    }
    return this.#storing;
  }

  #nowMs(): number {
    return Number(this.#environment.realtimeNs() / 1_000_000n);
  }
}

function told(
  error: unknown,
  code: 'ERR_POLICY_FILE' | 'ERR_POLICY_STALE',
  message: string,
): LamplighterError {
  const hint = error instanceof LamplighterError ? error.hint : undefined;
  return new LamplighterError(code, message, hint === undefined ? {} : { hint });
}

const isoOf = (realtimeMs: number): string => new Date(realtimeMs).toISOString();
