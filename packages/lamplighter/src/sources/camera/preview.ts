/** Cells across a preview. Small enough to compare in microseconds, large enough to see a lamp. */
export const PREVIEW_WIDTH = 64;
/** Cells down a preview. */
export const PREVIEW_HEIGHT = 48;
/** Length of a preview's luma, bytes. */
export const PREVIEW_BYTES = PREVIEW_WIDTH * PREVIEW_HEIGHT;

/** A small gray picture of what the camera sees. Never the bytes that were hashed, and nothing can be derived from it. */
export interface Preview {
  readonly width: number;
  readonly height: number;
  /** One byte a cell, row by row, 0 black to 255 white. */
  readonly luma: Uint8Array;
}

/** A preview from exactly {@link PREVIEW_BYTES} of luma, which it keeps. */
export function previewOf(luma: Uint8Array): Preview {
  if (luma.length !== PREVIEW_BYTES) throw new RangeError(`a preview has ${PREVIEW_BYTES} bytes`);
  return { width: PREVIEW_WIDTH, height: PREVIEW_HEIGHT, luma };
}

/** Cuts an endless row of previews, as ffmpeg writes them, into single ones. Memory: one preview. */
export class PreviewCutter {
  #luma = new Uint8Array(PREVIEW_BYTES);
  #filled = 0;

  /** @returns the last preview that this chunk completed, if any; those before it are older news */
  push(chunk: Uint8Array): Preview | undefined {
    let latest: Preview | undefined;
    for (let offset = 0; offset < chunk.length;) {
      const piece = chunk.subarray(offset, offset + PREVIEW_BYTES - this.#filled);
      this.#luma.set(piece, this.#filled);
      this.#filled += piece.length;
      offset += piece.length;
      if (this.#filled === PREVIEW_BYTES) {
        latest = previewOf(this.#luma);
        this.#luma = new Uint8Array(PREVIEW_BYTES);
        this.#filled = 0;
      }
    }
    return latest;
  }
}

/**
 * Averages a picture down to a preview's luma (ITU-R BT.601 weights, in 256ths).
 * @param image - packed RGB, 3 bytes a pixel; width and height ≥ 1
 * @throws RangeError when the data does not fit the dimensions
 */
export function shrinkToLuma(image: { width: number; height: number; data: Uint8Array }): Uint8Array {
  const { width, height, data } = image;
  if (!(width >= 1 && height >= 1) || data.length !== width * height * 3) {
    throw new RangeError('a picture has 3 bytes a pixel');
  }
  const luma = new Uint8Array(PREVIEW_BYTES);
  for (let row = 0; row < PREVIEW_HEIGHT; row++) {
    const [top, bottom] = span(row, PREVIEW_HEIGHT, height);
    for (let column = 0; column < PREVIEW_WIDTH; column++) {
      const [left, right] = span(column, PREVIEW_WIDTH, width);
      let sum = 0;
      for (let y = top; y < bottom; y++) {
        for (let at = (y * width + left) * 3; at < (y * width + right) * 3; at += 3) {
          sum += 77 * (data[at] ?? 0) + 150 * (data[at + 1] ?? 0) + 29 * (data[at + 2] ?? 0);
        }
      }
      luma[row * PREVIEW_WIDTH + column] = Math.round(sum / (256 * (bottom - top) * (right - left)));
    }
  }
  return luma;
}

/** The pixels that a cell covers: at least one, also where the picture is smaller than the preview. */
function span(cell: number, cells: number, pixels: number): [from: number, to: number] {
  const from = Math.floor((cell * pixels) / cells);
  return [from, Math.max(from + 1, Math.floor(((cell + 1) * pixels) / cells))];
}
