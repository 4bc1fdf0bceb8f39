import { LamplighterError } from '@lamplighter/core';

/**
 * The EGD protocol, both directions. Source: DESIGN section 8; Brian Warner's egd.pl 0.9 is where it comes from.
 *
 * | request | answer |
 * | --- | --- |
 * | 00 | level: u32 bits |
 * | 01 n | u8 m ≤ n, then m bytes: what there is now |
 * | 02 n | exactly n bytes, as soon as there are that many |
 * | 03 bits(u16) n data | none |
 * | 04 | u8 length, then the server's pid in decimal |
 *
 * There is no framing to find back to: after one bad byte nothing that follows can be trusted, so a fault always ends the
 * connection.
 */

/** One thing a client may ask. `blocking` is command 02, otherwise 01. */
export type EgdRequest =
  | { readonly kind: 'level' }
  | { readonly kind: 'read'; readonly lengthBytes: number; readonly blocking: boolean }
  | { readonly kind: 'write'; readonly claimedBits: number; readonly data: Uint8Array }
  | { readonly kind: 'pid' };

/** What a server answers, after the request that asked for it. */
export type EgdReply =
  | { readonly kind: 'level'; readonly bits: number }
  | { readonly kind: 'read'; readonly bytes: Uint8Array }
  | { readonly kind: 'pid'; readonly pid: string };

/** A length is one byte on the wire. */
export const MAX_EGD_LENGTH_BYTES = 255;

const LEVEL = 0x00;
const READ_NOW = 0x01;
const READ_ALL = 0x02;
const WRITE = 0x03;
const PID = 0x04;

/** Of a 03 request, before its data: command, bits, length. */
const WRITE_HEADER_BYTES = 4;

/**
 * Encodes a request.
 * @throws RangeError when a length is not 0..255 or the claimed bits are not 0..65,535
 */
export function encodeEgdRequest(request: EgdRequest): Uint8Array {
  switch (request.kind) {
    case 'level':
      return Uint8Array.of(LEVEL);
    case 'read':
      return Uint8Array.of(request.blocking ? READ_ALL : READ_NOW, u8(request.lengthBytes));
    case 'write': {
      const { claimedBits, data } = request;
      if (!Number.isInteger(claimedBits) || claimedBits < 0 || claimedBits > 0xffff) {
        throw new RangeError('claimed bits are 0 to 65,535');
      }
      const bytes = new Uint8Array(WRITE_HEADER_BYTES + u8(data.length));
      bytes.set([WRITE, claimedBits >> 8, claimedBits & 0xff, data.length]);
      bytes.set(data, WRITE_HEADER_BYTES);
      return bytes;
    }
    case 'pid':
      return Uint8Array.of(PID);
  }
}

/**
 * Encodes the answer to a request; `read` in the form its command wants.
 * @throws RangeError when the answer does not fit the request
 */
export function encodeEgdReply(request: Exclude<EgdRequest, { kind: 'write' }>, reply: EgdReply): Uint8Array {
  switch (request.kind) {
    case 'level': {
      if (reply.kind !== 'level') throw new RangeError('a level is answered by a level');
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, reply.bits);
      return bytes;
    }
    case 'read': {
      if (reply.kind !== 'read') throw new RangeError('a read is answered by bytes');
      const { lengthBytes, blocking } = request;
      const fits = blocking ? reply.bytes.length === lengthBytes : reply.bytes.length <= lengthBytes;
      if (!fits) throw new RangeError('the answer does not have the length that was asked for');
      return blocking ? Uint8Array.from(reply.bytes) : withLength(reply.bytes);
    }
    case 'pid':
      if (reply.kind !== 'pid') throw new RangeError('a pid is answered by a pid');
      return withLength(Buffer.from(reply.pid, 'latin1'));
  }
}

/**
 * Takes a client's bytes apart, however they were cut. Holds what was pushed and not yet asked for: a caller that pushes
 * only after `next` has said undefined holds at most one chunk and 258 bytes.
 */
export class EgdRequestDecoder {
  #held: Uint8Array = new Uint8Array(0);

