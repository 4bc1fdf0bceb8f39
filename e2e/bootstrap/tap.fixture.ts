import { once } from 'node:events';
import net from 'node:net';
import { beginsLikeTls, type ClientHello, clientHelloIn } from './client-hello.fixture.js';

/**
 * For tests: stands between agents and their relay and keeps every ClientHello. Without a relay behind it, it hangs up as soon
 * as it has heard one.
 */
export class Tap {
  readonly port: number;
  readonly #server: net.Server;
  readonly #relayPort: number | undefined;
  readonly #open = new Set<Promise<unknown>>();
  readonly #sockets = new Set<net.Socket>();
  #heard: ClientHello[] = [];

  static async open(relayPort?: number): Promise<Tap> {
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Tap(server, relayPort);
  }

  private constructor(server: net.Server, relayPort: number | undefined) {
    this.#server = server;
    this.#relayPort = relayPort;
    this.port = (server.address() as net.AddressInfo).port;
    server.on('connection', (socket) => this.#connected(socket));
  }

  /**
   * What was heard since the last time, in the order in which it was heard. To be called when whoever connected is gone: waits
   * for the connections that are left, those that were made and not yet accepted included.
   */
  async take(): Promise<readonly ClientHello[]> {
    // Connections are accepted in the order in which they were made: once this one is over, all before it were accepted.
    const last = net.connect(this.port, '127.0.0.1', () => last.write('not TLS'));
    last.resume();
    await once(last, 'close');
    await Promise.all(this.#open);
    const heard = this.#heard;
    this.#heard = [];
    return heard;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connected(socket: net.Socket): void {
    let first = Buffer.alloc(0);
    let isHeard = false;
    let relay: net.Socket | undefined;
    this.#watch(socket);
    socket.on('data', (chunk) => {
      if (!isHeard) {
        first = Buffer.concat([first, chunk]);
        if (!beginsLikeTls(first)) {
          socket.destroy();
          return;
        }
        const hello = clientHelloIn(first);
        if (hello === undefined) return;
        isHeard = true;
        this.#heard.push(hello);
        relay = this.#relay(socket);
        relay?.write(first);
        if (relay === undefined) socket.destroy();
        return;
      }
      relay?.write(chunk);
    });
    socket.on('close', () => relay?.destroy());
  }

  #relay(socket: net.Socket): net.Socket | undefined {
    if (this.#relayPort === undefined) return undefined;
    const relay = net.connect({ port: this.#relayPort, host: '127.0.0.1', noDelay: true });
    this.#watch(relay);
    relay.on('data', (chunk) => socket.write(chunk));
    relay.on('close', () => socket.destroySoon());
    return relay;
  }

  #watch(socket: net.Socket): void {
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    const closed = new Promise<void>((resolve) => {
      socket.on('close', () => resolve());
    });
    this.#open.add(closed);
    void closed.then(() => {
      this.#open.delete(closed);
      this.#sockets.delete(socket);
    });
  }
}
