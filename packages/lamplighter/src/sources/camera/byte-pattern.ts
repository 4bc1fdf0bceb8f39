/**
 * Searches a stream for one short string, byte by byte: constant time a byte however nearly it matched before, and no
 * state but a number that the caller keeps.
 *
 * Source: Knuth, Morris, Pratt, "Fast Pattern Matching in Strings" (1977).
 */
export class BytePattern {
  readonly length: number;
  readonly #bytes: Uint8Array;
  /** For each prefix, the length of its longest proper prefix that is also its suffix. */
  readonly #borders: Uint8Array;

  /** @param text - 1..255 characters of Latin-1 */
  constructor(text: string) {
    if (text.length === 0 || text.length > 255) throw new RangeError('a pattern has 1 to 255 bytes');
    this.#bytes = Buffer.from(text, 'latin1');
    this.length = this.#bytes.length;
    this.#borders = new Uint8Array(this.length + 1);
    for (let at = 1, border = 0; at < this.length; at++) {
      border = this.next(border, this.#bytes[at] ?? 0);
      this.#borders[at + 1] = border;
    }
  }

  /**
   * @param matched - how much of the pattern the bytes so far end with, 0..length - 1
   * @returns how much of it they end with after one more byte; `length` when it is found
   */
  next(matched: number, byte: number): number {
    let length = matched;
    while (length > 0 && this.#bytes[length] !== byte) length = this.#borders[length] ?? 0;
    return this.#bytes[length] === byte ? length + 1 : 0;
  }
}
