import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

/** What a promise was rejected with. */
export async function caught(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** A promise and the way to settle it. */
export function deferred<T>(): { readonly promise: Promise<T>; resolve(value: T): void } {
  let settle: ((value: T) => void) | undefined;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: (value) => settle?.(value) };
}

/** A TLS connection to loopback that does whatever the options say; resolves after the client's side of the handshake. */
export async function openTls(options: tls.ConnectionOptions): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: '127.0.0.1', ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** One HTTP answer as it came. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A client that writes bytes and reads answers with a Content-Length. */
export class Answers {
  readonly socket: Duplex;
  /** Everything received that no answer has taken. */
  text = '';
  readonly closed: Promise<void>;
  #heard: (() => void) | undefined;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      this.text += bytes.toString('latin1');
      this.#heard?.();
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#heard?.();
        resolve();
      });
    });
  }

  /** Sends a request and takes its answer. */
  async ask(request: string): Promise<RawAnswer> {
    this.socket.write(request);
    await this.until('\r\n\r\n');
    const end = this.text.indexOf('\r\n\r\n') + 4;
    const [first = '', ...lines] = this.text.slice(0, end - 4).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const lengthBytes = Number(headers['content-length']);
    while (this.text.length < end + lengthBytes) await this.#more();
    const body = this.text.slice(end, end + lengthBytes);
    this.text = this.text.slice(end + lengthBytes);
    return { status: Number(first.split(' ')[1]), headers, body };
  }

  /** Waits until a text has come. */
  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await this.#more();
    if (text.startsWith('HTTP/1.1 100')) this.text = this.text.replace(text, '');
  }

  async #more(): Promise<void> {
    if (this.socket.closed) throw new Error(`the connection closed after ${JSON.stringify(this.text)}`);
    await new Promise<void>((resolve) => {
      this.#heard = resolve;
    });
  }
}
