import { LamplighterError, wipe } from '@lamplighter/core';
import { certificateLife, expiresSoon, renewalDueMs } from '../../identity/certificate-life.js';
import { replaceIdentity } from '../../identity/identity-files.js';
import { loadTlsFiles, type TlsMaterial, type TlsOptions } from '../../identity/tls-files.js';
import { type Environment, monotonicMs } from '../../local/environment.js';
import { jitteredMs } from '../../local/jitter.js';
import { backOffMs } from '../../local/retry.js';
import type { CertificateStatus } from '../../wire/certificate-status.js';
import type { Renewed } from '../../wire/renew.js';
import { reasonOf } from '../../wire/reason.js';
import type { Reason } from '../../wire/status.js';

/** Where a node's certificate is renewed: at its own CA folder, or at the node that is the CA. */
export interface Renewer {
  /** Whether the CA has something for us before two thirds of our life are over: another root. */
  isAhead(tls: TlsMaterial): Promise<boolean>;
  /** @throws LamplighterError when there is no new certificate; nothing was changed */
  renew(tls: TlsMaterial, signal: AbortSignal): Promise<Renewed>;
}

export interface OwnCertificateOptions {
  /** Where its files are now: a reload may name others. */
  readonly paths: () => TlsOptions;
  /** What the node holds now. */
  readonly current: () => TlsMaterial;
  /** Undefined where certificates are made by somebody else, who replaces the files. */
  readonly authority: Renewer | undefined;
  readonly environment: Environment;
  /** Hears of every new certificate, whoever made it; from then on `current` gives it. */
  readonly onChange: (tls: TlsMaterial) => void;
}

// Implementation constants.
const LONGEST_LOOK_MS = 60_000;
const SHARE = 1 / 20;
const SHORTEST_LOOK_MS = 200;
const SHORTEST_BACK_OFF_MS = 5_000;
const LONGEST_BACK_OFF_MS = 3_600_000;

/**
 * A node's own certificate while the node runs: takes what somebody puts in its place, and renews it itself where it can.
 *
 * Every minute, or twenty times in a life that is shorter, it looks at the files. A replacement that cannot be used changes
 * nothing but the status.
 */
export class OwnCertificate {
  readonly #options: OwnCertificateOptions;
  readonly #stopping = new AbortController();
  /** What the files looked like when they were read. */
  #seen: string | undefined;
  #unusable: LamplighterError | undefined;
  #unrenewed: LamplighterError | undefined;
  #failures = 0;
  #notBeforeMs = 0;
  #running: Promise<void> | undefined;
  /** One look waits for the one before it. */
  #looking: Promise<void> = Promise.resolve();

  constructor(options: OwnCertificateOptions) {
    this.#options = options;
  }

