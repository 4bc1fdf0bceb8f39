import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { FailedAttempts } from '../fleet/failed-attempts.js';
import type { Log } from '../log.js';
import type { LoginLinks } from './login-links.js';
import type { AdminParts } from './parts.js';
import { SESSION_LIMITS, type Sessions } from './sessions.js';

/** What logging in needs. */
export interface LoginOptions {
  readonly links: LoginLinks;
  readonly sessions: Sessions;
  readonly environment: Pick<Environment, 'monotonicNs' | 'realtimeNs'>;
  /** Hears who has logged in; there is a place for each that could. */
  readonly events: AdminParts['events'];
  /** Hears who has not: anybody can make that happen. */
  readonly log: Pick<Log, 'warn'>;
  /** Of the cookie. */
  readonly cookie: string;
  readonly isTls: boolean;
}

/** Turns a login link into a session. */
export class Login {
  readonly #options: LoginOptions;
  readonly #failed: FailedAttempts;

  constructor(options: LoginOptions) {
    this.#options = options;
    this.#failed = new FailedAttempts(options.environment);
  }

  /**
   * Uses up a link.
   * @param token - from outside
   * @param address - of whoever sent it; those who fail often have to wait
   * @returns the Set-Cookie header
   * @throws LamplighterError ERR_QUOTA with `retryAfterMs`, ERR_LOGIN; ERR_STATE_FILE
   */
  async login(token: unknown, address: string | undefined): Promise<string> {
    const { links, sessions, environment, events, log } = this.#options;
    const waitMs = this.#failed.waitMs(address);
    if (waitMs > 0) {
      throw new LamplighterError('ERR_QUOTA', 'too many logins have failed', { retryAfterMs: waitMs });
    }
    const nowMs = Number(environment.realtimeNs() / 1_000_000n);
    if (typeof token !== 'string' || !(await links.take(token, nowMs))) {
      this.#failed.note(address);
      log.warn({ address }, 'a login was refused');
      throw new LamplighterError(
        'ERR_LOGIN',
        'this login link was used before, has expired, or is not whole',
        {
          hint: 'make another with `lamplighter dashboard link --config FILE`',
        },
      );
    }
    events.add({
      level: 'info',
      part: 'dashboard',
      text: `a browser at ${address ?? 'nowhere'} has logged in`,
    });
    return this.#cookie(sessions.open(), SESSION_LIMITS.lifeMs / 1_000);
  }

  /** The Set-Cookie header that takes the cookie away. */
  logout(): string {
    return this.#cookie('', 0);
  }

  #cookie(value: string, maxAgeS: number): string {
    const { cookie, isTls } = this.#options;
    const secure = isTls ? '; Secure' : '';
    return `${cookie}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`;
  }
}
