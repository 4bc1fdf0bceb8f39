import { SCATTERED_PIXELS } from './scattered.js';

/** Pixels of a fingerprint. Two of 1024 differ from chance (z = √1024 = 32 at most) enough for a tenth of it to show. */
export const FINGERPRINT_PIXELS = 1024;
/** 32-bit words of each of a fingerprint's two bitmaps. */
export const FINGERPRINT_WORDS = FINGERPRINT_PIXELS / 32;

/** Weight of a new picture in the running mean of the texture. */
const TEXTURE_WEIGHT = 1 / 16;
/** A residual of so many times the median one is an edge that moved: noise passes 4 times its median in 0.7 % of the pixels. */
const EDGE_FACTOR = 4;
/** … and of at least so many levels. */
const EDGE_LEVELS = 8;
/** The largest size of a residual, levels: a difference of two values from -510 to 510. */
const MAX_SIZE = 1_020;

/**
 * The noise of one picture in 2 × 1024 bits: for each of 1024 scattered pixels whether it changed, and to which side.
 *
 * The residual is the spatial high-pass 2Y - left - right, minus the same in the picture before, minus what is explained by the
 * scene's own texture growing stronger or weaker (flicker). Edges that move are left out: a lamp that rotates comes round again,
 * its noise does not.
 */
export class Fingerprinter {
  readonly #bend = new Int16Array(FINGERPRINT_PIXELS);
  readonly #residuals = new Float32Array(FINGERPRINT_PIXELS);
  readonly #texture = new Float32Array(FINGERPRINT_PIXELS);
  readonly #sizes = new Uint16Array(MAX_SIZE + 1);
  #pictures = 0;

  /**
   * @param changed - gets a bit for each pixel that changed
   * @param rose - gets a bit for each of them that grew
   * @returns pixels that changed
   */
  take(luma: Uint8Array, changed: Uint32Array, rose: Uint32Array): number {
    changed.fill(0);
    rose.fill(0);
    const gain = this.#look(luma);
    return this.#pictures === 1 ? 0 : this.#write(gain, changed, rose);
  }

  /** Residuals against the picture before; returns how much of the texture is in them. */
  #look(luma: Uint8Array): number {
    const texture = this.#texture;
    const pixels = SCATTERED_PIXELS;
    let product = 0;
    let power = 0;
    this.#pictures += 1;
    const weight = Math.max(TEXTURE_WEIGHT, 1 / this.#pictures);
    for (let index = 0; index < FINGERPRINT_PIXELS; index++) {
      const pixel = pixels[index] ?? 0;
      const bend = 2 * (luma[pixel] ?? 0) - (luma[pixel - 1] ?? 0) - (luma[pixel + 1] ?? 0);
      const usual = texture[index] ?? 0;
      const residual = bend - (this.#bend[index] ?? 0);
      this.#residuals[index] = residual;
      this.#bend[index] = bend;
      product += residual * usual;
      power += usual * usual;
      texture[index] = usual + weight * (bend - usual);
    }
    return power > 0 ? product / power : 0;
  }

  #write(gain: number, changed: Uint32Array, rose: Uint32Array): number {
    const residuals = this.#residuals;
    const sizes = this.#sizes;
    sizes.fill(0);
    let count = 0;
    for (let index = 0; index < FINGERPRINT_PIXELS; index++) {
      const residual = (residuals[index] ?? 0) - gain * (this.#texture[index] ?? 0);
      const size = Math.abs(residual);
      residuals[index] = size < 1 ? 0 : residual;
      if (size < 1) continue;
      const at = Math.min(MAX_SIZE, Math.floor(size));
      sizes[at] = (sizes[at] ?? 0) + 1;
      count += 1;
    }
    const edge = Math.max(EDGE_LEVELS, EDGE_FACTOR * medianOf(sizes, count));
    let written = 0;
    for (let index = 0; index < FINGERPRINT_PIXELS; index++) {
      const residual = residuals[index] ?? 0;
      if (residual === 0 || residual > edge || residual < -edge) continue;
      const word = index >>> 5;
      const bit = 1 << (index & 31);
      changed[word] = (changed[word] ?? 0) | bit;
      if (residual > 0) rose[word] = (rose[word] ?? 0) | bit;
      written += 1;
    }
    return written;
  }
}

/** The size that half of all residuals reach. */
function medianOf(sizes: Uint16Array, count: number): number {
  let below = 0;
  for (let size = 0; size <= MAX_SIZE; size++) {
    below += sizes[size] ?? 0;
    if (2 * below >= count) return size;
  }
  return MAX_SIZE;
}

/** Bits that are set in a 32-bit word. */
export function popcount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const nibbles = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((nibbles + (nibbles >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
