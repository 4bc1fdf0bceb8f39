import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** How a command in a guest ended. */
export interface GuestOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

interface Pending {
  readonly startedMs: number;
  readonly limitMs: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (output: GuestOutput) => void;
  readonly reject: (error: Error) => void;
}

/** What `timeout` answers when it had to end a command; a command may also end so by itself. */
const TIMED_OUT = [124, 137];
const MAX_OUTPUT_BYTES = 1024 * 1024;
/** How much longer than the guest, which also limits the time, the host waits. */
const GRACE_MS = 15_000;
const START = 0x01;

/**
 * The host's side of agent.sh, over a virtio-serial port of its own, where nobody else writes.
 *
 * Whatever is on the way when a snapshot is restored belongs to another host's question: what is not an answer to one of
 * ours is passed over.
 */
export class Control {
  readonly #port: Duplex;
  readonly #patience: number;
  readonly #prefix = randomBytes(4).toString('hex');
  readonly #pending = new Map<string, Pending>();
  #count = 0;
  #heard = Buffer.alloc(0);
  #closed: Error | undefined;

  /** @param options - `patience`: so many times as long as the guest limits a command, the host waits for it */
  constructor(port: Duplex, { patience }: { patience: number }) {
    this.#port = port;
    this.#patience = patience;
    port.on('data', (chunk: Buffer) => this.#take(chunk));
    // The end of QEMU resets it, and is told by who waits for QEMU.
    port.on('error', () => {});
  }

  /**
   * Runs a shell script as root in the guest.
   * @param limitMs - after this, in its own time, the guest ends it and everything in its process group
   * @throws Error when it was not done in time, wrote more than 1 MiB, or the guest is gone
   */
  run(script: string, limitMs: number): Promise<GuestOutput> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const name = this.send(script, limitMs);
    return new Promise((resolve, reject) => {
      const late = () =>
        this.#fail(name, new Error(`the guest did not answer within ${limitMs} ms: ${script}`));
      const timer = setTimeout(late, limitMs * this.#patience + GRACE_MS);
      this.#pending.set(name, { startedMs: performance.now(), limitMs, timer, resolve, reject });
    });
  }

  /** Asks for a script to be run without waiting for its end. @returns the name of the question */
  send(script: string, limitMs: number): string {
    this.#count += 1;
    const name = `${this.#prefix}-${this.#count}`;
    const encoded = Buffer.from(script, 'utf8').toString('base64');
    this.#port.write(`${name} ${Math.ceil(limitMs / 1000)} ${MAX_OUTPUT_BYTES} ${encoded}\n`);
    return name;
  }

  /** Nothing is answered any more. */
  close(reason: Error): void {
    this.#closed ??= reason;
    for (const name of this.#pending.keys()) this.#fail(name, this.#closed);
  }

  #take(chunk: Buffer): void {
    this.#heard = Buffer.concat([this.#heard, chunk]);
    for (;;) {
      const start = this.#heard.indexOf(START);
      this.#heard = start === -1 ? Buffer.alloc(0) : this.#heard.subarray(start);
      const end = this.#heard.indexOf(0x0a);
      if (start === -1 || end === -1) return;
      const header = this.#heard.toString('latin1', 1, end);
      const [, name = '', ...numbers] = /^(\S+) (\d+) (\d+) (\d+)$/.exec(header) ?? [];
      const pending = this.#pending.get(name);
      if (pending === undefined) {
        this.#heard = this.#heard.subarray(1);
        continue;
      }
      const [code = 0, out = 0, err = 0] = numbers.map(Number);
      const [sentOut, sentErr] = [Math.min(out, MAX_OUTPUT_BYTES), Math.min(err, MAX_OUTPUT_BYTES)];
      const body = this.#heard.subarray(end + 1);
      if (body.length < sentOut + sentErr) return;
      this.#heard = body.subarray(sentOut + sentErr);
      const stdout = body.toString('utf8', 0, sentOut);
      const stderr = body.toString('utf8', sentOut, sentOut + sentErr);
      const tookMs = performance.now() - pending.startedMs;
      if (TIMED_OUT.includes(code) && tookMs * this.#patience >= pending.limitMs) {
        this.#fail(name, new Error(`ended by its time limit in the guest\n${stdout}\n${stderr}`));
      } else if (out + err > sentOut + sentErr) {
        this.#fail(name, new Error(`wrote ${out} and ${err} bytes: more than ${MAX_OUTPUT_BYTES}`));
      } else {
        clearTimeout(pending.timer);
        this.#pending.delete(name);
        pending.resolve({ code, stdout, stderr, tookMs });
      }
    }
  }

  #fail(name: string, error: Error): void {
    const pending = this.#pending.get(name);
    this.#pending.delete(name);
    clearTimeout(pending?.timer);
    pending?.reject(error);
  }
}
