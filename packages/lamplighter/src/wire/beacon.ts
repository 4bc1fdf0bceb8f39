import { LamplighterError, wipe } from '@lamplighter/core';
import type { PeerIdentity } from '../identity/roles.js';
import { type Basis, basisFromHeader } from './basis.js';
import { type Upstream, type UpstreamAgent, type UpstreamResponse, readBounded, request } from './client.js';
import { refusalOf } from './refusal.js';

/*
 * The beacon exchange (DESIGN section 8): POST, a nonce as body, 64 bytes as answer.
 */

/** Where a beacon is asked for. */
export const BEACON_PATH = '/v1/beacon';
/** The media type of nonce and answer. */
export const BEACON_CONTENT_TYPE = 'application/octet-stream';
/** A beacon is exactly this long. */
export const BEACON_LENGTH_BYTES = 64;
/** The longest nonce a relay takes; the shortest is none. */
export const MAX_NONCE_LENGTH_BYTES = 64;
/** What our own clients send. */
export const CLIENT_NONCE_LENGTH_BYTES = 32;
/** The header that says what a beacon rests on. */
export const BASIS_HEADER = 'lamplighter-basis';

/** A beacon as fetched. */
export interface FetchedBeacon {
  /** 64 secret bytes, owned by the caller, who wipes them. */
  readonly bytes: Uint8Array;
  /** What the relay says it rests on; a missing header earns nothing. */
  readonly basis: Basis;
  /** Who answered, as its certificate says. */
  readonly relay: PeerIdentity;
  /** The key exchange group of the connection, where the runtime tells. */
  readonly group: string | undefined;
}

/**
 * Fetches one beacon.
 *
 * @param upstream - the relay, and the roles it may have
 * @param options - `nonce`: 0..64 bytes, longer ones are the relay's to refuse; `deadlineMs`: for the whole exchange; `agent`: to keep the connection
 * @returns exactly 64 bytes and what is known of them
 * @throws LamplighterError what `request` throws (ERR_UPSTREAM_*, ERR_DEADLINE); ERR_UPSTREAM_NOT_READY for 503,
 *   ERR_UPSTREAM_STATUS for any other refusal, ERR_UPSTREAM_PROTOCOL for a wrong media type, ERR_BEACON_LENGTH for
 *   more or fewer than 64 bytes
 */
export async function fetchBeacon(
  upstream: Upstream,
  options: {
    readonly nonce: Uint8Array;
    readonly deadlineMs: number;
    readonly signal?: AbortSignal;
    readonly agent?: UpstreamAgent;
  },
): Promise<FetchedBeacon> {
  const { nonce, deadlineMs, agent } = options;
  // `request` bounds the time to the headers only; a relay that then drips its body must not hold up a boot.
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), deadlineMs);
  const signal = options.signal === undefined ? late.signal : AbortSignal.any([late.signal, options.signal]);
  try {
    const response = await request(upstream, {
      method: 'POST',
      path: BEACON_PATH,
      headers: { 'content-type': BEACON_CONTENT_TYPE },
      body: nonce,
      deadlineMs,
      signal,
      ...(agent && { agent }),
    });
    return await beaconIn(response, signal);
  } catch (error) {
    if (!late.signal.aborted) throw error;
    throw new LamplighterError('ERR_DEADLINE', `no beacon within ${deadlineMs} ms`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function beaconIn(response: UpstreamResponse, signal: AbortSignal): Promise<FetchedBeacon> {
  const { status, headers, peer, group, body } = response;
  if (status !== 200) throw await refusalOf(response, signal);
  if (headers['content-type'] !== BEACON_CONTENT_TYPE) {
    body.destroy();
    throw new LamplighterError(
      'ERR_UPSTREAM_PROTOCOL',
      'the upstream answered with something that is no beacon',
    );
  }
  const answer = await readBounded(body, BEACON_LENGTH_BYTES, signal).catch((cause: unknown) => {
    throw cause instanceof LamplighterError && cause.code === 'ERR_UPSTREAM_PROTOCOL'
      ? wrongLength(cause)
      : cause;
  });
  if (answer.length !== BEACON_LENGTH_BYTES) throw wrongLength();
  // Out of the buffer pool, which is shared with everything else in this process.
  const bytes = Uint8Array.from(answer);
  wipe(answer);
  const words = headers[BASIS_HEADER];
  return { bytes, basis: basisFromHeader(typeof words === 'string' ? words : undefined), relay: peer, group };
}

function wrongLength(cause?: unknown): LamplighterError {
  const message = `the upstream's beacon is not ${BEACON_LENGTH_BYTES} bytes`;
  return new LamplighterError('ERR_BEACON_LENGTH', message, { cause });
}
