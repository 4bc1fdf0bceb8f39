/**
 * What a feed frame or beacon rests on (DESIGN "On the wire"). On the feed it is one byte, on a beacon the header
 * `Lamplighter-Basis` with the same as comma-separated words.
 */
export interface Basis {
  /** Something simulated went in. */
  readonly simulated: boolean;
  /** The node that made it is degraded. */
  readonly degraded: boolean;
  /** It rests on a healthy physical noise source, here or at a live upstream. */
  readonly physical: boolean;
}

/** A basis that claims nothing and admits nothing: what a missing header or an unseen peer is worth. */
export const NO_BASIS: Basis = { simulated: false, degraded: false, physical: false };

/** The words in the order of their bits, bit 0 first. */
const WORDS = ['simulated', 'degraded', 'physical'] as const;

/** The basis as one byte; bit 0 simulated, bit 1 degraded, bit 2 physical. */
export function basisToByte(basis: Basis): number {
  return WORDS.reduce((byte, word, bit) => (basis[word] ? byte | (1 << bit) : byte), 0);
}

/** The basis in a byte; unknown bits are ignored. */
export function basisFromByte(byte: number): Basis {
  return {
    simulated: (byte & 1) !== 0,
    degraded: (byte & 2) !== 0,
    physical: (byte & 4) !== 0,
  };
}

/** The basis as words, in bit order; empty when nothing is set. */
export function basisToWords(basis: Basis): string[] {
  return WORDS.filter((word) => basis[word]);
}

/** The basis in a header value; unknown words are ignored and a missing header earns nothing. */
export function basisFromHeader(header: string | undefined): Basis {
  return basisFromWords((header ?? '').split(',').map((word) => word.trim().toLowerCase()));
}

/** The basis in words; unknown ones are ignored. */
export function basisFromWords(list: readonly string[]): Basis {
  const words = new Set(list);
  return {
    simulated: words.has('simulated'),
    degraded: words.has('degraded'),
    physical: words.has('physical'),
  };
}
