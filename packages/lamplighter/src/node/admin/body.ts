import type { IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';
import { announcesNoBody, checkBodyLength, gatherBody } from '../../wire/request-body.js';

/** What a route takes. */
export interface BodyRule {
  readonly type: string;
  readonly maxBytes: number;
}

/**
 * Takes a request's body. A page of another origin cannot send these types without being asked first, and we never allow it.
 * @throws LamplighterError ERR_BAD_REQUEST for another type or none; ERR_BODY_TOO_LARGE as soon as that is known; ERR_STOPPED when the
 *   sender goes away
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  { type, maxBytes }: BodyRule,
): Promise<Buffer> {
  const { headers } = request;
  const [told = ''] = (headers['content-type'] ?? '').split(';', 1);
  if (told.trim().toLowerCase() !== type) {
    throw new LamplighterError('ERR_BAD_REQUEST', `this takes ${type} (Content-Type)`);
  }
  if (announcesNoBody(headers)) return Buffer.alloc(0);
  checkBodyLength(headers, maxBytes);
  if (headers.expect !== undefined) response.writeContinue();
  return gatherBody(request, maxBytes);
}

/**
 * A JSON object.
 * @throws LamplighterError ERR_BAD_REQUEST
 */
export function parseObject(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // Said below; what was sent is not repeated, it may hold a secret.
  }
  throw new LamplighterError('ERR_BAD_REQUEST', 'the body must be a JSON object');
}
