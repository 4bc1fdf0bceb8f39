import { LamplighterError } from '@lamplighter/core';
import { type Basis, basisFromByte, basisToByte } from './basis.js';

/*
 * The feed frame (DESIGN section 8), integers big-endian:
 *
 *   magic `LLF1` · basis u8 · reserved u8 · payload length u16 · sequence u64 · real time ns u64 · payload
 *        0..3          4           5              6..7              8..15            16..23         24..87
 *
 * A payload is 64 bytes in this version, so any other length, longer or shorter, is a broken frame: a shorter one has
 * no sender, and a decoder that takes it would only widen what an attacker can vary.
 */
const MAGIC = 0x4c4c4631;
const BASIS_AT = 4;
const LENGTH_AT = 6;
const SEQUENCE_AT = 8;
const REALTIME_AT = 16;
const MAX_U64 = (1n << 64n) - 1n;

/** Bytes before the payload. */
export const FEED_HEADER_LENGTH_BYTES = 24;
/** The payload of every frame in this version. */
export const FEED_PAYLOAD_LENGTH_BYTES = 64;
/** A whole frame. */
export const FEED_FRAME_LENGTH_BYTES = FEED_HEADER_LENGTH_BYTES + FEED_PAYLOAD_LENGTH_BYTES;

/** Where a feed is asked for. */
export const FEED_PATH = '/v1/feed';
/** The media type of a feed's endless body. */
export const FEED_CONTENT_TYPE = 'application/octet-stream';

/** What a subscriber may ask for in `interval`, in milliseconds. */
export const MIN_FEED_INTERVAL_MS = 100;
export const MAX_FEED_INTERVAL_MS = 60_000;
export const DEFAULT_FEED_INTERVAL_MS = 1_000;

const STALL_INTERVALS = 3;
/** What is added to three intervals of silence before a feed counts as stalled. */
export const FEED_STALL_GRACE_MS = 5_000;

/**
 * How long one end of a feed waits for the other: three intervals and a grace (DESIGN section 8).
 * @param intervalMs - the feed's interval
 * @param graceMs - what is added
 */
export function feedStallMs(intervalMs: number, graceMs: number = FEED_STALL_GRACE_MS): number {
  return STALL_INTERVALS * intervalMs + graceMs;
}

/**
 * An interval as asked for in the query.
 * @param text - the value of `interval`; null when there is none
 * @returns milliseconds, {@link MIN_FEED_INTERVAL_MS}..{@link MAX_FEED_INTERVAL_MS}
 * @throws LamplighterError ERR_INTERVAL when it is not a whole decimal number in that range
 */
