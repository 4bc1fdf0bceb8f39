import { LamplighterError } from '@lamplighter/core';
import { isRevoked, NO_POLICY, type Policy, type Quota } from '../../identity/policy.js';
import { type PeerIdentity, type Role, ROLES } from '../../identity/roles.js';
import type { Environment } from '../../local/environment.js';
import type { PeersStatus, PeerSpending } from '../../wire/fleet-status.js';
import type { Gate, Spending } from '../../wire/gate.js';
import { Bucket } from './bucket.js';

/** Identities that are remembered at one time. */
const MAX_IDENTITIES = 10_000;
/** How many are looked at for one that can be forgotten, whenever another comes. */
const LOOK_AT = 32;
/** Identities named in the status. */
const TOP = 10;
/** When there is no place for another identity. One that took a single beacon is forgotten about as soon. */
const NO_PLACE_RETRY_MS = 1_000;

/** What one identity has taken since it was last forgotten. */
export type Taken = Pick<PeerSpending, 'role' | 'name' | 'beacons'>;

/** What one identity may take, has taken, and holds open. */
interface Account {
  readonly role: Role;
  readonly name: string;
  readonly beacons: Bucket;
  readonly feedBytes: Bucket;
  mostConnections: number;
  connections: number;
  refused: number;
}

/**
 * Revocations and quotas, for every connection and request of a listener.
 *
 * A budget belongs to a role and a name, not to a certificate: whoever renews has spent what he had spent. Only the monotonic
 * clock counts. An identity is forgotten when its place is needed, it has no connection, and its budget is whole again, so that
 * forgetting gives nobody anything. The number of identities is bounded by the CA in the first place: a flood of names needs a
 * certificate for each.
 */
export class PolicyGate implements Gate {
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  readonly #quotas: Readonly<Record<Role, Quota>>;
  readonly #maxIdentities: number;
  /** Role by role, so that nothing is put together for a look-up; each the longest unvisited first. */
  readonly #accounts: Readonly<Record<Role, Map<string, Account>>>;
  readonly #refused = { quota: 0, connections: 0, revoked: 0, identities: 0 };
  #identities = 0;
  #policy: Policy = NO_POLICY;

  /**
   * @param options - `quotas`: for each role, within {@link QUOTA_BOUNDS}; `maxIdentities`: 10,000 unless told
   */
  constructor(options: {
    readonly environment: Pick<Environment, 'monotonicNs'>;
    readonly quotas: Readonly<Record<Role, Quota>>;
    readonly maxIdentities?: number;
  }) {
    this.#environment = options.environment;
    this.#quotas = options.quotas;
    this.#maxIdentities = options.maxIdentities ?? MAX_IDENTITIES;
    const of = (): Map<string, Account> => new Map();
    this.#accounts = { office: of(), relay: of(), service: of(), machine: of(), admin: of() };
  }

  /** Who is revoked and who has a quota of its own from now on. Connections already open are the caller's to destroy. */
  apply(policy: Policy): void {
    const before = this.#policy.quotas;
    this.#policy = policy;
    const nowNs = this.#nowNs();
    for (const role of ROLES) {
      for (const [name, account] of this.#accounts[role]) {
        if (before.get(name) === policy.quotas.get(name)) continue;
        const quota = this.#quotaOf(role, name);
        account.beacons.become(quota.beaconsPerMinute, quota.beaconBurst, nowNs);
        account.feedBytes.become(quota.feedBytesPerMinute, quota.feedBurstBytes, nowNs);
        account.mostConnections = quota.connections;
      }
    }
  }

