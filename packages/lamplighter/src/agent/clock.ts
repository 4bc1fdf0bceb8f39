import { X509Certificate } from 'node:crypto';
import type { TlsMaterial } from '../identity/tls-files.js';
import type { Reason } from '../wire/status.js';

/** Clocks are set in steps and certificates are made a little ahead: so much is no fault. */
const SLACK_MS = 60_000;

/**
 * Whether this machine's clock cannot be right: earlier than its own certificate was made, or than its seed was last written.
 * A board without a battery begins in 1970 or at its firmware's date, and no certificate is valid then.
 *
 * @param lastChangedMs - when the seed was last written, ms since 1970; undefined when there was none
 * @param realtimeNs - ns since 1970, as this machine believes
 * @returns why not, or undefined
 */
export function clockFault(
  tls: Pick<TlsMaterial, 'cert'>,
  lastChangedMs: number | undefined,
  realtimeNs: bigint,
): Reason | undefined {
  const nowMs = Number(realtimeNs / 1_000_000n);
  const notBeforeMs = Date.parse(new X509Certificate(tls.cert).validFrom);
  const [earliestMs, what] =
    lastChangedMs !== undefined && lastChangedMs > notBeforeMs
      ? [lastChangedMs, 'the machine seed was last written']
      : [notBeforeMs, 'its certificate was made'];
  if (nowMs >= earliestMs - SLACK_MS) return undefined;
  const now = new Date(nowMs).toISOString();
  return {
    code: 'ERR_CLOCK',
    message: `this machine believes it is ${now}, before ${what} (${new Date(earliestMs).toISOString()})`,
    hint: 'set the clock; an agent that stays tries again by itself once it is right',
  };
}

/**
 * Whether this machine's certificate has expired: no relay would let it in.
 * @param realtimeNs - ns since 1970, as this machine believes
 * @returns why not, or undefined
 */
export function expiryFault(
  { notAfter }: Pick<TlsMaterial, 'notAfter'>,
  realtimeNs: bigint,
): Reason | undefined {
  if (realtimeNs < BigInt(notAfter.getTime()) * 1_000_000n) return undefined;
  return {
    code: 'ERR_CERTIFICATE_EXPIRED',
    message: `the certificate of this machine expired on ${notAfter.toISOString()}`,
    hint: 'enrol it again with `lamplighter enroll`, if the clock is right',
  };
}
