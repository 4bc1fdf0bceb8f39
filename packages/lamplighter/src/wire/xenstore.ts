import { LamplighterError } from '@lamplighter/core';

/**
 * The wire protocol of xenstored, the same on its unix socket, on /dev/xen/xenbus and on a guest's ring.
 *
 * Source: Xen 4.17, xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt. A message is four little-endian u32 (type,
 * request id, transaction id, payload length ≤ 4096) and its payload. There is nothing to find back to after a bad header, so
 * a fault always ends the connection.
 */

/** xs_wire.h, enum xsd_sockmsg_type: those that are used here. */
export const XENSTORE_TYPE = {
  directory: 1,
  read: 2,
  getPermissions: 3,
  watch: 4,
  unwatch: 5,
  transactionStart: 6,
  transactionEnd: 7,
  write: 11,
  makeDirectory: 12,
  remove: 13,
  setPermissions: 14,
  watchEvent: 15,
  error: 16,
  isDomainIntroduced: 17,
  directoryPart: 22,
} as const;

/** XENSTORE_PAYLOAD_MAX. */
export const MAX_XENSTORE_PAYLOAD_BYTES = 4096;
/** XENSTORE_ABS_PATH_MAX. */
export const MAX_XENSTORE_PATH_BYTES = 3072;
/** XENSTORE_REL_PATH_MAX. */
export const MAX_XENSTORE_RELATIVE_PATH_BYTES = 2048;
/** DOMID_FIRST_RESERVED: no guest has this number or a higher one. */
export const FIRST_RESERVED_DOMAIN = 0x7ff0;

const HEADER_BYTES = 16;
const U32_MAX = 0xffff_ffff;

/** One message, either way. */
export interface XenstoreMessage {
  readonly type: number;
  /** Chosen by whoever asks, repeated in the answer; 0 in events. */
  readonly requestId: number;
  /** 0: in no transaction. */
  readonly transactionId: number;
  readonly payload: Uint8Array;
}

/**
 * Encodes a message.
 * @param message - its payload is copied; the caller may wipe it
 * @throws RangeError when the payload is longer than 4096 bytes or a number is no u32
 */
export function encodeXenstoreMessage(message: XenstoreMessage): Uint8Array {
  const { type, requestId, transactionId, payload } = message;
  if (payload.length > MAX_XENSTORE_PAYLOAD_BYTES) {
    throw new RangeError(`a xenstore payload has at most ${MAX_XENSTORE_PAYLOAD_BYTES} bytes`);
  }
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of [type, requestId, transactionId, payload.length].entries()) {
    if (!Number.isInteger(word) || word < 0 || word > U32_MAX) throw new RangeError('no u32');
    view.setUint32(4 * index, word, true);
  }
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** Takes the daemon's bytes apart, however they were cut. Holds one unfinished message, at most 4112 bytes. */
export class XenstoreMessageDecoder {
  readonly #held = new Uint8Array(HEADER_BYTES + MAX_XENSTORE_PAYLOAD_BYTES);
  #length = 0;

  /**
   * Takes bytes; they are copied.
   * @param onMessage - told of every whole message at once, in order; the payload is the callee's
   * @throws LamplighterError ERR_XENSTORE_PROTOCOL for a payload longer than any can be; nothing more may be pushed
   */
  push(chunk: Uint8Array, onMessage: (message: XenstoreMessage) => void): void {
    for (let rest = chunk; rest.length > 0;) {
      const missing = this.#wholeLength() - this.#length;
      const taken = rest.subarray(0, missing);
      this.#held.set(taken, this.#length);
      this.#length += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#length === this.#wholeLength()) onMessage(this.#take());
    }
  }

  /** Overwrites what is held. */
  wipe(): void {
    this.#held.fill(0);
    this.#length = 0;
  }

  #wholeLength(): number {
    if (this.#length < HEADER_BYTES) return HEADER_BYTES;
    const payloadBytes = this.#word(3);
    if (payloadBytes > MAX_XENSTORE_PAYLOAD_BYTES) {
      throw new LamplighterError(
        'ERR_XENSTORE_PROTOCOL',
        `a xenstore message announces ${payloadBytes} bytes, more than one can have`,
      );
    }
    return HEADER_BYTES + payloadBytes;
  }

  #take(): XenstoreMessage {
    const message = {
      type: this.#word(0),
      requestId: this.#word(1),
      transactionId: this.#word(2),
      payload: this.#held.slice(HEADER_BYTES, this.#length),
    };
    this.#held.fill(0, 0, this.#length);
    this.#length = 0;
    return message;
  }

  #word(index: number): number {
    return new DataView(this.#held.buffer).getUint32(4 * index, true);
  }
}

/** Fields that each end with a zero byte, as most requests have them. */
export function xenstoreFields(...fields: readonly string[]): Uint8Array {
  return Buffer.from(fields.map((field) => `${field}\0`).join(''), 'latin1');
}

/** The fields of an answer or event, each of which ends with a zero byte; a last one without is left out. */
export function splitXenstoreFields(payload: Uint8Array): readonly string[] {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length)
    .toString('latin1')
    .split('\0')
    .slice(0, -1);
}

/** What WRITE takes: a path with its zero byte, then the value, which has none and may hold any bytes. */
export function xenstoreWritePayload(path: string, value: Uint8Array): Uint8Array {
  const payload = new Uint8Array(path.length + 1 + value.length);
  payload.set(Buffer.from(path, 'latin1'));
  payload.set(value, path.length + 1);
  return payload;
}

/**
 * Whether a text is a path that xenstored takes: parts of `[A-Za-z0-9-/_@]` with single slashes, none at the end.
 * @param text - absolute when it begins with a slash; relative to the asking domain's own folder otherwise
 */
export function isXenstorePath(text: string): boolean {
  const limit = text.startsWith('/') ? MAX_XENSTORE_PATH_BYTES : MAX_XENSTORE_RELATIVE_PATH_BYTES;
  return text.length <= limit && /^\/?[\w@-]+(?:\/[\w@-]+)*$/.test(text);
}

/** Random bytes as a value: lowercase hex, which guests' tools, mostly shell scripts, can take. @returns ASCII, never a string */
export function encodeXenstoreEntropy(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(2 * bytes.length);
  for (const [index, byte] of bytes.entries()) {
    text[2 * index] = hexDigit(byte >> 4);
    text[2 * index + 1] = hexDigit(byte & 15);
  }
  return text;
}

/** @returns the bytes of a value that is lowercase or uppercase hex; undefined for any other */
export function decodeXenstoreEntropy(value: Uint8Array): Uint8Array | undefined {
  if (value.length === 0 || value.length % 2 !== 0) return undefined;
  const bytes = new Uint8Array(value.length / 2);
  for (const [index, character] of value.entries()) {
    const nibble = nibbleOf(character);
    if (nibble === undefined) return undefined;
    const at = index >> 1;
    bytes[at] = ((bytes[at] ?? 0) << 4) | nibble;
  }
  return bytes;
}

function hexDigit(nibble: number): number {
  return nibble < 10 ? 0x30 + nibble : 0x57 + nibble;
}

function nibbleOf(character: number): number | undefined {
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  const letter = character | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined;
}
