import { BitWriter } from './jpeg-bits.js';
import { quantizationFactors, quantize, transform } from './jpeg-block.js';
import {
  CHROMINANCE_AC,
  CHROMINANCE_DC,
  CHROMINANCE_STEPS,
  type HuffmanSpecification,
  LUMINANCE_AC,
  LUMINANCE_DC,
  LUMINANCE_STEPS,
  ZIGZAG,
  huffmanCodes,
  scaledSteps,
} from './jpeg-tables.js';

/** A picture's size, and how it is written. */
export interface JpegOptions {
  /** 1..65,535. */
  readonly widthPx: number;
  readonly heightPx: number;
  /** 1..100, as in the Independent JPEG Group's library. */
  readonly quality: number;
  /** Stands in the file as a comment: at most 1,000 Latin letters. */
  readonly comment: string;
}

/** Encodes one picture: red, green and blue bytes, row by row. It returns a file of its own. */
export type JpegEncoder = (pixels: Uint8Array) => Uint8Array;

/** 16 × 16 pixels are written together: four blocks of luminance, and one each of the two colour differences. */
const UNIT_PX = 16;
/** 384 coefficients of at most 27 bits, twice as long if every byte needs stuffing. */
const LONGEST_UNIT_BYTES = 2 * Math.ceil((384 * 27) / 8);

/**
 * A baseline JPEG encoder for pictures of one size. ITU-T T.81 (1992), JFIF 1.01; colour differences at half resolution.
 *
 * Everything that stays the same from picture to picture is computed here, once. That is why it is not jpeg-js, which
 * builds its tables (131,000 small arrays) anew for every picture: 45 ms of CPU for 480 × 270 where this takes 3.
 *
 * @throws RangeError if an option is out of range. The encoder throws RangeError for a picture of another size
 */
export function createJpegEncoder(options: JpegOptions): JpegEncoder {
  const { widthPx, heightPx, quality, comment } = options;
  inRange('width', widthPx, 1, 65_535);
  inRange('height', heightPx, 1, 65_535);
  inRange('quality', quality, 1, 100);
  inRange('comment', comment.length, 0, 1000);
  const luminanceSteps = scaledSteps(LUMINANCE_STEPS, quality);
  const chrominanceSteps = scaledSteps(CHROMINANCE_STEPS, quality);
  const luminanceFactors = quantizationFactors(luminanceSteps);
  const chrominanceFactors = quantizationFactors(chrominanceSteps);
  const luminanceDc = huffmanCodes(LUMINANCE_DC);
  const luminanceAc = huffmanCodes(LUMINANCE_AC);
  const chrominanceDc = huffmanCodes(CHROMINANCE_DC);
  const chrominanceAc = huffmanCodes(CHROMINANCE_AC);
  const header = fileHeader(options, luminanceSteps, chrominanceSteps);
  const units = Math.ceil(widthPx / UNIT_PX) * Math.ceil(heightPx / UNIT_PX);
  const writer = new BitWriter(header.length + units * LONGEST_UNIT_BYTES + 4);
  const unit = createUnit();
  const coefficients = new Int16Array(64);

  return (pixels) => {
    if (pixels.length !== widthPx * heightPx * 3) throw new RangeError('the picture has another size');
    writer.begin(header);
    let luminanceMean = 0;
    let blueMean = 0;
    let redMean = 0;
    for (let y = 0; y < heightPx; y += UNIT_PX) {
      for (let x = 0; x < widthPx; x += UNIT_PX) {
        fillUnit(unit, pixels, widthPx, heightPx, x, y);
        for (const block of unit.luminance) {
          transform(block);
          quantize(block, luminanceFactors, coefficients);
          writer.block(coefficients, luminanceMean, luminanceDc, luminanceAc);
          luminanceMean = coefficients[0] ?? 0;
        }
        transform(unit.blue);
        quantize(unit.blue, chrominanceFactors, coefficients);
        writer.block(coefficients, blueMean, chrominanceDc, chrominanceAc);
        blueMean = coefficients[0] ?? 0;
        transform(unit.red);
        quantize(unit.red, chrominanceFactors, coefficients);
        writer.block(coefficients, redMean, chrominanceDc, chrominanceAc);
        redMean = coefficients[0] ?? 0;
      }
    }
    return writer.finish();
  };
}

