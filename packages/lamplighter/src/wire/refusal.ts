import { type ErrorCode, LamplighterError } from '@lamplighter/core';
import { type UpstreamResponse, problemCodeOf, readBounded } from './client.js';

/** Problem details of ours are a few hundred bytes. */
const MAX_PROBLEM_BYTES = 4_096;
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;
const SECONDS = /^[0-9]{1,6}$/;

/** Refusals that are told by their own code, whoever asked for whatever. */
const PLAIN_REFUSALS: Partial<Record<ErrorCode, PlainRefusal>> = {
  ERR_REVOKED: {
    message: 'the upstream has revoked us',
    hint: 'if that was a mistake: `lamplighter ca unrevoke` at the CA, then enrol this machine again',
  },
};

/** Our own words for a refusal: those of an upstream are not repeated. */
export interface PlainRefusal {
  readonly message: string;
  readonly hint: string;
}

/**
 * What an upstream's refusal means to us.
 *
 * Nothing it wrote is passed on but a code in our own alphabet and a number of seconds: its text is for logs of ours, and
 * it may be anybody.
 * @param response - any status but the one hoped for; its body is read and let go
 * @param signal - ends the reading of the body
 * @param more - further codes that mean something to whoever asked
 * @returns ERR_REVOKED and what is in `more` as themselves, with statuses below 500; ERR_UPSTREAM_NOT_READY for 503; else
 *   ERR_UPSTREAM_STATUS
 */
export async function refusalOf(
  response: UpstreamResponse,
  signal: AbortSignal,
  more: Partial<Record<ErrorCode, PlainRefusal>> = {},
): Promise<LamplighterError> {
  const { status, body, headers } = response;
  // A refusal stays a refusal when what explains it cannot be read.
  const explanation = await readBounded(body, MAX_PROBLEM_BYTES, signal).catch(() => new Uint8Array(0));
  body.destroy();
  const told = problemCodeOf(explanation)?.code;
  const code = told !== undefined && CODE.test(told) ? ` ${told}` : '';
  const seconds = headers['retry-after'];
  const retryAfterMs = seconds !== undefined && SECONDS.test(seconds) ? Number(seconds) * 1_000 : undefined;
  const when = retryAfterMs === undefined ? '' : `, ask again in ${seconds} s`;
  const plain = told === undefined || status < 400 || status >= 500 ? undefined : plainRefusal(told, more);
  if (plain !== undefined) {
    const { code: own, message, hint } = plain;
    return new LamplighterError(own, message, { hint, retryAfterMs });
  }
  if (status === 503) {
    return new LamplighterError('ERR_UPSTREAM_NOT_READY', `the upstream is not ready: 503${code}${when}`, {
      hint: 'wait: it answers once it is seeded',
      retryAfterMs,
    });
  }
  return new LamplighterError('ERR_UPSTREAM_STATUS', `the upstream refused: ${status}${code}${when}`, {
    retryAfterMs,
  });
}

function plainRefusal(
  told: string,
  more: Partial<Record<ErrorCode, PlainRefusal>>,
): (PlainRefusal & { readonly code: ErrorCode }) | undefined {
  const known = { ...PLAIN_REFUSALS, ...more };
  for (const [code, refusal] of Object.entries(known)) {
    if (code === told) return { code: code as ErrorCode, ...refusal };
  }
  return undefined;
}
