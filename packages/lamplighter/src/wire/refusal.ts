import { LamplighterError } from '@lamplighter/core';
import { type UpstreamResponse, problemCodeOf, readBounded } from './client.js';

/** Problem details of ours are a few hundred bytes. */
const MAX_PROBLEM_BYTES = 4_096;
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;
const SECONDS = /^[0-9]{1,6}$/;

/**
 * What an upstream's refusal means to us.
 *
 * Nothing it wrote is passed on but a code in our own alphabet and a number of seconds: its text is for logs of ours, and
 * it may be anybody.
 * @param response - any status but the one hoped for; its body is read and let go
 * @param signal - ends the reading of the body
 * @returns ERR_UPSTREAM_NOT_READY for 503, else ERR_UPSTREAM_STATUS
 */
export async function refusalOf(response: UpstreamResponse, signal: AbortSignal): Promise<LamplighterError> {
  const { status, body, headers } = response;
  // A refusal stays a refusal when what explains it cannot be read.
  const explanation = await readBounded(body, MAX_PROBLEM_BYTES, signal).catch(() => new Uint8Array(0));
  body.destroy();
  const told = problemCodeOf(explanation)?.code;
  const code = told !== undefined && CODE.test(told) ? ` ${told}` : '';
  const seconds = headers['retry-after'];
  const retryAfterMs = seconds !== undefined && SECONDS.test(seconds) ? Number(seconds) * 1_000 : undefined;
  const when = retryAfterMs === undefined ? '' : `, ask again in ${seconds} s`;
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
