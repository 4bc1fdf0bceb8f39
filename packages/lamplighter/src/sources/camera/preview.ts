/** How many cells of the grid that health sees make one of a preview, each way. */
const CELLS = 2;

/** A small gray picture of what the camera sees. Never the bytes that were hashed, and nothing can be derived from it. */
export interface Preview {
  readonly width: number;
  readonly height: number;
  /** One byte a cell, row by row, 0 black to 255 white. */
  readonly luma: Uint8Array;
}

/**
 * Averages a picture, 2 × 2 cells to one.
 * @param picture - width and height even, one byte a cell
 * @throws RangeError when they are not, or the bytes do not fit
 */
export function previewOf(picture: Preview): Preview {
  const width = picture.width / CELLS;
  const height = picture.height / CELLS;
  if (
    !Number.isInteger(width) ||
    !Number.isInteger(height) ||
    picture.luma.length !== picture.width * picture.height
  ) {
    throw new RangeError('a preview is made of an even picture');
  }
  const luma = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * CELLS * picture.width + column * CELLS;
      const above = (picture.luma[at] ?? 0) + (picture.luma[at + 1] ?? 0);
      const below = (picture.luma[at + picture.width] ?? 0) + (picture.luma[at + picture.width + 1] ?? 0);
      luma[row * width + column] = Math.round((above + below) / CELLS ** 2);
    }
  }
  return { width, height, luma };
}
