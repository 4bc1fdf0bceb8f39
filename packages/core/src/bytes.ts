/**
 * Overwrites secrets with zeros.
 *
 * What this does: these bytes, in these buffers, are zero from now on; a later heap dump, core file or out-of-bounds read
 * does not find them there.
 * What it cannot do in JavaScript: reach copies. The engine may have moved a small array while collecting garbage,
 * node:crypto copies every key and message into memory of its own (freed when the object is finished or collected, and
 * cleansed by OpenSSL, but at a time of its choosing), and strings and bigints cannot be overwritten at all. So: keep
 * secrets in Uint8Arrays, for a short time, and never rely on wiping as the only defence.
 *
 * @param buffers - any number of arrays of any length; undefined is skipped, so that an absent part needs no test
 */
export function wipe(...buffers: readonly (Uint8Array | undefined)[]): void {
  for (const buffer of buffers) buffer?.fill(0);
}

/**
 * The bytes of a label or context.
 *
 * Printable ASCII only: one character is one byte, so no two texts share an encoding and none hides a control character.
 * @param text - characters 0x20..0x7e, any length
 * @returns a new array of `text.length` bytes
 * @throws RangeError if any character is outside that range
 */
export function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e) throw new RangeError('only printable ASCII can be encoded');
    bytes[index] = code;
  }
  return bytes;
}

/**
 * The same memory without Buffer's methods, whose `slice` shares where Uint8Array's copies.
 *
 * Node does not take digests and cipher output from its shared Buffer pool (a test shows it), so nothing else lives in
 * the ArrayBuffer beneath.
 */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/**
 * Refuses a length that is no whole number in range.
 * @param what - named in the error text
 * @throws RangeError outside `minimum..maximum`
 */
export function assertLength(what: string, lengthBytes: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(lengthBytes) || lengthBytes < minimum || lengthBytes > maximum) {
    throw new RangeError(`${what} must be a whole number from ${minimum} to ${maximum}`);
  }
}

/**
 * Refuses anything but bytes. Typed callers cannot get here; plain JavaScript can, and a string or an array of numbers
 * would otherwise be hashed as something else than its author meant.
 * @throws TypeError
 */
export function assertBytes(what: string, value: unknown): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${what} must be a Uint8Array`);
}
