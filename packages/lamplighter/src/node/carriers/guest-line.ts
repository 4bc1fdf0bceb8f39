import type { Duplex } from 'node:stream';
import type { Environment } from '../../local/environment.js';
import { ByteBudget } from '../../outlets/egd/byte-budget.js';
import { CarrierDecoder, type CarrierFrame, encodeCarrierFrame } from '../../wire/carrier.js';
import { CarrierSession } from '../../wire/carrier-session.js';

// Implementation constants.
/** What one guest may say a second: an exchange takes some 3 KB. */
const LINE_BYTES_PER_SECOND = 131_072;
/** What all guests together may. */
const ALL_BYTES_PER_SECOND = 2_097_152;
/** What beginning a connection costs of both: a handshake is a millisecond of processor time. */
const SESSION_COST_BYTES = 16_384;
/** What is paid for at once; no more than the cost of a session. */
const PIECE_BYTES = 16_384;

/** What all guests' lines share. */
export interface LineDoors {
  readonly environment: Pick<Environment, 'monotonicNs' | 'timers'>;
  /** Serves a connection; destroys it when it is over. */
  readonly accept: (connection: Duplex) => void;
  readonly all: ByteBudget;
}

/** A budget for {@link LineDoors.all}. */
export function allLines(environment: LineDoors['environment']): ByteBudget {
  return new ByteBudget(ALL_BYTES_PER_SECOND, environment);
}

/**
 * The host's end of one guest's line: hands over the connections that the guest begins on it, one at a time.
 *
 * Source: wire/carrier.ts. A guest is heard no faster than its budget, garbage or not, so that it keeps neither the node nor other
 * guests busy; beyond it, it waits. Nothing is kept for a guest that does not read: a connection that ends while bytes of it lie
 * here takes the line with it, which is then made anew.
 */
export class GuestLine {
  readonly #line: Duplex;
  readonly #doors: LineDoors;
  readonly #own: ByteBudget;
  readonly #decoder = new CarrierDecoder();
  #session: CarrierSession | undefined;
  /** Lets the line be heard again: its connection can take more, or is gone. */
  #room: (() => void) | undefined;
  #sessions = 0;

  /** @param line - connected; this object's alone */
  constructor(line: Duplex, doors: LineDoors) {
    this.#line = line;
    this.#doors = doors;
    this.#own = new ByteBudget(LINE_BYTES_PER_SECOND, doors.environment);
    line.on('error', () => undefined);
  }

  /** Connections begun. */
  get sessions(): number {
    return this.#sessions;
  }

  /** Bytes that were in no frame. */
  get garbageBytes(): number {
    return this.#decoder.garbageBytes;
  }

  /** Serves until the other end hangs up or the signal fires. Never rejects; the line and its connection are destroyed then. */
  async serve(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const destroy = (): void => void this.#line.destroy();
    signal.addEventListener('abort', destroy, { once: true });
    // Whoever waits for his turn must not wait for a line that is gone.
    this.#line.once('close', () => {
      stop.abort();
      this.#room?.();
    });
    try {
      if (signal.aborted) return;
      for await (const chunk of this.#line as AsyncIterable<Buffer>) await this.#hear(chunk, stop.signal);
    } catch {
      // The line broke, or was broken off; both are its end.
    } finally {
      signal.removeEventListener('abort', destroy);
      this.#line.destroy();
      this.#session?.destroy();
    }
  }

  async #hear(chunk: Buffer, signal: AbortSignal): Promise<void> {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      const piece = chunk.subarray(at, at + PIECE_BYTES);
      await this.#pay(piece.length, signal);
      for (const frame of this.#decoder.push(piece)) await this.#take(frame, signal);
    }
  }

  async #pay(bytes: number, signal: AbortSignal): Promise<void> {
    await this.#own.take(bytes, signal);
    await this.#doors.all.take(bytes, signal);
  }

  async #take({ type, session: whose, payload }: CarrierFrame, signal: AbortSignal): Promise<void> {
    if (type === 'open') {
      await this.#pay(SESSION_COST_BYTES, signal);
      this.#begin(whose);
      return;
    }
    const session = this.#session?.session === whose ? this.#session : undefined;
    if (type === 'close') {
      session?.closedByPeer();
      return;
    }
    if (session === undefined) this.#tell('close', whose);
    else if (!session.deliver(payload)) await this.#roomIn(session);
  }

  #begin(number: bigint): void {
    const before = this.#session;
    this.#session = undefined;
    before?.destroy();
    if (this.#line.destroyed) return;
    const session = new CarrierSession(number, {
      write: (bytes, done) => void this.#line.write(bytes, done),
      resume: () => this.#room?.(),
      closed: (isComplete, done) => {
        this.#closed(session, isComplete);
        done();
      },
    });
    this.#session = session;
    this.#sessions += 1;
    this.#tell('open', number);
    this.#doors.accept(session);
  }

  #closed(session: CarrierSession, isComplete: boolean): void {
    const isCurrent = this.#session === session;
    if (isCurrent) this.#session = undefined;
    if (!isComplete && this.#line.writableLength > 0) this.#line.destroy();
    else if (!isComplete && isCurrent) this.#tell('close', session.session);
    this.#room?.();
  }

  /** A frame of our own; not to a guest that does not read those before it. */
  #tell(type: 'open' | 'close', session: bigint): void {
    if (this.#line.writableLength === 0) this.#line.write(encodeCarrierFrame(type, session));
  }

  async #roomIn(session: CarrierSession): Promise<void> {
    if (session.destroyed || this.#line.destroyed) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
    this.#room = undefined;
  }
}
