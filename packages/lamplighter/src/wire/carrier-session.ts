import { Duplex } from 'node:stream';
import { encodeCarrierFrame, MAX_CARRIER_PAYLOAD_BYTES } from './carrier.js';

/** What a session does with its line. */
export interface SessionDoors {
  /** Puts bytes on the line. @param done - called when they have left this process, or never */
  write(bytes: Buffer, done: (error?: Error | null) => void): void;
  /** The other end may be heard again. */
  resume(): void;
  /**
   * The session is gone, and nothing else of it shall be sent.
   * @param isComplete - whether all that was written has been sent, and the CLOSE behind it
   */
  closed(isComplete: boolean, done: () => void): void;
}

/**
 * One connection over a serial line, as one end of it sees it. Whoever has the line hands over what comes.
 *
 * It ends in both directions at once: what carries TLS needs no half-closed connections.
 */
export class CarrierSession extends Duplex {
  readonly session: bigint;
  readonly #doors: SessionDoors;
  #isClosedByPeer = false;
  #isComplete = false;

  /** @param session - u64 */
  constructor(session: bigint, doors: SessionDoors) {
    super({ allowHalfOpen: false });
    this.session = session;
    this.#doors = doors;
  }

  /** Bytes from the other end. @returns whether there is room for more; {@link SessionDoors.resume} says when there is again */
  deliver(payload: Uint8Array): boolean {
    return this.#isOver || this.push(payload);
  }

  /** The other end has sent its CLOSE: what was delivered can still be read, and nothing be written. */
  closedByPeer(): void {
    if (this.#isOver) return;
    this.#isClosedByPeer = true;
    this.push(null);
  }

  override _read(): void {
    this.#doors.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const frames: Buffer[] = [];
    for (let at = 0; at < chunk.length; at += MAX_CARRIER_PAYLOAD_BYTES) {
      const part = chunk.subarray(at, at + MAX_CARRIER_PAYLOAD_BYTES);
      frames.push(encodeCarrierFrame('data', this.session, part));
    }
    this.#doors.write(Buffer.concat(frames), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    const over = (error?: Error | null): void => {
      const isAlreadyOver = this.#isOver;
      this.#isComplete = error === undefined || error === null;
      done(error);
      if (!isAlreadyOver) this.push(null);
    };
    if (this.#isClosedByPeer) over();
    else this.#doors.write(encodeCarrierFrame('close', this.session), over);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#doors.closed(this.#isComplete, () => done(error));
  }

  /** Nothing is to be read any more. */
  get #isOver(): boolean {
    return this.#isClosedByPeer || this.#isComplete || this.destroyed;
  }
}