/** One unit's blocks before the transform; luminance in the order left above, right above, left below, right below. */
interface Unit {
  readonly luminance: readonly [Float64Array, Float64Array, Float64Array, Float64Array];
  readonly blue: Float64Array;
  readonly red: Float64Array;
}

function createUnit(): Unit {
  const block = () => new Float64Array(64);
  return { luminance: [block(), block(), block(), block()], blue: block(), red: block() };
}

/**
 * Takes 16 × 16 pixels into blocks, in JFIF's colours, around 0. Beyond the picture's edge its last pixels repeat.
 * Colour differences are the mean of 2 × 2 pixels.
 */
function fillUnit(
  unit: Unit,
  pixels: Uint8Array,
  widthPx: number,
  heightPx: number,
  x0: number,
  y0: number,
): void {
  for (let y = 0; y < UNIT_PX; y += 2) {
    const upper = Math.min(heightPx - 1, y0 + y) * widthPx;
    const lower = Math.min(heightPx - 1, y0 + y + 1) * widthPx;
    for (let x = 0; x < UNIT_PX; x += 2) {
      const left = Math.min(widthPx - 1, x0 + x);
      const right = Math.min(widthPx - 1, x0 + x + 1);
      const block =
        y < 8
          ? x < 8
            ? unit.luminance[0]
            : unit.luminance[1]
          : x < 8
            ? unit.luminance[2]
            : unit.luminance[3];
      const at = (y & 7) * 8 + (x & 7);
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let corner = 0; corner < 4; corner++) {
        const from = ((corner < 2 ? upper : lower) + ((corner & 1) === 0 ? left : right)) * 3;
        const r = pixels[from] ?? 0;
        const g = pixels[from + 1] ?? 0;
        const b = pixels[from + 2] ?? 0;
        block[at + (corner & 1) + (corner >> 1) * 8] = 0.299 * r + 0.587 * g + 0.114 * b - 128;
        red += r;
        green += g;
        blue += b;
      }
      const half = (y >> 1) * 8 + (x >> 1);
      unit.blue[half] = (-0.168736 * red - 0.331264 * green + 0.5 * blue) / 4;
      unit.red[half] = (0.5 * red - 0.418688 * green - 0.081312 * blue) / 4;
    }
  }
}

/** Everything before the first block. T.81, annex B. */
function fileHeader(
  options: JpegOptions,
  luminanceSteps: Uint8Array,
  chrominanceSteps: Uint8Array,
): Uint8Array {
  const { widthPx, heightPx, comment } = options;
  const inFileOrder = (steps: Uint8Array) => [...ZIGZAG].map((at) => steps[at] ?? 1);
  const huffman = (id: number, { counts, symbols }: HuffmanSpecification) => [id, ...counts, ...symbols];
  const size = [heightPx >> 8, heightPx & 255, widthPx >> 8, widthPx & 255];
  return Uint8Array.of(
    0xff,
    0xd8,
    ...segment(0xe0, [...Buffer.from('JFIF\0', 'latin1'), 1, 1, 0, 0, 1, 0, 1, 0, 0]),
    ...segment(0xfe, [...Buffer.from(comment, 'latin1')]),
    ...segment(0xdb, [0, ...inFileOrder(luminanceSteps), 1, ...inFileOrder(chrominanceSteps)]),
    ...segment(0xc0, [8, ...size, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]),
    ...segment(0xc4, [
      ...huffman(0x00, LUMINANCE_DC),
      ...huffman(0x10, LUMINANCE_AC),
      ...huffman(0x01, CHROMINANCE_DC),
      ...huffman(0x11, CHROMINANCE_AC),
    ]),
    ...segment(0xda, [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]),
  );
}

function segment(marker: number, content: readonly number[]): number[] {
  const lengthBytes = content.length + 2;
  return [0xff, marker, lengthBytes >> 8, lengthBytes & 255, ...content];
}

function inRange(what: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`the ${what} must be a whole number from ${least} to ${most}`);
  }
}
