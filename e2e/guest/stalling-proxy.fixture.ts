import { once } from 'node:events';
import net from 'node:net';

/**
 * For tests: a way to a TLS server on 127.0.0.1 that can be blocked, for connections made from then on, at the moment after
 * the handshake: what the client asks arrives, and no answer comes back. The connection stays open.
 */
export class StallingProxy {
  readonly port: number;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #blocks = false;
  #blocked = 0;

  private constructor(server: net.Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async to(targetPort: number): Promise<StallingProxy> {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new StallingProxy(server, (server.address() as net.AddressInfo).port);
    server.on('connection', (client) => proxy.#join(client, net.connect(targetPort, '127.0.0.1')));
    return proxy;
  }

  /** Connections whose answer is being held back. */
  get blocked(): number {
    return this.#blocked;
  }

  block(on: boolean): void {
    this.#blocks = on;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: net.Socket, server: net.Socket): void {
    const blocks = this.#blocks;
    let hasAnswered = false;
    let isHeld = false;
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        // The server has answered and closed; the client shall not know.
        if (one === client || !isHeld) other.destroy();
      });
    }
    client.on('data', (chunk) => {
      // The client's second word: its certificate, Finished, and what it asks.
      if (blocks && hasAnswered && !isHeld) {
        isHeld = true;
        this.#blocked += 1;
      }
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      hasAnswered = true;
      if (!isHeld) client.write(chunk);
    });
  }
}
