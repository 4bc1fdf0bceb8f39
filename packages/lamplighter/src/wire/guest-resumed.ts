import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';

/*
 * How a hook on a VM host tells the node there that a guest was resumed: over a unix socket, a line `resumed NAME`, answered
 * by a line with the number of lines to that guest that a burst was put on, or by `not ready`; then it is closed.
 */

/** As hypervisors name guests; the first character is no hyphen, so that it is never taken for an option. */
const GUEST_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}$/;
const REQUEST = /^resumed (\S+)$/;
/** The longest line either side takes. */
export const MAX_LINE_BYTES = 128;
const DEADLINE_MS = 5_000;

/** Whether a word can be a guest's name: 1..100 of letters, digits and `_.@+-`. */
export function isGuestName(word: string): boolean {
  return GUEST_NAME.test(word);
}

/** @returns the name in a request; undefined when it is none */
export function guestInRequest(line: string): string | undefined {
  const [, name] = REQUEST.exec(line) ?? [];
  return name !== undefined && isGuestName(name) ? name : undefined;
}

/**
 * Tells a node that a guest was resumed.
 * @param connection - to its socket; destroyed when this settles
 * @returns on how many lines the guest gets a burst
 * @throws LamplighterError ERR_USAGE for a name that is none (nothing was sent), ERR_NOT_SEEDED, ERR_DEADLINE,
 *   ERR_UPSTREAM_UNREACHABLE when nobody answers
 */
export async function tellResumed(connection: Duplex, guest: string): Promise<number> {
  if (!isGuestName(guest)) {
    connection.destroy();
    throw new LamplighterError('ERR_USAGE', 'that is no name of a guest', {
      hint: 'up to 100 letters, digits and _.@+-',
    });
  }
  const deadline = setTimeout(
    () => connection.destroy(new LamplighterError('ERR_DEADLINE', 'no answer')),
    DEADLINE_MS,
  );
  try {
    const answered = firstLine(connection);
    connection.write(`resumed ${guest}\n`);
    const answer = await answered;
    if (answer === 'not ready') throw new LamplighterError('ERR_NOT_SEEDED', 'the node is not seeded yet');
    if (!/^\d{1,6}$/.test(answer)) throw new LamplighterError('ERR_UPSTREAM_UNREACHABLE', 'that is no node');
    return Number(answer);
  } finally {
    clearTimeout(deadline);
    connection.destroy();
  }
}

/** The first line of at most {@link MAX_LINE_BYTES}, without its end. @throws LamplighterError ERR_UPSTREAM_UNREACHABLE */
export function firstLine(connection: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: connection, crlfDelay: Infinity });
    let lengthBytes = 0;
    const fail = (cause?: unknown): void => {
      lines.close();
      if (cause instanceof LamplighterError) reject(cause);
      else
        reject(
          new LamplighterError('ERR_UPSTREAM_UNREACHABLE', 'the connection ended before a line', { cause }),
        );
    };
    connection.on('data', (chunk: Buffer) => {
      lengthBytes += chunk.length;
      if (lengthBytes > MAX_LINE_BYTES) connection.destroy();
    });
    lines.once('line', (line) => {
      lines.close();
      if (lengthBytes > MAX_LINE_BYTES) fail();
      else resolve(line);
    });
    connection.once('error', fail);
    connection.once('close', () => fail());
  });
}
