import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { encode } from 'jpeg-js';

const BOUNDARY = 'lamps';
const PERIOD_MS = 40;

/** For tests: a real JPEG whose picture depends on `seed` all over. */
export function testJpeg(seed: number, width = 96, height = 64): Buffer {
  const data = Buffer.alloc(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const x = pixel % width;
    const y = Math.floor(pixel / width);
    data.fill((x * 3 + y * 5 + seed * 17) % 256, pixel * 4, pixel * 4 + 4);
  }
  return encode({ width, height, data }, 60).data;
}

/** For tests: one multipart part. */
export function part(jpeg: Uint8Array): Buffer {
  const head = `--${BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), jpeg, Buffer.from('\r\n')]);
}

/** What the server does with each request. `stop` fires when the client leaves or the act is changed. */
export type Act = (response: http.ServerResponse, stop: AbortSignal, request: http.IncomingMessage) => void;

/** For tests: a real MJPEG server on a port of its own, whose behaviour can be changed while it runs. */
export class MjpegTestServer {
  readonly #server = http.createServer((request, response) => this.#serve(request, response));
  readonly #running = new Map<http.ServerResponse, AbortController>();
  #act: Act = playing();
  #port = 0;

  /** @param port - 0 for any */
  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/stream`;
  }

  /** Connections open now. */
  get clients(): number {
    return this.#running.size;
  }

  /** Changes the act for those connected and those to come. */
  play(act: Act, options: { cutOthers?: boolean } = {}): void {
    this.#act = act;
    for (const [response, running] of this.#running) {
      running.abort();
      if (options.cutOthers === true) response.socket?.destroy();
    }
  }

  async close(): Promise<void> {
    this.play(() => undefined, { cutOthers: true });
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    const running = new AbortController();
    this.#running.set(response, running);
    response.once('close', () => {
      running.abort();
      this.#running.delete(response);
    });
    this.#act(response, running.signal, request);
  }
}

const PICTURES = Array.from({ length: 16 }, (_, seed) => testJpeg(seed));

/** Sends moving pictures for as long as it may. */
export function playing(options: { headers?: Record<string, string>; still?: boolean } = {}): Act {
  const jpegs = options.still === true ? PICTURES.slice(0, 1) : PICTURES;
  return (response, stop) => {
    begin(response, options.headers);
    let next = 0;
    const timer = setInterval(() => {
      response.write(part(jpegs[next++ % jpegs.length] ?? Buffer.alloc(0)));
    }, PERIOD_MS);
    stop.addEventListener('abort', () => clearInterval(timer), { once: true });
  };
}

/** The header of a well-formed stream. */
export function begin(response: http.ServerResponse, headers: Record<string, string> = {}): void {
  response.writeHead(200, {
    'Content-Type': `multipart/x-mixed-replace; boundary=${BOUNDARY}`,
    ...headers,
  });
  response.flushHeaders();
}
