import type { BufferedStream } from './buffered-stream.js';

const WORD = 2 ** 32;
const WIDE = 2 ** 48;
/** Up to here word · range is exact in a double. */
const EXACT_RANGE = 2 ** 21;

/**
 * A uniform whole number, 0 … range - 1, without bias: what would make some numbers likelier is drawn anew.
 *
 * Source: Lemire, "Fast Random Integer Generation in an Interval" (2019), arXiv 1805.10941: the high half of word · range,
 * rejected if the low half is among the 2^32 mod range smallest. For large ranges modulo with rejection of 48 bits, as in
 * Node.
 * @param range - 1..2^48 - 1
 */
export function below(stream: Pick<BufferedStream, 'uint32' | 'uint48'>, range: number): number {
  if (range > EXACT_RANGE) return belowWide(stream, range);
  let word = stream.uint32();
  // The low half of word · range: as uint32 arithmetic, since `%` on doubles costs more than all the rest.
  let low = Math.imul(word, range) >>> 0;
  if (low < range) {
    const least = WORD % range;
    while (low < least) {
      word = stream.uint32();
      low = Math.imul(word, range) >>> 0;
    }
  }
  return Math.floor((word * range) / WORD);
}

function belowWide(stream: Pick<BufferedStream, 'uint48'>, range: number): number {
  const limit = WIDE - (WIDE % range);
  for (;;) {
    const word = stream.uint48();
    if (word < limit) return word % range;
  }
}