  /** Begins to look. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends it; resolves when nothing is under way. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort(new LamplighterError('ERR_STOPPED', 'the node is stopping'));
    await this.#running;
  }

  /**
   * Looks now, and renews if it is time: for whoever was told that files have changed.
   * @returns when everything is done; never rejects
   */
  look(): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      await this.#reload();
      if (await this.#isDue()) await this.#renew();
    });
    return this.#looking;
  }

  /**
   * Renews a certificate that has ended; only the CA itself can, for nobody lets in who comes with one.
   * @throws LamplighterError ERR_CERTIFICATE_EXPIRED when it is not renewed
   */
  async renewExpired(): Promise<void> {
    const isExpired = (): boolean => this.#options.current().notAfter.getTime() <= this.#nowMs();
    if (!isExpired()) return;
    await this.look();
    if (!isExpired()) return;
    const { notAfter } = this.#options.current();
    throw new LamplighterError(
      'ERR_CERTIFICATE_EXPIRED',
      `the certificate expired on ${notAfter.toISOString()}`,
      {
        hint: this.#unrenewed?.message ?? 'make a new one with `lamplighter ca issue`; check the clock first',
        cause: this.#unrenewed,
      },
    );
  }

  status(): CertificateStatus {
    const { authority, current } = this.#options;
    const tls = current();
    const { identity, notAfter } = tls;
    const { role, name, serial } = identity;
    const reason = this.#reason();
    const dueMs = renewalDueMs(tls);
    return {
      name,
      role,
      serial,
      notAfter: notAfter.toISOString(),
      ...(authority && { renewsAt: new Date(Math.max(dueMs, this.#nowMs())).toISOString() }),
      ...(reason && { reason }),
    };
  }

  #reason(): Reason | undefined {
    if (this.#unrenewed !== undefined) return unrenewed(this.#unrenewed);
    if (this.#unusable !== undefined) return unusable(this.#unusable);
    const { authority, current } = this.#options;
    const tls = current();
    if (!expiresSoon(tls, this.#nowMs())) return undefined;
    const { identity, notAfter } = tls;
    return {
      code: 'ERR_RENEWAL',
      message: `the certificate of ${identity.role} ${identity.name} expires on ${notAfter.toISOString()}`,
      hint:
        authority === undefined
          ? 'renew it with `lamplighter ca issue --replace`, or let the node do so: authority: { url: … }'
          : 'see why it was not renewed yet',
    };
  }

  async #run(): Promise<void> {
    const { environment } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.look();
      const pauseMs = this.#share(SHORTEST_LOOK_MS, LONGEST_LOOK_MS);
      await environment.timers.sleep(jitteredMs(environment, pauseMs), signal).catch(() => undefined);
    }
  }

  /** A twentieth of the certificate's life, between these bounds. */
  #share(leastMs: number, mostMs: number): number {
    const { issuedMs, expiresMs } = certificateLife(this.#options.current());
    return Math.max(leastMs, Math.min(mostMs, (expiresMs - issuedMs) * SHARE));
  }

  /** Reads the files again when they look different, or could not be used the last time. */
  async #reload(): Promise<void> {
    const { paths, current, onChange } = this.#options;
    const seen = await this.#appearance();
    if (seen === this.#seen && this.#unusable === undefined) return;
    try {
      const tls = await loadTlsFiles(paths());
      this.#seen = seen;
      this.#unusable = undefined;
      if (isSame(tls, current())) return;
      this.#unrenewed = undefined;
      this.#failures = 0;
      onChange(tls);
    } catch (error) {
      this.#unusable = asRenewal(error);
    }
  }

  async #isDue(): Promise<boolean> {
    const { authority, environment, current } = this.#options;
    if (authority === undefined || monotonicMs(environment) < this.#notBeforeMs) return false;
    if (this.#nowMs() >= renewalDueMs(current())) return true;
    try {
      const isAhead = await authority.isAhead(current());
      if (!isAhead) this.#unrenewed = undefined;
      return isAhead;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  async #renew(): Promise<void> {
    const { authority, paths, current } = this.#options;
    const { signal } = this.#stopping;
    if (authority === undefined) return;
    try {
      const renewed = await authority.renew(current(), signal);
      try {
        const { keyPem, certificatePem, trust } = renewed;
        await replaceIdentity(paths(), { keyPem, certificatePem, ...(trust !== undefined && { trust }) });
      } finally {
        wipe(renewed.keyPem);
      }
      this.#unrenewed = undefined;
      this.#failures = 0;
      await this.#reload();
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    const { environment } = this.#options;
    const fault = asRenewal(error);
    this.#unrenewed = fault;
    this.#failures += 1;
    const maxMs = this.#share(SHORTEST_LOOK_MS, LONGEST_BACK_OFF_MS);
    const minMs = Math.min(SHORTEST_BACK_OFF_MS, maxMs);
    const askedMs = Math.min(fault.retryAfterMs ?? 0, LONGEST_BACK_OFF_MS);
    const waitMs = Math.max(backOffMs(environment, this.#failures, { minMs, maxMs }), askedMs);
    this.#notBeforeMs = monotonicMs(environment) + waitMs;
  }

  #nowMs(): number {
    return Number(this.#options.environment.realtimeNs() / 1_000_000n);
  }

  /** Which files stand there: another number of the file, size or time is another file. */
  async #appearance(): Promise<string> {
    const { environment, paths } = this.#options;
    const { ca, cert, key } = paths();
    const looks = await Promise.all(
      [ca, cert, key].map(async (path) => {
        const stat = await environment.fs.stat(path, { bigint: true }).catch(() => undefined);
        return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
      }),
    );
    return looks.join(', ');
  }
}

function isSame(one: TlsMaterial, other: TlsMaterial): boolean {
  return one.cert.equals(other.cert) && one.key.equals(other.key) && one.ca.equals(other.ca);
}

function asRenewal(error: unknown): LamplighterError {
  if (error instanceof LamplighterError) return error;
  return new LamplighterError('ERR_RENEWAL', 'an unexpected error', { cause: error });
}

function unusable(fault: LamplighterError): Reason {
  const reason = reasonOf(fault);
  return { ...reason, message: `${reason.message}; the certificate of before stays in use` };
}

function unrenewed(fault: LamplighterError): Reason {
  const { message, hint } = reasonOf(fault);
  return {
    code: 'ERR_RENEWAL',
    message: `the certificate was not renewed: ${message} [${fault.code}]`,
    ...(hint !== undefined && { hint }),
  };
}
