import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { LamplighterError } from '@lamplighter/core';

/** What of a request's body is still swallowed after it was refused, so that the client can read why. */
const LINGER_BYTES = 65_536;

/** Whether a request says that no body follows. */
export function announcesNoBody(headers: IncomingHttpHeaders): boolean {
  const { 'content-length': lengthBytes = '0', 'transfer-encoding': coding } = headers;
  return coding === undefined && Number(lengthBytes) === 0;
}

/** @throws LamplighterError ERR_BODY_TOO_LARGE when it announces more than `maxBytes` */
export function checkBodyLength(headers: IncomingHttpHeaders, maxBytes: number): void {
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

/**
 * A body to its end.
 * @throws LamplighterError ERR_BODY_TOO_LARGE as soon as it is known to be longer than `maxBytes`; ERR_STOPPED when the client
 *   goes away before its end
 */
export async function gatherBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  await new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      lengthBytes += chunk.length;
      if (lengthBytes > maxBytes) reject(tooLarge(maxBytes));
      else chunks.push(chunk);
    });
    request.on('end', resolve);
    request.on('error', () => undefined);
    // Comes last in every case. An error with its stack is not made for each request that went well.
    request.on('close', () => {
      if (!request.readableEnded) reject(new LamplighterError('ERR_STOPPED', 'the client is gone'));
    });
  });
  return Buffer.concat(chunks);
}

/**
 * Answers a request whose body was not read. Closing a socket with unread bytes in it makes the kernel reset it, and the client
 * would never read why it was refused: so the rest of the body is swallowed first, up to a bound and the listener's deadline.
 */
export function endAfterBody(request: IncomingMessage, response: ServerResponse, answer: Uint8Array): void {
  response.write(answer);
  let swallowed = 0;
  const finish = (): void => void response.end();
  request.on('end', finish);
  request.on('error', () => undefined);
  request.on('data', (chunk: Buffer) => {
    swallowed += chunk.length;
    if (swallowed > LINGER_BYTES) finish();
  });
}

function tooLarge(maxBytes: number): LamplighterError {
  return new LamplighterError('ERR_BODY_TOO_LARGE', `the body is longer than ${maxBytes} bytes`);
}
