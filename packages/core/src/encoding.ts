import { asciiBytes, assertBytes } from './bytes.js';
import { compareParsed, parseLabel, type ParsedLabel } from './labels.js';

/** One labelled input of an encoding. Source: DESIGN section 5. */
export interface Part {
  /** `KIND` or `KIND/NAME`, see {@link isPartLabel}. */
  readonly label: string;
  /** What was heard; undefined if it did not answer. Absent and empty are different encodings. */
  readonly bytes: Uint8Array | undefined;
}

/** The `version` byte of E. */
const VERSION = 1;
const MAX_CONTEXT_BYTES = 255;
const MAX_PARTS = 65_535;

/**
 * E: the injective encoding of a context and a list of labelled parts.
 *
 *     E = u8 length ‖ context ‖ u8 version ‖ u16 count ‖ for each part: u8 length ‖ label ‖ u8 present ‖ u64 length ‖ bytes
 *
 * Source: DESIGN section 5. Integers are big-endian. Every variable field stands behind its own length, so E can be read
 * back in exactly one way: two different calls never give the same bytes. Plain concatenation would: ("ab", "c") and
 * ("a", "bc") agree there. An absent part is encoded as present = 0, length 0; leaving it out would let one peer's
 * silence look like another list.
 *
 * @param context - what the result is for; 1..255 characters of printable ASCII
 * @param parts - 0..65,535 parts, labels strictly increasing by {@link compareLabels}, hence unique
 * @returns a new array; it holds a copy of every secret in `parts`, so wipe it after use
 * @throws RangeError if the context, a label, the order or the count is out of range; nothing was built
 * @throws TypeError if a part's bytes are neither a Uint8Array nor undefined
 */
export function encode(context: string, parts: readonly Part[]): Uint8Array {
  const encoded = new Uint8Array(encodedLengthBytes(context, parts));
  writeEncoding(encoded, context, parts);
  return encoded;
}

/**
 * Writes E where the caller wants it, who has called {@link encodedLengthBytes} with the same arguments: what that would
 * refuse is not looked at again.
 * @param encoded - exactly as many bytes as it said
 */
export function writeEncoding(encoded: Uint8Array, context: string, parts: readonly Part[]): void {
  const view = new DataView(encoded.buffer, encoded.byteOffset);
  let offset = 0;

  const putU8 = (value: number): void => {
    view.setUint8(offset, value);
    offset += 1;
  };
  const putBytes = (bytes: Uint8Array): void => {
    encoded.set(bytes, offset);
    offset += bytes.length;
  };
  // Context and labels are known to be ASCII: one character is one byte.
  const putText = (text: string): void => {
    putU8(text.length);
    for (let index = 0; index < text.length; index++) putU8(text.charCodeAt(index));
  };

  putText(context);
  putU8(VERSION);
  view.setUint16(offset, parts.length);
  offset += 2;
  for (const { label, bytes } of parts) {
    putText(label);
    putU8(bytes === undefined ? 0 : 1);
    view.setBigUint64(offset, BigInt(bytes?.length ?? 0));
    offset += 8;
    if (bytes !== undefined) putBytes(bytes);
  }
}

/**
 * Checks everything {@link encode} would refuse, and says how long the result will be.
 *
 * Apart from `encode`, so that a caller about to change its state can be refused first.
 * @throws as {@link encode}
 */
export function encodedLengthBytes(context: string, parts: readonly Part[]): number {
  if (context.length < 1 || context.length > MAX_CONTEXT_BYTES) {
    throw new RangeError(`a context has 1 to ${MAX_CONTEXT_BYTES} characters`);
  }
  asciiBytes(context);
  if (parts.length > MAX_PARTS) throw new RangeError(`an encoding has at most ${MAX_PARTS} parts`);

  let lengthBytes = 1 + context.length + 1 + 2;
  let previous: ParsedLabel | undefined;
  for (const { label, bytes } of parts) {
    const parsed = parseLabel(label);
    if (parsed === undefined) throw new RangeError('a part has an unknown or malformed label');
    if (previous !== undefined && compareParsed(previous, parsed) >= 0) {
      throw new RangeError(`part ${label} repeats a label or stands out of order`);
    }
    if (bytes !== undefined) assertBytes(`part ${label}`, bytes);
    previous = parsed;
    lengthBytes += 1 + label.length + 1 + 8 + (bytes?.length ?? 0);
  }
  return lengthBytes;
}
