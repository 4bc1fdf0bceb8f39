import type { Duplex } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import type { Stream } from '../../local/stream.js';
import { TRICKLE_GREETING, TrickleHellos } from '../../wire/trickle.js';
import type { Seeded } from '../egd/seeded.js';
import type { TrickleAllowance } from './allowance.js';

/** One piece of the trickle, bytes: what a guest's kernel asks for at a time. */
const PIECE_BYTES = 64;
/** Between two greetings, ms: a guest that says hello without end is not worth more. */
const GREETING_EVERY_MS = 1_000;

/** Counted over all guests of an outlet. */
export interface TrickleCounts {
  bytes: number;
  hellos: number;
  bursts: number;
  /** Greeted without a burst: the guest had too many. */
  burstsRefused: number;
  protocolErrors: number;
  failures: number;
}

/** What a conversation needs. */
export interface TrickleServices {
  readonly environment: Pick<Environment, 'monotonicNs' | 'timers' | 'arrivals'>;
  readonly seeded: Seeded;
  readonly counts: TrickleCounts;
  readonly bytesPerMinute: number;
  readonly burstBytes: number;
}

/**
 * One connection to one guest's line. Says nothing before the guest has said hello; then the greeting and a burst, then a
 * piece at a time, so that no minute has more than its bytes. A piece is made when the kernel has taken the one before it:
 * a guest that does not read costs what the kernel's buffer holds, and then nothing.
 */
export class TrickleConversation {
  readonly #socket: Duplex;
  readonly #stream: Stream;
  readonly #allowance: TrickleAllowance;
  readonly #services: TrickleServices;
  readonly #hellos = new TrickleHellos();
  readonly #gone = new AbortController();
  readonly #startedAtNs: bigint;
  #greeted = false;
  #saidHello = false;
  #owesBurst = false;
  #fault: unknown;
  #wake: (() => void) | undefined;
  #nextGreetingNs = 0n;
  /** Resolves when the socket is closed and the stream wiped, to why it ended if that was a fault. Never rejects. */
  readonly done: Promise<unknown>;

