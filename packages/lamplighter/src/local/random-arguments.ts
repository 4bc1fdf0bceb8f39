import { types } from 'node:util';

/** Memory that a call asks to be filled. */
export interface Region {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly lengthBytes: number;
}

/** Most bytes of one request, as in Node. */
export const MAX_BYTES = 2 ** 31 - 1;
/** randomInt: max - min is at most this, as in Node. */
const MAX_RANGE = 2 ** 48 - 1;

/** The typed arrays that `getRandomValues` fills: Web Cryptography API, 10.1.1. */
const INTEGER_ARRAYS: ReadonlySet<string> = new Set([
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'BigInt64Array',
  'BigUint64Array',
]);

// What Node's functions take, and nothing else. None of these throws: whoever is refused is shown to Node's own function.

export const isSize = (size: unknown): size is number =>
  typeof size === 'number' && size >= 0 && size <= MAX_BYTES;

/** Whether there is a whole number from `min` up to, not including, `max`, and Node would look for one. */
export const isRange = (min: unknown, max: unknown): boolean =>
  typeof min === 'number' &&
  typeof max === 'number' &&
  Number.isSafeInteger(min) &&
  Number.isSafeInteger(max) &&
  max > min &&
  max - min <= MAX_RANGE;

export function isIntegerArray(array: unknown): array is NodeJS.TypedArray {
  return (
    types.isUint8Array(array) || (types.isTypedArray(array) && INTEGER_ARRAYS.has(array[Symbol.toStringTag]))
  );
}

export function areUuidOptions(options: unknown): boolean {
  if (options === undefined) return true;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return false;
  const cache: unknown = Reflect.get(options, 'disableEntropyCache');
  return cache === undefined || typeof cache === 'boolean';
}

/**
 * The memory that `buffer`, `offset` and `size` mean: counted in elements, and fractions cut off, as in Node.
 * @param size - undefined: as far as the buffer goes
 * @returns undefined if Node would refuse
 */
export function regionOf(buffer: unknown, offset: unknown, size: unknown): Region | undefined {
  const bytes = bytesOf(buffer);
  if (bytes === undefined) return undefined;
  const elementBytes = elementBytesOf(buffer);
  const start = scaled(offset, elementBytes);
  if (start === undefined || start > bytes.length) return undefined;
  const from = start >>> 0;
  if (size === undefined) return { bytes, offset: from, lengthBytes: bytes.length - from };
  const lengthBytes = scaled(size, elementBytes);
  if (lengthBytes === undefined || from + lengthBytes > bytes.length) return undefined;
  return { bytes, offset: from, lengthBytes: lengthBytes >>> 0 };
}

/** How many elements `buffer` has; NaN if it is no memory. Where it has no elements, bytes: Node 20 refuses those. */
export function elementsOf(buffer: unknown): number {
  if (types.isTypedArray(buffer)) return buffer.length;
  return bytesOf(buffer)?.length ?? Number.NaN;
}

/** The same memory, as bytes. */
export function bytesOf(buffer: unknown): Uint8Array | undefined {
  if (types.isUint8Array(buffer)) return buffer;
  if (ArrayBuffer.isView(buffer)) return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  return types.isAnyArrayBuffer(buffer) ? new Uint8Array(buffer) : undefined;
}

function elementBytesOf(buffer: unknown): number {
  return types.isTypedArray(buffer) ? buffer.BYTES_PER_ELEMENT : 1;
}

function scaled(elements: unknown, elementBytes: number): number | undefined {
  if (typeof elements !== 'number') return undefined;
  const bytes = elements * elementBytes;
  return bytes >= 0 && bytes <= MAX_BYTES ? bytes : undefined;
}
