import type { HuffmanCodes } from './jpeg-tables.js';

/** No more zeros than this fit one symbol; sixteen have a symbol of their own. */
const LONGEST_RUN = 15;
const SIXTEEN_ZEROS = 0xf0;
const END_OF_BLOCK = 0;

/** Writes a JPEG file's bytes and the bits between them into a buffer of a fixed size. */
export class BitWriter {
  readonly #bytes: Uint8Array;
  #lengthBytes = 0;
  #pending = 0;
  #pendingBits = 0;

  /** @param capacityBytes - more than the longest file can need; what goes beyond makes {@link finish} throw */
  constructor(capacityBytes: number) {
    this.#bytes = new Uint8Array(capacityBytes);
  }

  /** Starts a new file with bytes that are already known. */
  begin(header: Uint8Array): void {
    this.#bytes.set(header);
    this.#lengthBytes = header.length;
    this.#pending = 0;
    this.#pendingBits = 0;
  }

  /**
   * Ends the file: fills the last byte with ones and adds the end marker.
   *
   * @returns a copy of the file
   * @throws RangeError if the file did not fit
   */
  finish(): Uint8Array {
    if (this.#pendingBits > 0) this.#put((1 << (8 - this.#pendingBits)) - 1, 8 - this.#pendingBits);
    this.#bytes[this.#lengthBytes++] = 0xff;
    this.#bytes[this.#lengthBytes++] = 0xd9;
    if (this.#lengthBytes > this.#bytes.length) throw new RangeError('the picture did not fit its buffer');
    return this.#bytes.slice(0, this.#lengthBytes);
  }

  /**
   * Writes one block. T.81, annex F.1.2.
   *
   * @param coefficients - 64 quantized values in the order of the file
   * @param previousMean - the first value of the last block of the same component
   */
  block(coefficients: Int16Array, previousMean: number, mean: HuffmanCodes, rest: HuffmanCodes): void {
    this.#number((coefficients[0] ?? 0) - previousMean, 0, mean);
    let zeros = 0;
    for (let position = 1; position < 64; position++) {
      const value = coefficients[position] ?? 0;
      if (value === 0) {
        zeros++;
        continue;
      }
      for (; zeros > LONGEST_RUN; zeros -= LONGEST_RUN + 1) this.#symbol(SIXTEEN_ZEROS, rest);
      this.#number(value, zeros << 4, rest);
      zeros = 0;
    }
    if (zeros > 0) this.#symbol(END_OF_BLOCK, rest);
  }

  /** A number is a symbol that tells its size in bits, then the bits; a negative one is written less one. */
  #number(value: number, runBits: number, codes: HuffmanCodes): void {
    const sizeBits = 32 - Math.clz32(Math.abs(value));
    this.#symbol(runBits | sizeBits, codes);
    if (sizeBits > 0) this.#put((value < 0 ? value - 1 : value) & ((1 << sizeBits) - 1), sizeBits);
  }

  #symbol(symbol: number, codes: HuffmanCodes): void {
    this.#put(codes.codes[symbol] ?? 0, codes.lengthsBits[symbol] ?? 0);
  }

  /** At most 16 bits at a time, with at most 7 waiting: never more than an integer holds. */
  #put(bits: number, count: number): void {
    let pending = (this.#pending << count) | bits;
    let pendingBits = this.#pendingBits + count;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      const byte = (pending >> pendingBits) & 0xff;
      this.#bytes[this.#lengthBytes++] = byte;
      // A byte of ones inside the data would read as a marker.
      if (byte === 0xff) this.#bytes[this.#lengthBytes++] = 0;
      pending &= (1 << pendingBits) - 1;
    }
    this.#pending = pending;
    this.#pendingBits = pendingBits;
  }
}
