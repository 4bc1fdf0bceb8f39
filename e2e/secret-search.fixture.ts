/** Twelve bytes are found by chance once in 2^96 places. */
const PIECE_BYTES = 12;

/** Bytes that nobody may see, and what they are called. */
export interface Secret {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * For tests: looks for pieces of secrets, 12 bytes and more, in something that was said or shown: raw, as hexadecimal digits, in
 * base64 of both alphabets at every offset, as decimal numbers in a list, and as a program writes bytes into a string.
 */
export class SecretSearch {
  readonly #pieces = new Map<string, string>();

  /** @param secret - at least 12 bytes; its copy stays in this test */
  add({ name, bytes }: Secret): void {
    if (bytes.length < PIECE_BYTES) throw new RangeError(`a secret has at least ${PIECE_BYTES} bytes`);
    const secret = Buffer.from(bytes);
    for (let at = 0; at + PIECE_BYTES <= secret.length; at += 1) {
      const piece = secret.subarray(at, at + PIECE_BYTES);
      // Whatever stands before a secret in a longer text, one of three offsets is where a group of four letters begins.
      const base64 = piece.toString('base64');
      const forms = [
        piece.toString('latin1'),
        // As text: what is no UTF-8 became U+FFFD in it, and what is left of random bytes would be found by chance.
        piece.toString('hex'),
        base64,
        base64.replaceAll('+', '-').replaceAll('/', '_'),
        [...piece].join(','),
      ];
      for (const form of forms) this.#pieces.set(form, name);
    }
  }

  get count(): number {
    return this.#pieces.size;
  }

  /** @returns the names of the secrets of which a piece is in it; none is what a test wants */
  findIn(text: string | Uint8Array): string[] {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : Buffer.from(text);
    const raw = bytes.toString('latin1');
    // A list may have spaces and line breaks, digits may be upper case or have colons, base64 has lines.
    const dense = raw.replace(/[\s:"']/g, '');
    const haystacks = [raw, dense, dense.toLowerCase()];
    const found = new Set<string>();
    for (const [piece, name] of this.#pieces) {
      if (!found.has(name) && haystacks.some((haystack) => haystack.includes(piece))) found.add(name);
    }
    return [...found].sort();
  }
}
