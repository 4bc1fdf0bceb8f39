import { ZIGZAG } from './jpeg-tables.js';

const SQRT_HALF = Math.SQRT1_2;
const C6 = 0.382683433;
const C2_MINUS_C6 = 0.5411961;
const C2_PLUS_C6 = 1.306562965;
/** What the transform below leaves multiplied into each row and column. */
const SCALES = [1, 1.387039845, 1.306562965, 1.175875602, 1, 0.785694958, 0.5411961, 0.275899379];

/**
 * Prepares the factors by which {@link quantize} turns transformed values into steps.
 *
 * @param steps - 64 quantization steps, row by row
 */
export function quantizationFactors(steps: Uint8Array): Float64Array {
  return Float64Array.from(steps, (step, index) => {
    const scale = (SCALES[index >> 3] ?? 1) * (SCALES[index & 7] ?? 1);
    return 1 / (step * scale * 8);
  });
}

/**
 * The forward cosine transform of one 8 × 8 block, in place, without its final scaling.
 *
 * Source: Arai, Agui, Nakajima, "A fast DCT-SQ scheme for images" (1988), in the form of the Independent JPEG Group's
 * jfdctflt.c; the scaling is left to {@link quantizationFactors}, where it costs nothing.
 */
export function transform(block: Float64Array): void {
  for (let row = 0; row < 64; row += 8) transformLine(block, row, 1);
  for (let column = 0; column < 8; column++) transformLine(block, column, 8);
}

/** Rounds a transformed block to steps, in the order of the file. */
export function quantize(block: Float64Array, factors: Float64Array, coefficients: Int16Array): void {
  for (let position = 0; position < 64; position++) {
    const at = ZIGZAG[position] ?? 0;
    // Adding before cutting to an integer rounds; the offset keeps what is cut positive.
    coefficients[position] = (((block[at] ?? 0) * (factors[at] ?? 0) + 16384.5) | 0) - 16384;
  }
}

function transformLine(block: Float64Array, from: number, stride: number): void {
  const v0 = block[from] ?? 0;
  const v1 = block[from + stride] ?? 0;
  const v2 = block[from + 2 * stride] ?? 0;
  const v3 = block[from + 3 * stride] ?? 0;
  const v4 = block[from + 4 * stride] ?? 0;
  const v5 = block[from + 5 * stride] ?? 0;
  const v6 = block[from + 6 * stride] ?? 0;
  const v7 = block[from + 7 * stride] ?? 0;

  const sum03 = v0 + v7 + (v3 + v4);
  const difference03 = v0 + v7 - (v3 + v4);
  const sum12 = v1 + v6 + (v2 + v5);
  const difference12 = v1 + v6 - (v2 + v5);
  const even = (difference12 + difference03) * SQRT_HALF;
  block[from] = sum03 + sum12;
  block[from + 4 * stride] = sum03 - sum12;
  block[from + 2 * stride] = difference03 + even;
  block[from + 6 * stride] = difference03 - even;

  const odd10 = v3 - v4 + (v2 - v5);
  const odd11 = v2 - v5 + (v1 - v6);
  const odd12 = v1 - v6 + (v0 - v7);
  const z5 = (odd10 - odd12) * C6;
  const z2 = C2_MINUS_C6 * odd10 + z5;
  const z4 = C2_PLUS_C6 * odd12 + z5;
  const z3 = odd11 * SQRT_HALF;
  const z11 = v0 - v7 + z3;
  const z13 = v0 - v7 - z3;
  block[from + 5 * stride] = z13 + z2;
  block[from + 3 * stride] = z13 - z2;
  block[from + stride] = z11 + z4;
  block[from + 7 * stride] = z11 - z4;
}
