/** The order in which a block's 64 coefficients are written: position in the file → row × 8 + column. T.81, figure A.6. */
export const ZIGZAG = zigzag();

/** Quantization for quality 50, row by row. T.81, tables K.1 and K.2. */
export const LUMINANCE_STEPS = fromHexDigits(
  '100b0a101828333d 0c0c0e131a3a3c37 0e0d101828394538 0e11161d3357503e' +
    ' 12162538446d674d 182337405168715c 31404e5767797865 485c5f6270646763',
);
export const CHROMINANCE_STEPS = fromHexDigits(
  '1112182f63636363 12151a4263636363 181a386363636363 2f42636363636363' + ' 6363636363636363'.repeat(4),
);

/** A Huffman table as the file carries it: how many codes there are of 1..16 bits, then the symbols, shortest first. */
export interface HuffmanSpecification {
  readonly counts: Uint8Array;
  readonly symbols: Uint8Array;
}

/** T.81, tables K.3 to K.6. */
export const LUMINANCE_DC: HuffmanSpecification = {
  counts: fromHexDigits('00010501010101010100000000000000'),
  symbols: fromHexDigits('000102030405060708090a0b'),
};
export const CHROMINANCE_DC: HuffmanSpecification = {
  counts: fromHexDigits('00030101010101010101010000000000'),
  symbols: fromHexDigits('000102030405060708090a0b'),
};
export const LUMINANCE_AC: HuffmanSpecification = {
  counts: fromHexDigits('0002010303020403050504040000017d'),
  symbols: fromHexDigits(
    '01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a2526' +
      '2728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485' +
      '868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6' +
      'd7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa',
  ),
};
export const CHROMINANCE_AC: HuffmanSpecification = {
  counts: fromHexDigits('00020102040403040705040400010277'),
  symbols: fromHexDigits(
    '000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f1171819' +
      '1a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a8283' +
      '8485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4' +
      'd5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa',
  ),
};

/** A Huffman table for writing: code and length for each symbol; length 0 is a symbol that has none. */
export interface HuffmanCodes {
  readonly codes: Uint16Array;
  readonly lengthsBits: Uint8Array;
}

/** Gives each symbol its code. T.81, annex C.2. */
export function huffmanCodes(specification: HuffmanSpecification): HuffmanCodes {
  const codes = new Uint16Array(256);
  const lengthsBits = new Uint8Array(256);
  let code = 0;
  let next = 0;
  for (const [index, count] of specification.counts.entries()) {
    for (const symbol of specification.symbols.subarray(next, next + count)) {
      codes[symbol] = code++;
      lengthsBits[symbol] = index + 1;
    }
    next += count;
    code <<= 1;
  }
  return { codes, lengthsBits };
}

/**
 * Scales quantization steps as the Independent JPEG Group's library does, so that a quality means here what it means elsewhere.
 *
 * @param steps - 64 steps for quality 50
 * @param quality - 1..100
 */
export function scaledSteps(steps: Uint8Array, quality: number): Uint8Array {
  const percent = quality < 50 ? Math.floor(5000 / quality) : 200 - 2 * quality;
  return steps.map((step) => Math.min(255, Math.max(1, Math.floor((step * percent + 50) / 100))));
}

/** Diagonal by diagonal, every second one upwards. */
function zigzag(): Uint8Array {
  const order: number[] = [];
  for (let diagonal = 0; diagonal < 15; diagonal++) {
    const squares: number[] = [];
    for (let row = Math.max(0, diagonal - 7); row <= Math.min(7, diagonal); row++) {
      squares.push(row * 8 + diagonal - row);
    }
    order.push(...(diagonal % 2 === 0 ? squares.reverse() : squares));
  }
  return Uint8Array.from(order);
}

function fromHexDigits(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits.replaceAll(' ', ''), 'hex'));
}
