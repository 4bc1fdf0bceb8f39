import net from 'node:net';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { XenstoreMessageDecoder } from './xenstore.js';

/** A request as it went over the wire. */
export interface RecordedRequest {
  readonly type: number;
  readonly transactionId: number;
  readonly text: string;
}

/** Stands between a client and xenstored and keeps what was asked, in its order. */
export class XenstoreProxy {
  readonly socket: string;
  readonly #folder: string;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #pairs = new Map<net.Socket, net.Socket>();
  readonly #asked: RecordedRequest[] = [];

  private constructor(folder: string, upstream: string) {
    this.#folder = folder;
    this.socket = path.join(folder, 'socket');
    this.#server = net.createServer((client) => {
      const daemon = net.connect(upstream);
      this.#pairs.set(daemon, client);
      const decoder = new XenstoreMessageDecoder();
      client.on('data', (chunk: Buffer) =>
        decoder.push(chunk, ({ type, transactionId, payload }) => {
          this.#asked.push({ type, transactionId, text: Buffer.from(payload).toString('latin1') });
        }),
      );
      for (const [one, other] of [
        [client, daemon],
        [daemon, client],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => undefined);
        one.on('close', () => other.destroy());
        one.pipe(other);
      }
    });
  }

  static async start(upstream: string): Promise<XenstoreProxy> {
    const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'proxy-'));
    const proxy = new XenstoreProxy(folder, upstream);
    proxy.#server.listen(proxy.socket);
    await once(proxy.#server, 'listening');
    return proxy;
  }

  asked(): readonly RecordedRequest[] {
    return this.#asked;
  }

  /** What the daemon says waits here until it is let go on. */
  hold(): void {
    for (const [daemon, client] of this.#pairs) daemon.unpipe(client);
  }

  goOn(): void {
    for (const [daemon, client] of this.#pairs) daemon.pipe(client);
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
    await fs.rm(this.#folder, { recursive: true, force: true });
  }
}