  /**
   * @param socket - connected; destroyed at the end
   * @param stream - of this connection alone; closed with it
   * @param allowance - of the guest
   */
  constructor(socket: Duplex, stream: Stream, allowance: TrickleAllowance, services: TrickleServices) {
    this.#socket = socket;
    this.#stream = stream;
    this.#allowance = allowance;
    this.#services = services;
    this.#startedAtNs = services.environment.monotonicNs();
    socket.on('error', (error) => (this.#fault ??= error));
    socket.on('data', (chunk: Buffer) => this.#hear(chunk));
    socket.on('end', () => socket.destroy());
    const closed = new Promise<void>((resolve) => {
      const onClose = (): void => {
        this.#gone.abort(new LamplighterError('ERR_STOPPED', 'the guest’s line is closed'));
        this.#wake?.();
        resolve();
      };
      if (socket.closed) onClose();
      else socket.once('close', onClose);
    });
    this.done = this.#speak().then(async () => {
      await closed;
      stream.close();
      return this.#fault;
    });
  }

  /** Whether this guest gets entropy. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** How long the line has been open, ms. */
  get ageMs(): number {
    return Number(this.#services.environment.monotonicNs() - this.#startedAtNs) / 1e6;
  }

  /**
   * A burst, as soon as the kernel takes it, whatever the guest had before: this host or the guest was resumed.
   * @param uninvited - because the guest was restored, which does not know that it should say hello: also when none was heard on
   *   this connection. It gets the greeting first, which makes a waiting and a listening guest hear the rest, and tells an agent there
   *   what has happened; to all others it is 61 bytes that everybody knows
   * @returns whether there will be one
   */
  burst(uninvited: boolean): boolean {
    if (!this.#greeted && !uninvited) return false;
    this.#greeted &&= !uninvited;
    this.#owesBurst = true;
    this.#wake?.();
    return true;
  }

  /** Ends it; what the kernel already has still arrives. */
  close(): void {
    this.#socket.destroy();
  }

  #hear(chunk: Buffer): void {
    this.#services.environment.arrivals.note();
    try {
      const hellos = this.#hellos.push(chunk);
      if (hellos === 0) return;
      this.#services.counts.hellos += hellos;
      this.#saidHello = true;
      // Nothing more is read before the answer is out: a guest that floods fills its own queue.
      this.#socket.pause();
      this.#wake?.();
    } catch (error) {
      this.#services.counts.protocolErrors += 1;
      this.#fault = error;
      this.#socket.destroy();
    }
  }

  async #speak(): Promise<void> {
    const { environment, seeded, counts } = this.#services;
    try {
      while (!this.#gone.signal.aborted) {
        const nowNs = environment.monotonicNs();
        if (this.#saidHello && nowNs >= this.#nextGreetingNs) {
          await seeded.wait(this.#gone.signal);
          await this.#greet();
        } else if (this.#owesBurst) {
          await seeded.wait(this.#gone.signal);
          await this.#sendBurst();
        } else if (this.#greeted && nowNs >= this.#allowance.nextPieceNs) {
          await this.#sendPiece();
        } else {
          await this.#rest(nowNs);
        }
      }
    } catch (error) {
      this.#socket.destroy();
      if (error instanceof LamplighterError && error.code === 'ERR_STOPPED') return;
      counts.failures += 1;
      this.#fault ??= error;
    }
  }

  async #greet(): Promise<void> {
    this.#saidHello = false;
    this.#nextGreetingNs = this.#later(GREETING_EVERY_MS);
    const mayBurst = this.#allowance.takeBurst();
    if (!mayBurst) this.#services.counts.burstsRefused += 1;
    await this.#write(Buffer.from(TRICKLE_GREETING, 'latin1'));
    this.#greeted = true;
    this.#owesBurst = mayBurst;
    // Without a burst it gets its first piece when that is due: hellos make nothing come sooner.
    this.#socket.resume();
  }

  async #sendBurst(): Promise<void> {
    if (!this.#greeted) await this.#write(Buffer.from(TRICKLE_GREETING, 'latin1'));
    this.#greeted = true;
    this.#owesBurst = false;
    this.#services.counts.bursts += 1;
    await this.#send(this.#services.burstBytes);
  }

  async #sendPiece(): Promise<void> {
    await this.#send(Math.min(PIECE_BYTES, this.#services.bytesPerMinute));
  }

  async #send(lengthBytes: number): Promise<void> {
    const { bytesPerMinute, counts } = this.#services;
    const bytes = this.#stream.read(lengthBytes);
    try {
      await this.#write(bytes);
      counts.bytes += lengthBytes;
    } finally {
      bytes.fill(0);
    }
    // From the end of this one, so that a timer that was late is not made up for.
    this.#allowance.nextPieceNs = this.#later(
      (Math.min(PIECE_BYTES, bytesPerMinute) * 60_000) / bytesPerMinute,
    );
  }

  /** Resolves when the kernel has it all. */
  async #write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const broken = (cause: Error) => new LamplighterError('ERR_STOPPED', 'the line broke', { cause });
      this.#socket.write(bytes, (error) => (error ? reject(broken(error)) : resolve()));
    });
  }

  /** Until something is due or somebody wakes it. */
  async #rest(nowNs: bigint): Promise<void> {
    const dueNs = this.#saidHello
      ? this.#nextGreetingNs
      : this.#greeted
        ? this.#allowance.nextPieceNs
        : undefined;
    let timer: { cancel(): void } | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (dueNs === undefined) return;
      timer = this.#services.environment.timers.after(Math.ceil(Number(dueNs - nowNs) / 1e6), resolve);
    });
    this.#wake = undefined;
    timer?.cancel();
  }

  #later(delayMs: number): bigint {
    return this.#services.environment.monotonicNs() + BigInt(Math.ceil(delayMs * 1e6));
  }
}
