import { once } from 'node:events';
import net from 'node:net';
import { chmodSync } from 'node:fs';

/** So many bytes that are the same are the same bytes. */
const MATCH_BYTES = 8;

/** Bytes that went one way, and when. */
export interface Passed {
  readonly atMs: number;
  readonly bytes: Buffer;
}

/**
 * For tests: stands between QEMU's rng-egd and a node's socket and writes down what passes. When the node's side ends, QEMU's
 * does; when the node is not there, QEMU is turned away: it sees a node that restarts as it would without anybody between.
 */
export class EgdRecorder {
  /** What QEMU asked, `02 n` each. */
  readonly asked: Passed[] = [];
  /** What it was answered. */
  readonly answered: Passed[] = [];
  connections = 0;
  refused = 0;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #held: (() => void)[] | undefined;

  private constructor(node: string) {
    this.#server = net.createServer((qemu) => this.#join(qemu, node));
  }

  static async listen(socketPath: string, node: string): Promise<EgdRecorder> {
    const recorder = new EgdRecorder(node);
    recorder.#server.listen(socketPath);
    await once(recorder.#server, 'listening');
    chmodSync(socketPath, 0o600);
    return recorder;
  }

  /** All that QEMU was given so far, in order. */
  get given(): Buffer {
    return Buffer.concat(this.answered.map(({ bytes }) => bytes));
  }

  /** Bytes asked for, each with its moment. */
  get requests(): { readonly atMs: number; readonly lengthBytes: number }[] {
    return this.asked.flatMap(({ atMs, bytes }) =>
      Array.from({ length: bytes.length / 2 }, (_, i) => ({ atMs, lengthBytes: bytes[2 * i + 1] ?? 0 })),
    );
  }

  /**
   * Checks that these bytes were given, each of them once. Not all in their order: the guest's kernel takes some in between, and
   * of a buffer that is read in parts Linux gives the end first.
   * @throws Error when they were not
   */
  checkGave(bytes: Buffer): void {
    const { given } = this;
    const used = new Set<number>();
    for (let at = 0; at < bytes.length;) {
      let [length, place] = [0, -1];
      for (let longer = MATCH_BYTES; at + longer <= bytes.length; longer += MATCH_BYTES) {
        const found = given.indexOf(bytes.subarray(at, at + longer));
        if (found < 0) break;
        [length, place] = [longer, found];
      }
      if (length === 0) throw new Error(`what the guest read from byte ${at} on was never given to it`);
      for (let byte = place; byte < place + length; byte += 1) {
        if (used.has(byte)) throw new Error(`the guest read byte ${byte} twice`);
        used.add(byte);
      }
      at += length;
    }
  }

  /** Keeps answers back until {@link release}. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const pass of held) pass();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(qemu: net.Socket, node: string): void {
    const upstream = net.connect(node);
    let joined = false;
    for (const socket of [qemu, upstream]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        // Whatever was passed on before is still written out.
        qemu.destroySoon();
        upstream.destroySoon();
        if (!joined) this.refused += 1;
        joined = true;
      });
    }
    upstream.once('connect', () => {
      joined = true;
      this.connections += 1;
    });
    qemu.on('data', (bytes) => {
      this.asked.push({ atMs: performance.now(), bytes });
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      const pass = (): void => {
        this.answered.push({ atMs: performance.now(), bytes });
        qemu.write(bytes);
      };
      if (this.#held === undefined) pass();
      else this.#held.push(pass);
    });
  }
}
