import type { PictureView } from './picture-watch.js';

export type Rgb = readonly [red: number, green: number, blue: number];

/** A picture whose bytes are places in a palette of 256 colours. */
export interface IndexedPicture {
  readonly width: number;
  readonly height: number;
  readonly indices: Uint8Array;
}

/** Noise of so many levels and more looks the same. */
export const BRIGHTEST_LEVELS = 16;
/** Below this many levels the scale is about linear, above it logarithmic: rounding and codecs leave 0.1 to 0.5, sensors have 1 to 10. */
const KNEE_LEVELS = 0.25;
/** Places of the ramp; the last place of the palette is for pixels that do not count. */
const RAMP = 255;
const NOT_COUNTED = 255;
const NOT_COUNTED_COLOUR: Rgb = [84, 103, 122];
/** OKLCH at the dark and at the light end. Hue in degrees: violet, through red and orange, to a pale yellow. */
const DARK = { lightness: 0.12, hue: 295 };
const LIGHT = { lightness: 0.97, hue: 460 };
/** At the ends there is no room for more. */
const MOST_CHROMA = 0.19;

/**
 * How noisy each pixel that health looks at is now, as a picture: the map of the health tests, with the places of the palette.
 *
 * The outermost columns have no two neighbours and are measured by nobody: they are shown as the ones beside them.
 */
export function noisePicture({
  width,
  height,
  noise,
  counted,
}: Pick<PictureView, 'width' | 'height' | 'noise' | 'counted'>): IndexedPicture {
  const indices = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const measured = row * width + Math.min(width - 2, Math.max(1, column));
      const at = row * width + column;
      const isCounted = counted === undefined || counted[at] === 1;
      indices[at] = isCounted ? noiseIndex(noise[measured] ?? 0) : NOT_COUNTED;
    }
  }
  return { width, height, indices };
}

/** The place of so much noise in the palette. @param levels - ≥ 0 */
export function noiseIndex(levels: number): number {
  const share = Math.log1p(levels / KNEE_LEVELS) / Math.log1p(BRIGHTEST_LEVELS / KNEE_LEVELS);
  return Math.round(Math.min(1, Math.max(0, share)) * (RAMP - 1));
}

/**
 * The palette of the map: from nearly black to nearly white, each step looking as large as the next, also to those who do not see
 * red or green and in print. Equal steps of OKLab lightness.
 */
export function noisePalette(): Rgb[] {
  const ramp = Array.from({ length: RAMP }, (_, index) => colourAt(index / (RAMP - 1)));
  return [...ramp, NOT_COUNTED_COLOUR];
}

function colourAt(share: number): Rgb {
  const lightness = DARK.lightness + share * (LIGHT.lightness - DARK.lightness);
  const hue = ((DARK.hue + share * (LIGHT.hue - DARK.hue)) * Math.PI) / 180;
  let chroma = MOST_CHROMA * Math.sin(Math.PI * (0.08 + 0.88 * share));
  // What a screen cannot show is made paler, never another hue or lightness.
  for (; chroma > 0.001; chroma *= 0.96) {
    const linear = linearRgb(lightness, chroma, hue);
    if (linear.every((part) => part >= 0 && part <= 1)) break;
  }
  const [red = 0, green = 0, blue = 0] = linearRgb(lightness, chroma, hue).map(encoded);
  return [red, green, blue];
}

/** Source: B. Ottosson, "A perceptual color space for image processing" (2020): OKLab to linear sRGB. */
function linearRgb(lightness: number, chroma: number, hue: number): number[] {
  const a = chroma * Math.cos(hue);
  const b = chroma * Math.sin(hue);
  const long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short,
  ];
}

/** IEC 61966-2-1. */
function encoded(linear: number): number {
  const part = Math.min(1, Math.max(0, linear));
  return Math.round(255 * (part <= 0.0031308 ? 12.92 * part : 1.055 * part ** (1 / 2.4) - 0.055));
}
