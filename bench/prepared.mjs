// A connection whose first message is made before it is sent. Thousands of machines that boot at once each make theirs on a
// processor of their own; one core makes three a millisecond at most, and would be the only one to queue.
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { AnswerReader, outcomeOf } from './answers.mjs';

/** One machine's client side of TLS, up to its hello. For one connection that gets as far as an answer to it. */
export class Prepared {
  /** @type {Buffer[]} */
  #hello = [];
  #raw;
  #carrier;
  #socket;

  /** @param {tls.SecureContext} secureContext */
  constructor(secureContext) {
    this.#carrier = new Duplex({
      read() {},
      write: (chunk, _encoding, done) => {
        if (this.#raw === undefined) this.#hello.push(chunk);
        else this.#raw.write(chunk);
        done();
      },
    });
    this.#socket = tls.connect({
      socket: this.#carrier,
      secureContext,
      checkServerIdentity: () => undefined,
    });
    this.#socket.on('error', () => {});
  }

  /**
   * Connects, says hello, asks once, closes.
   * @param {{ port: number, request: Buffer, deadlineMs: number, localAddress: string }} how
   * @returns {Promise<import('./answers.mjs').Answer & { isUsed: boolean }>} `isUsed`: it cannot be asked again
   */
  ask({ port, request, deadlineMs, localAddress }) {
    return new Promise((resolve) => {
      let isUsed = false;
      const raw = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
      const done = (/** @type {import('./answers.mjs').Answer} */ answer) => {
        clearTimeout(deadline);
        raw.destroy();
        if (isUsed) this.#socket.destroy();
        resolve({ ...answer, isUsed });
      };
      const deadline = setTimeout(() => done({ outcome: 'gave up' }), deadlineMs);
      raw.on('error', (error) => done({ outcome: outcomeOf(error) }));
      raw.on('close', () => done({ outcome: 'closed' }));
      raw.once('connect', () => raw.write(Buffer.concat(this.#hello)));
      raw.on('data', (chunk) => {
        if (!isUsed) {
          isUsed = true;
          this.#raw = raw;
          const answers = new AnswerReader(done);
          this.#socket.once('secureConnect', () => this.#socket.write(request));
          this.#socket.on('data', (bytes) => answers.feed(bytes));
          this.#socket.on('error', (error) => done({ outcome: outcomeOf(error) }));
        }
        this.#carrier.push(chunk);
      });
    });
  }
}
