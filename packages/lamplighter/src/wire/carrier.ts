/**
 * Connections over a serial line: one stream of bytes each way that has neither beginning nor end, in which either side may fall
 * silent in the middle of a word, and come back as another program.
 *
 * A frame is `magic u32 ‖ type u8 ‖ session u64 ‖ payload`, 0–4,096 bytes of it, and stands between two END bytes; an END or ESC
 * inside it is escaped (RFC 1055, "SLIP"). So the end of a frame that was cut is where the next one begins, whatever a length in
 * it would have promised, and no clock is needed to find it.
 *
 * - OPEN, from the guest: a connection begins, and any other on this line is over. The host answers with OPEN of the same session;
 *   only then is anything sent.
 * - DATA: bytes of the connection, from either side. The guest drops those of a session that is not its own; the host answers them
 *   with CLOSE.
 * - CLOSE: the connection is over, in both directions. It is never answered.
 *
 * A session is a number that the guest has not used on this line before. It is no secret, and nothing here is authentic: that
 * is the affair of the TLS inside. There are no checksums for the same reason.
 */

/** The name of the virtio-serial port. */
export const CARRIER_PORT = 'io.lamplighter.beacon.1';

export const CARRIER_TYPES = { open: 1, data: 2, close: 3 } as const;

export type CarrierType = keyof typeof CARRIER_TYPES;

export interface CarrierFrame {
  readonly type: CarrierType;
  /** u64. */
  readonly session: bigint;
  /** Empty but for `data`. */
  readonly payload: Uint8Array;
}

// Specification constants.
const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;
const MAGIC = 0x4c_4c_43_31;
const HEADER_BYTES = 13;
export const MAX_CARRIER_PAYLOAD_BYTES = 4_096;
const MAX_FRAME_BYTES = HEADER_BYTES + MAX_CARRIER_PAYLOAD_BYTES;

/**
 * One frame, as it goes on the line.
 * @param session - u64
 * @param payload - for `data`: 1..4,096 bytes, copied
 * @throws RangeError when the payload is too long, or missing, or there for another type
 */
export function encodeCarrierFrame(
  type: CarrierType,
  session: bigint,
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  if (payload.length > MAX_CARRIER_PAYLOAD_BYTES || (type === 'data') !== payload.length > 0)
    throw new RangeError('data has 1 to 4,096 bytes, and nothing else has any');
  const frame = Buffer.alloc(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(MAGIC, 0);
  frame.writeUInt8(CARRIER_TYPES[type], 4);
  frame.writeBigUInt64BE(session, 5);
  frame.set(payload, HEADER_BYTES);
  const escaped = Buffer.alloc(2 + 2 * frame.length);
  let length = 0;
  escaped[length++] = END;
  for (const byte of frame) {
    if (byte === END || byte === ESC) {
      escaped[length++] = ESC;
      escaped[length++] = byte === END ? ESC_END : ESC_ESC;
    } else escaped[length++] = byte;
  }
  escaped[length++] = END;
  return escaped.subarray(0, length);
}

/** Finds frames in what comes over a line, however it is cut. Holds one frame; never throws on what it is given. */
export class CarrierDecoder {
  readonly #frame = Buffer.alloc(MAX_FRAME_BYTES);
  #length = 0;
  /** Bytes on the line since the last END, escapes among them. */
  #taken = 0;
  #isEscaped = false;
  #isBroken = false;
  #garbageBytes = 0;

  /** Bytes that were in no frame. */
  get garbageBytes(): number {
    return this.#garbageBytes;
  }

  /** @returns the frames that this chunk has finished; their payloads are copies */
  push(chunk: Uint8Array): CarrierFrame[] {
    const frames: CarrierFrame[] = [];
    for (const byte of chunk) {
      if (byte !== END) {
        this.#take(byte);
        continue;
      }
      const frame = this.#end();
      if (frame !== undefined) frames.push(frame);
    }
    return frames;
  }

  #take(byte: number): void {
    this.#taken += 1;
    if (this.#isBroken) {
      this.#garbageBytes += 1;
      return;
    }
    if (byte === ESC && !this.#isEscaped) {
      this.#isEscaped = true;
      return;
    }
    const plain = this.#isEscaped ? unescaped(byte) : byte;
    this.#isEscaped = false;
    if (plain === undefined || this.#length === MAX_FRAME_BYTES) {
      this.#isBroken = true;
      this.#garbageBytes += this.#taken;
    } else this.#frame[this.#length++] = plain;
  }

  #end(): CarrierFrame | undefined {
    // Between two frames stand two of them, and in front of the first whatever was there before.
    if (this.#taken === 0) return undefined;
    const isWhole = !this.#isBroken && !this.#isEscaped;
    const frame = isWhole ? decoded(this.#frame.subarray(0, this.#length)) : undefined;
    if (frame === undefined && !this.#isBroken) this.#garbageBytes += this.#taken;
    this.#length = 0;
    this.#taken = 0;
    this.#isEscaped = false;
    this.#isBroken = false;
    return frame;
  }
}

function unescaped(byte: number): number | undefined {
  if (byte === ESC_END) return END;
  return byte === ESC_ESC ? ESC : undefined;
}

function decoded(frame: Buffer): CarrierFrame | undefined {
  if (frame.length < HEADER_BYTES || frame.readUInt32BE(0) !== MAGIC) return undefined;
  const type = TYPES.get(frame.readUInt8(4));
  const payload = Uint8Array.from(frame.subarray(HEADER_BYTES));
  if (type === undefined || (type === 'data') !== payload.length > 0) return undefined;
  return { type, session: frame.readBigUInt64BE(5), payload };
}

const TYPES = new Map<number, CarrierType>([
  [CARRIER_TYPES.open, 'open'],
  [CARRIER_TYPES.data, 'data'],
  [CARRIER_TYPES.close, 'close'],
]);
