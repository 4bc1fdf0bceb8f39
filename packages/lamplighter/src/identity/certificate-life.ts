import { X509Certificate } from 'node:crypto';
import { pemCertificates } from './certificate-chain.js';
import { BACKDATE_MS } from './life.js';
import type { TlsMaterial } from './tls-files.js';
import { readTrustFile } from './trust-list.js';

/** From when to when a certificate is for use, and when in between another should be asked for. */
export interface CertificateLife {
  /** When it was made, ms since 1970; `notBefore` is earlier, because clocks differ. */
  readonly issuedMs: number;
  readonly expiresMs: number;
  /** At two thirds of its life, and up to a twentieth of it earlier. */
  readonly renewsMs: number;
}

/** What of our own TLS material says how long it lives. */
export type Living = Pick<TlsMaterial, 'notBefore' | 'notAfter' | 'identity'>;

const RENEWED_AT = 2 / 3;
/** Machines that were enrolled together are not to come back together. */
const SPREAD = 1 / 20;
/** A certificate that lives long is worth a warning no earlier than this. */
const LONGEST_WARNING_MS = 7 * 86_400_000;

/**
 * The life of a certificate.
 *
 * What lives no longer than our certificates are backdated is not of our CA: its life begins at `notBefore`.
 * @returns `renewsMs` is the same at every call: its spread is taken from the certificate's fingerprint
 */
export function certificateLife({ notBefore, notAfter, identity }: Living): CertificateLife {
  const expiresMs = notAfter.getTime();
  const validMs = expiresMs - notBefore.getTime();
  const issuedMs = notBefore.getTime() + (validMs > BACKDATE_MS ? BACKDATE_MS : 0);
  const [high = 0, low = 0] = identity.fingerprint;
  const share = RENEWED_AT - (SPREAD * (high * 256 + low)) / 65_536;
  return { issuedMs, expiresMs, renewsMs: issuedMs + (expiresMs - issuedMs) * share };
}

/** Whether a certificate is in the last quarter of its life, or, if that is longer, in the last seven days. */
export function expiresSoon(living: Living, nowMs: number): boolean {
  const { issuedMs, expiresMs } = certificateLife(living);
  return expiresMs - nowMs < Math.min((expiresMs - issuedMs) / 4, LONGEST_WARNING_MS);
}

/**
 * When a certificate should be renewed, ms since 1970: now when its CA signs with another root meanwhile, as the trust list that
 * we hold says.
 */
export function renewalDueMs(tls: Living & Pick<TlsMaterial, 'cert' | 'ca'>): number {
  return isByFirstRoot(tls) ? certificateLife(tls).renewsMs : 0;
}

/** Asked only of a list of ours: in other CA files the order says nothing. */
function isByFirstRoot({ cert, ca }: Pick<TlsMaterial, 'cert' | 'ca'>): boolean {
  const { sequence, roots } = readTrustFile(ca);
  const [first, ...others] = roots;
  if (sequence === 0 || first === undefined || others.length === 0) return true;
  const [leaf] = pemCertificates(cert).map((block) => new X509Certificate(block));
  return leaf !== undefined && leaf.checkIssued(first) && leaf.verify(first.publicKey);
}
