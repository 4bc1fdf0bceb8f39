/** What a draw can be shown as. */
export const DRAW_KINDS = ['hex', 'base64', 'uuid', 'integer', 'dice', 'coin'] as const;
export type DrawKind = (typeof DRAW_KINDS)[number];

/** What a person chose. */
export interface DrawChoice {
  readonly kind: DrawKind;
  /** Of an integer, both ends included. */
  readonly from: number;
  readonly to: number;
  /** How many dice, 1..4. */
  readonly dice: number;
}

export const DRAW_BYTES = 32;
const WORD_BYTES = 8;
const WORDS = DRAW_BYTES / WORD_BYTES;
const WORD_END = 2n ** 64n;
/** A widest range whose ends and width are exact. */
export const MAX_WIDTH = 2 ** 53 - 1;

/** What is wrong with a choice, in words; undefined when it is good. */
export function faultOf({ kind, from, to, dice: count }: DrawChoice): string | undefined {
  if (kind === 'dice')
    return count >= 1 && count <= WORDS && Number.isInteger(count) ? undefined : 'One to four dice.';
  if (kind !== 'integer') return undefined;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return 'Two whole numbers are needed.';
  if (from >= to) return 'The first number must be less than the second.';
  if (to - from >= MAX_WIDTH) return 'The range is too wide.';
  return undefined;
}

/**
 * Shows 32 bytes as what was chosen.
 *
 * Numbers by rejection sampling: the value is four words of 64 bits, big-endian; a word that would favour some numbers is
 * passed over, so that all are equally likely. Dice take a word each.
 * @param value - 32 bytes
 * @returns undefined when every word had to be passed over (below 2^-44): draw again
 * @throws RangeError if the choice is at fault or the value has another length
 */
export function shown(value: Uint8Array, choice: DrawChoice): string | undefined {
  if (value.length !== DRAW_BYTES) throw new RangeError(`a value has ${DRAW_BYTES} bytes`);
  if (faultOf(choice) !== undefined) throw new RangeError('this cannot be drawn');
  switch (choice.kind) {
    case 'hex':
      return hex(value);
    case 'base64':
      return btoa(String.fromCharCode(...value));
    case 'uuid':
      return uuid(value);
    case 'integer': {
      const number = firstBelow(value, BigInt(choice.to - choice.from + 1));
      return number === undefined ? undefined : String(choice.from + Number(number));
    }
    case 'dice':
      return dice(value, choice.dice);
    case 'coin':
      return ((value[0] ?? 0) & 0x80) === 0 ? 'heads' : 'tails';
  }
}

export function hex(value: Uint8Array): string {
  return Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @returns undefined unless it is 32 bytes in hex */
export function fromHex(text: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (typeof text !== 'string' || !/^[0-9a-f]{64}$/i.test(text)) return undefined;
  return Uint8Array.from({ length: DRAW_BYTES }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** RFC 9562, version 4: the first 16 bytes with version and variant put in. */
function uuid(value: Uint8Array): string {
  const id = value.slice(0, 16);
  id[6] = ((id[6] ?? 0) & 0x0f) | 0x40;
  id[8] = ((id[8] ?? 0) & 0x3f) | 0x80;
  return hex(id).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function dice(value: Uint8Array, count: number): string | undefined {
  const thrown: string[] = [];
  for (const word of words(value).slice(0, count)) {
    const number = below(word, 6n);
    if (number === undefined) return undefined;
    thrown.push(String(number + 1n));
  }
  return thrown.join(' ');
}

function firstBelow(value: Uint8Array, width: bigint): bigint | undefined {
  for (const word of words(value)) {
    const number = below(word, width);
    if (number !== undefined) return number;
  }
  return undefined;
}

/** 0..width - 1, each equally likely; undefined when the word must be passed over. */
function below(word: bigint, width: bigint): bigint | undefined {
  return word < WORD_END - (WORD_END % width) ? word % width : undefined;
}

function words(value: Uint8Array): bigint[] {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return Array.from({ length: WORDS }, (_, i) => view.getBigUint64(i * WORD_BYTES));
}
