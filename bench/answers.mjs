// One request on a connection of its own, as an agent makes it, and what became of it.
import net from 'node:net';
import tls from 'node:tls';

const HEAD_END = Buffer.from('\r\n\r\n');
const BEACON_BYTES = 64;

/**
 * What became of a request: `served` with a beacon; a code of the relay's problem details; `reset`, `closed`, `refused` or
 * `gave up` without an answer; anything else is a fault and says which.
 * @typedef {{ outcome: string, beacon?: Buffer, retryAfterMs?: number }} Answer
 */

/** @type {readonly string[]} What a relay with too much to do may say or do. */
export const SHED = ['reset', 'closed', 'gave up', 'ERR_OVERLOADED', 'ERR_TOO_MANY_CONNECTIONS'];

/**
 * Connects, asks once, closes.
 * @param {{ port: number, request: Buffer, deadlineMs: number, localAddress: string, tls: tls.SecureContext }} how
 * @returns {Promise<Answer>} never rejects
 */
export function askOnce({ port, request, deadlineMs, localAddress, tls: secureContext }) {
  return new Promise((resolve) => {
    const raw = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
    const socket = tls.connect({ socket: raw, secureContext, checkServerIdentity: () => undefined });
    const done = (/** @type {Answer} */ answer) => {
      clearTimeout(deadline);
      socket.destroy();
      raw.destroy();
      resolve(answer);
    };
    const deadline = setTimeout(() => done({ outcome: 'gave up' }), deadlineMs);
    const answers = new AnswerReader(done);
    socket.once('secureConnect', () => socket.write(request));
    socket.on('data', (chunk) => answers.feed(chunk));
    for (const end of [socket, raw]) {
      end.on('error', (error) => done({ outcome: outcomeOf(error) }));
      end.on('close', () => done({ outcome: 'closed' }));
    }
  });
}

/** @param {Error & { code?: string }} error */
export function outcomeOf({ code, message }) {
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'reset';
  if (code === 'ECONNREFUSED') return 'refused';
  return code ?? message;
}

/** Takes answers apart, however they are cut into chunks: the client needs no HTTP library, and the server is what counts. */
export class AnswerReader {
  #onAnswer;
  #pending = Buffer.alloc(0);

  /** @param {(answer: Answer) => void} onAnswer */
  constructor(onAnswer) {
    this.#onAnswer = onAnswer;
  }

  /** @param {Buffer} chunk */
  feed(chunk) {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const headEnd = this.#pending.indexOf(HEAD_END);
      if (headEnd < 0) return;
      const head = this.#pending.latin1Slice(0, headEnd);
      const bodyAt = headEnd + HEAD_END.length;
      const end = bodyAt + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
      if (!(this.#pending.length >= end)) {
        if (Number.isNaN(end)) this.#onAnswer({ outcome: 'an answer without a length' });
        return;
      }
      const body = this.#pending.subarray(bodyAt, end);
      this.#pending = this.#pending.subarray(end);
      this.#onAnswer(answerOf(head, body));
    }
  }
}

function answerOf(head, body) {
  const status = head.slice(9, 12);
  if (status === '200') {
    if (body.length !== BEACON_BYTES) return { outcome: `a beacon of ${body.length} bytes` };
    return { outcome: 'served', beacon: Buffer.from(body) };
  }
  const retryAfter = Number(/retry-after: (\d+)/i.exec(head)?.[1]);
  const code = /"code":"(\w+)"/.exec(body.latin1Slice())?.[1];
  return {
    outcome: code ?? `status ${status}`,
    ...(Number.isNaN(retryAfter) ? {} : { retryAfterMs: retryAfter * 1_000 }),
  };
}