export function parseFeedInterval(text: string | null): number {
  if (text === null) return DEFAULT_FEED_INTERVAL_MS;
  const intervalMs = /^[0-9]{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (intervalMs >= MIN_FEED_INTERVAL_MS && intervalMs <= MAX_FEED_INTERVAL_MS) return intervalMs;
  throw new LamplighterError('ERR_INTERVAL', 'the interval is out of range', {
    hint: `ask for ${MIN_FEED_INTERVAL_MS} to ${MAX_FEED_INTERVAL_MS} milliseconds`,
  });
}

/** One frame of a feed. */
export interface FeedFrame {
  readonly basis: Basis;
  /** Rises with every frame of one connection, u64. */
  readonly sequence: bigint;
  /** The sender's clock, nanoseconds since 1970, u64. For people only: nothing may rest on it. */
  readonly realtimeNs: bigint;
  /** 64 bytes. */
  readonly payload: Uint8Array;
}

/**
 * One frame as bytes.
 * @param frame - `payload` exactly 64 bytes; copied
 * @returns 88 bytes, owned by the caller
 * @throws RangeError on another payload length, or a sequence or time outside u64
 */
export function encodeFeedFrame(frame: FeedFrame): Uint8Array {
  if (frame.payload.length !== FEED_PAYLOAD_LENGTH_BYTES) {
    throw new RangeError(`a feed payload is ${FEED_PAYLOAD_LENGTH_BYTES} bytes, not ${frame.payload.length}`);
  }
  // DataView would wrap silently; a sequence that wrapped is one that repeats.
  if (frame.sequence < 0n || frame.sequence > MAX_U64) throw new RangeError('the sequence is not a u64');
  if (frame.realtimeNs < 0n || frame.realtimeNs > MAX_U64) throw new RangeError('the real time is not a u64');
  const bytes = new Uint8Array(FEED_FRAME_LENGTH_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint8(BASIS_AT, basisToByte(frame.basis));
  view.setUint16(LENGTH_AT, FEED_PAYLOAD_LENGTH_BYTES);
  view.setBigUint64(SEQUENCE_AT, frame.sequence);
  view.setBigUint64(REALTIME_AT, frame.realtimeNs);
  bytes.set(frame.payload, FEED_HEADER_LENGTH_BYTES);
  return bytes;
}

/**
 * Reads the frames of one connection, however its bytes are cut. Holds less than one frame; after a fault, or after
 * {@link FeedDecoder.close}, it takes nothing more.
 */
export class FeedDecoder {
  readonly #frame = new Uint8Array(FEED_FRAME_LENGTH_BYTES);
  readonly #view = new DataView(this.#frame.buffer);
  #filled = 0;
  #sequence = -1n;
  #fault: LamplighterError | undefined;

  /**
   * Takes the next bytes. Frames come out one by one, so that those before a fault are had in full; the generator must
   * be run to its end.
   * @param chunk - any length; copied
   * @returns whole frames, in order; each payload is a copy that the caller owns
   * @throws LamplighterError ERR_FEED_MAGIC, ERR_FEED_FRAME_LENGTH or ERR_FEED_SEQUENCE, at the frame in question and on
   *   every later call. The length is judged from the header alone: nobody waits for, or holds, an overlong payload
   */
  *push(chunk: Uint8Array): Generator<FeedFrame, void, undefined> {
    if (this.#fault !== undefined) throw this.#fault;
    let at = 0;
    while (at < chunk.length) {
      // Stops at the end of the header, so that the rest is taken only once the header is known to be good.
      const until =
        this.#filled < FEED_HEADER_LENGTH_BYTES ? FEED_HEADER_LENGTH_BYTES : FEED_FRAME_LENGTH_BYTES;
      const taken = chunk.subarray(at, at + until - this.#filled);
      this.#frame.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === FEED_HEADER_LENGTH_BYTES) this.#checkHeader();
      if (this.#filled === FEED_FRAME_LENGTH_BYTES) yield this.#take();
    }
  }

  /** Wipes what is held of an unfinished frame. */
  close(): void {
    this.#fault ??= new LamplighterError('ERR_STOPPED', 'the feed is closed');
    this.#frame.fill(0);
    this.#filled = 0;
  }

  #checkHeader(): void {
    if (this.#view.getUint32(0) !== MAGIC) this.#fail('ERR_FEED_MAGIC', 'the feed frame has a wrong magic');
    const lengthBytes = this.#view.getUint16(LENGTH_AT);
    if (lengthBytes !== FEED_PAYLOAD_LENGTH_BYTES) {
      this.#fail(
        'ERR_FEED_FRAME_LENGTH',
        `the feed frame announces ${lengthBytes} payload bytes, not ${FEED_PAYLOAD_LENGTH_BYTES}`,
      );
    }
    // A repeated sequence is a repeated frame, and as wrong as one that goes backwards.
    const sequence = this.#view.getBigUint64(SEQUENCE_AT);
    if (sequence <= this.#sequence) this.#fail('ERR_FEED_SEQUENCE', 'the feed sequence does not rise');
    this.#sequence = sequence;
  }

  #take(): FeedFrame {
    const frame = {
      basis: basisFromByte(this.#view.getUint8(BASIS_AT)),
      sequence: this.#sequence,
      realtimeNs: this.#view.getBigUint64(REALTIME_AT),
      payload: this.#frame.slice(FEED_HEADER_LENGTH_BYTES),
    };
    this.#frame.fill(0);
    this.#filled = 0;
    return frame;
  }

  #fail(code: 'ERR_FEED_MAGIC' | 'ERR_FEED_FRAME_LENGTH' | 'ERR_FEED_SEQUENCE', message: string): never {
    this.close();
    this.#fault = new LamplighterError(code, message, {
      hint: 'check that the upstream is a lamplighter node',
    });
    throw this.#fault;
  }
}
