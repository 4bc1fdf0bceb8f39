import { once } from 'node:events';
import net from 'node:net';
import type { Endpoint } from '../../local/environment.js';

/** A raw EGD client, for tests. What comes waits in the socket until it is read. */
export class RawEgdClient {
  readonly socket: net.Socket;
  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
  }

  static async connect(endpoint: Endpoint): Promise<RawEgdClient> {
    const socket = net.connect({ ...endpoint, allowHalfOpen: true });
    await once(socket, 'connect');
    return new RawEgdClient(socket);
  }

  /** Sends bytes given as hex, with spaces or without. */
  send(hex: string): void {
    this.socket.write(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  }

  /** Exactly as many bytes; fewer only when the server has closed. */
  async read(lengthBytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = lengthBytes; missing > 0;) {
      const there = Math.min(missing, this.socket.readableLength);
      const chunk: unknown = there > 0 ? this.socket.read(there) : this.socket.read(0);
      if (Buffer.isBuffer(chunk)) {
        parts.push(chunk);
        missing -= chunk.length;
      } else if (this.socket.readableEnded || this.socket.destroyed) {
        break;
      } else {
        await this.#stirred();
      }
    }
    return Buffer.concat(parts);
  }

  async ask(hex: string, lengthBytes: number): Promise<Buffer> {
    this.send(hex);
    return this.read(lengthBytes);
  }

  /** Resolves when the server has closed, in whatever way; gives what it still sent. */
  rest(): Promise<Buffer> {
    return this.read(Infinity);
  }

  #stirred(): Promise<void> {
    return new Promise((resolve) => {
      const events = ['readable', 'end', 'close'] as const;
      const stir = (): void => {
        for (const event of events) this.socket.off(event, stir);
        resolve();
      };
      for (const event of events) this.socket.on(event, stir);
    });
  }

  close(): void {
    this.socket.destroy();
  }
}