  /** Adds bytes; they are kept, not copied: the caller may not reuse them before `next` has said undefined. */
  push(chunk: Uint8Array): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }

  /**
   * The next whole request.
   * @returns undefined when more bytes are needed; only the unfinished request is then held, in a copy of its own
   * @throws LamplighterError ERR_EGD_PROTOCOL for a command that does not exist; again at every later call
   */
  next(): EgdRequest | undefined {
    const held = this.#held;
    const [command, first, second, third] = held;
    switch (command) {
      case undefined:
        return undefined;
      case LEVEL:
        return this.#take(1, () => ({ kind: 'level' }));
      case READ_NOW:
      case READ_ALL: {
        const blocking = command === READ_ALL;
        return this.#take(2, () => ({ kind: 'read', lengthBytes: first ?? 0, blocking }));
      }
      case WRITE:
        return this.#take(WRITE_HEADER_BYTES + (third ?? 0), () => ({
          kind: 'write',
          claimedBits: ((first ?? 0) << 8) | (second ?? 0),
          data: Uint8Array.from(held.subarray(WRITE_HEADER_BYTES, WRITE_HEADER_BYTES + (third ?? 0))),
        }));
      case PID:
        return this.#take(1, () => ({ kind: 'pid' }));
      default:
        throw new LamplighterError('ERR_EGD_PROTOCOL', `there is no EGD command ${command}`);
    }
  }

  #take(lengthBytes: number, make: () => EgdRequest): EgdRequest | undefined {
    if (this.#held.length < lengthBytes) {
      this.#held = Uint8Array.from(this.#held);
      return undefined;
    }
    const request = make();
    this.#held = this.#held.subarray(lengthBytes);
    return request;
  }
}

/** Takes the answer to one request from a server's bytes, however they were cut. Holds at most 256 bytes. */
export class EgdReplyDecoder {
  readonly #request: Exclude<EgdRequest, { kind: 'write' }>;
  readonly #held: Uint8Array;
  #length = 0;

  /** @param request - what was asked; command 03 has no answer */
  constructor(request: Exclude<EgdRequest, { kind: 'write' }>) {
    this.#request = request;
    this.#held = new Uint8Array(1 + MAX_EGD_LENGTH_BYTES);
  }

  /**
   * Adds bytes; they are copied.
   * @returns the answer once it is whole; undefined until then
   * @throws LamplighterError ERR_EGD_PROTOCOL for more bytes than were asked for
   */
  push(chunk: Uint8Array): EgdReply | undefined {
    const fits = Math.min(chunk.length, this.#held.length - this.#length);
    this.#held.set(chunk.subarray(0, fits), this.#length);
    this.#length += fits;
    const neededBytes = this.#neededBytes();
    if (fits < chunk.length || this.#length > neededBytes) {
      throw new LamplighterError('ERR_EGD_PROTOCOL', 'the EGD server sent more than it was asked for');
    }
    return this.#length === neededBytes ? this.#reply() : undefined;
  }

  /** Overwrites what is held. */
  wipe(): void {
    this.#held.fill(0);
  }

  #neededBytes(): number {
    const request = this.#request;
    if (request.kind === 'level') return 4;
    if (request.kind === 'read' && request.blocking) return request.lengthBytes;
    if (this.#length === 0) return 1;
    const following = this.#held[0] ?? 0;
    if (request.kind === 'read' && following > request.lengthBytes) {
      throw new LamplighterError('ERR_EGD_PROTOCOL', 'the EGD server announced more than it was asked for');
    }
    return 1 + following;
  }

  #reply(): EgdReply {
    const request = this.#request;
    const bytes = this.#held.subarray(0, this.#length);
    if (request.kind === 'level') return { kind: 'level', bits: Buffer.from(bytes).readUInt32BE() };
    if (request.kind === 'pid')
      return { kind: 'pid', pid: Buffer.from(bytes.subarray(1)).toString('latin1') };
    return { kind: 'read', bytes: Uint8Array.from(request.blocking ? bytes : bytes.subarray(1)) };
  }
}

function u8(length: number): number {
  if (!Number.isInteger(length) || length < 0 || length > MAX_EGD_LENGTH_BYTES) {
    throw new RangeError(`an EGD length is 0 to ${MAX_EGD_LENGTH_BYTES} bytes`);
  }
  return length;
}

function withLength(bytes: Uint8Array): Uint8Array {
  const reply = new Uint8Array(1 + u8(bytes.length));
  reply[0] = bytes.length;
  reply.set(bytes, 1);
  return reply;
}