  /** Whether the policy in force lets this peer in no more. */
  isRevoked(peer: PeerIdentity): boolean {
    return isRevoked(this.#policy, peer);
  }

  open(peer: PeerIdentity): void {
    this.admit(peer);
    const account = this.#account(peer);
    if (account.connections >= account.mostConnections) {
      this.#refused.connections += 1;
      account.refused += 1;
      throw new LamplighterError(
        'ERR_TOO_MANY_CONNECTIONS',
        `${peer.role} ${peer.name} has ${account.connections} connections, as many as it may`,
      );
    }
    account.connections += 1;
  }

  close(peer: PeerIdentity): void {
    const account = this.#accounts[peer.role].get(peer.name);
    if (account === undefined || account.connections === 0) throw new TypeError('no such connection is open');
    account.connections -= 1;
  }

  admit(peer: PeerIdentity): void {
    if (!isRevoked(this.#policy, peer)) return;
    this.#refused.revoked += 1;
    throw new LamplighterError('ERR_REVOKED', `${peer.role} ${peer.name} is revoked`, {
      hint: 'whoever keeps the CA can give its name free with `lamplighter ca unrevoke`, to be enrolled again',
    });
  }

  spend(peer: PeerIdentity, what: Spending, amount: number): void {
    const account = this.#account(peer);
    const waitMs = account[what].take(amount, this.#nowNs());
    if (waitMs === 0) return;
    this.#refused.quota += 1;
    account.refused += 1;
    const kind = what === 'beacons' ? 'beacons' : 'feed bytes';
    throw new LamplighterError('ERR_QUOTA', `${peer.role} ${peer.name} has taken all the ${kind} it may`, {
      hint: 'wait; whoever keeps the CA can allow it more with `lamplighter ca quota`',
      retryAfterMs: waitMs,
    });
  }

  status(): PeersStatus {
    return {
      identities: this.#identities,
      refused: { ...this.#refused },
      top: this.#top().map(({ role, name, connections, refused, beacons, feedBytes }) => ({
        role,
        name,
        connections,
        beacons: beacons.taken,
        feedBytes: feedBytes.taken,
        refused,
      })),
    };
  }

  /** The beacons that every identity remembered has taken, in no order: at most as many as are remembered. */
  *taken(): Generator<Taken> {
    for (const role of ROLES) {
      for (const { name, beacons } of this.#accounts[role].values())
        yield { role, name, beacons: beacons.taken };
    }
  }

  /** Asked for twice a second: looks at each once, and sorts ten. */
  #top(): Account[] {
    const top: Account[] = [];
    for (const role of ROLES) {
      for (const account of this.#accounts[role].values()) {
        const last = top.at(-1);
        if (top.length >= TOP && last !== undefined && weight(account) <= weight(last)) continue;
        top.push(account);
        top.sort((a, b) => weight(b) - weight(a));
        if (top.length > TOP) top.pop();
      }
    }
    return top;
  }

  #account(peer: PeerIdentity): Account {
    const { role, name } = peer;
    const known = this.#accounts[role].get(name);
    if (known !== undefined) return known;
    if (this.#identities >= this.#maxIdentities && !this.#forgetOne(role)) {
      this.#refused.identities += 1;
      throw new LamplighterError('ERR_OVERLOADED', 'too many have asked for too much at once', {
        retryAfterMs: NO_PLACE_RETRY_MS,
      });
    }
    const quota = this.#quotaOf(role, name);
    const account: Account = {
      role,
      name,
      beacons: new Bucket(quota.beaconsPerMinute, quota.beaconBurst),
      feedBytes: new Bucket(quota.feedBytesPerMinute, quota.feedBurstBytes),
      mostConnections: quota.connections,
      connections: 0,
      refused: 0,
    };
    this.#accounts[role].set(name, account);
    this.#identities += 1;
    return account;
  }

  /** @returns whether a place was made; whoever cannot be forgotten is looked at last the next time */
  #forgetOne(role: Role): boolean {
    const nowNs = this.#nowNs();
    for (const among of [role, ...ROLES.filter((other) => other !== role)]) {
      const accounts = this.#accounts[among];
      let looks = 0;
      for (const [name, account] of accounts) {
        if (looks++ >= LOOK_AT) break;
        accounts.delete(name);
        if (account.connections === 0 && account.beacons.isFull(nowNs) && account.feedBytes.isFull(nowNs)) {
          this.#identities -= 1;
          return true;
        }
        accounts.set(name, account);
      }
    }
    return false;
  }

  /** A number, because the buckets do their arithmetic in it: exact for 104 days of the clock, then to two nanoseconds. */
  #nowNs(): number {
    return Number(this.#environment.monotonicNs());
  }

  #quotaOf(role: Role, name: string): Quota {
    return { ...this.#quotas[role], ...this.#policy.quotas.get(name) };
  }
}

/** What somebody cost: a beacon is 64 bytes. */
const weight = ({ beacons, feedBytes }: Account): number => beacons.taken * 64 + feedBytes.taken;
