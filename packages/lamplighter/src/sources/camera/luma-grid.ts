/** A packed picture, 3 bytes a pixel: red, green, blue. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/**
 * Single pixels of a picture on a grid, as luma (ITU-R BT.601 weights, in 256ths): the pixel in the middle of each cell.
 * Nothing is averaged: an average has less noise than any pixel, and the noise is what health looks for.
 *
 * @param image - width and height ≥ 1; where it is smaller than the grid its pixels repeat
 * @throws RangeError when the data does not fit the dimensions
 */
export function lumaGrid(image: RgbImage, columns: number, rows: number): Uint8Array {
  const { width, height, data } = image;
  if (!(width >= 1 && height >= 1) || data.length !== width * height * 3) {
    throw new RangeError('a picture has 3 bytes a pixel');
  }
  const luma = new Uint8Array(columns * rows);
  for (let row = 0; row < rows; row++) {
    const y = Math.floor(((row + 0.5) * height) / rows);
    for (let column = 0; column < columns; column++) {
      const x = Math.floor(((column + 0.5) * width) / columns);
      const at = (y * width + x) * 3;
      const weighed = 77 * (data[at] ?? 0) + 150 * (data[at + 1] ?? 0) + 29 * (data[at + 2] ?? 0);
      luma[row * columns + column] = Math.round(weighed / 256);
    }
  }
  return luma;
}
