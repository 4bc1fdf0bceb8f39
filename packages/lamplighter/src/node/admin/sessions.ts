import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Environment } from '../../local/environment.js';

// Implementation constants.
export const SESSION_LIMITS = { lifeMs: 12 * 3_600_000, most: 64 } as const;
const SECRET_BYTES = 32;

/** Somebody who came with a login link. */
export interface Session {
  /** Goes into a header of whatever changes something: a page of another origin cannot know it. */
  readonly csrf: string;
  readonly endsNs: bigint;
}

/**
 * Who is logged in, in memory only: 12 h at most, and at most 64, of whom the oldest gives up its place. A session is known by the
 * hash of its cookie, so nothing that is looked up is a secret.
 */
export class Sessions {
  readonly #environment: Pick<Environment, 'monotonicNs'>;
  /** By SHA-256 of the cookie's value; the oldest first. */
  readonly #byHash = new Map<string, Session>();

  constructor(environment: Pick<Environment, 'monotonicNs'>) {
    this.#environment = environment;
  }

  /** @returns the cookie's value, 43 characters that are kept nowhere here */
  open(): string {
    this.#prune();
    const [oldest] = this.#byHash.keys();
    if (oldest !== undefined && this.#byHash.size >= SESSION_LIMITS.most) this.#byHash.delete(oldest);
    const value = randomBytes(SECRET_BYTES).toString('base64url');
    const endsNs = this.#environment.monotonicNs() + BigInt(SESSION_LIMITS.lifeMs) * 1_000_000n;
    this.#byHash.set(hashOf(value), { csrf: randomBytes(SECRET_BYTES).toString('base64url'), endsNs });
    return value;
  }

  /** The session of a cookie's value, while it lasts. */
  find(value: string): Session | undefined {
    const session = this.#byHash.get(hashOf(value));
    return session !== undefined && this.isLive(session) ? session : undefined;
  }

  /** Whether a session was neither closed nor has ended. */
  isLive(session: Session): boolean {
    if (this.#environment.monotonicNs() >= session.endsNs) return false;
    for (const live of this.#byHash.values()) if (live === session) return true;
    return false;
  }

  close(session: Session): void {
    for (const [hash, other] of this.#byHash) if (other === session) this.#byHash.delete(hash);
  }

  get size(): number {
    this.#prune();
    return this.#byHash.size;
  }

  #prune(): void {
    const nowNs = this.#environment.monotonicNs();
    for (const [hash, { endsNs }] of this.#byHash) if (nowNs >= endsNs) this.#byHash.delete(hash);
  }
}

/** Whether a header holds a session's CSRF token; takes the same time whatever it holds. */
export function hasCsrf(session: Session, header: string): boolean {
  return timingSafeEqual(digest(session.csrf), digest(header));
}

const digest = (value: string): Buffer => createHash('sha256').update(value).digest();
const hashOf = (value: string): string => digest(value).toString('base64url');
