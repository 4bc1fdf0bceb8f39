import { DRAW_BYTES, fromHex, hex } from './draw-value.js';

/** One draw, with all it was made from. */
export interface Draw {
  /** HMAC-SHA-256(key: the server's, message: the browser's); the server's own where a browser cannot. */
  readonly value: Uint8Array<ArrayBuffer>;
  readonly server: Uint8Array<ArrayBuffer>;
  /** Absent where the browser gives no HMAC: over plain HTTP from another machine. */
  readonly browser?: { readonly own: Uint8Array<ArrayBuffer>; readonly commitment: string };
}

/** Why nothing was drawn, in words. */
export class NotDrawn extends Error {
  override readonly name = 'NotDrawn';
}

/**
 * Draws a fresh value from the node. The browser's bytes are chosen first and their hash is sent along, so that neither side
 * chooses last: the browser cannot pick its bytes to fit the server's, and the server never sees the browser's.
 * @param csrf - of the session
 * @throws NotDrawn
 */
export async function draw(csrf: string): Promise<Draw> {
  if (!canMix()) return { ...(await serverOnly(csrf)) };
  const own = crypto.getRandomValues(new Uint8Array(DRAW_BYTES));
  const commitment = hex(new Uint8Array(await crypto.subtle.digest('SHA-256', own)));
  const server = await ask(csrf, { commitment });
  const key = await crypto.subtle.importKey('raw', server, { name: 'HMAC', hash: 'SHA-256' }, false, [
    'sign',
  ]);
  const value = new Uint8Array(await crypto.subtle.sign('HMAC', key, own));
  return { value, server, browser: { own, commitment } };
}

/** Whether this browser mixes in its own here; not over plain HTTP from another machine. */
export function canMix(): boolean {
  return isSecureContext;
}

async function serverOnly(csrf: string): Promise<Draw> {
  const server = await ask(csrf, {});
  return { value: server, server };
}

async function ask(csrf: string, body: object): Promise<Uint8Array<ArrayBuffer>> {
  let answer: unknown;
  let response: Response;
  try {
    response = await fetch('/v1/draw', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-lamplighter-csrf': csrf },
      body: JSON.stringify(body),
    });
    answer = await response.json();
  } catch {
    throw new NotDrawn('The node does not answer.');
  }
  if (!response.ok) throw new NotDrawn(refusalIn(response.status, answer));
  const bytes =
    typeof answer === 'object' && answer !== null && 'bytes' in answer ? fromHex(answer.bytes) : undefined;
  if (bytes === undefined) throw new NotDrawn('The node answered with something that is no value.');
  return bytes;
}

function refusalIn(status: number, answer: unknown): string {
  if (status === 401 || status === 403) return 'The login is over: open a new login link.';
  if (status === 429) return 'Too many draws in a short time: wait a moment.';
  if (status === 503) return 'The node is not seeded yet: nothing is drawn before it is.';
  const detail =
    typeof answer === 'object' && answer !== null && 'detail' in answer ? answer.detail : undefined;
  return typeof detail === 'string' ? `Refused: ${detail}.` : `Refused (${status}).`;
}
