import { HEALTH_HEIGHT, HEALTH_PIXELS, HEALTH_WIDTH } from './picture.js';

/** Pixels across and down a cell: enough for a statement about noise, few enough to see which part of a picture is dead. */
export const CELL_PIXELS = 10;
/** Cells across a picture. */
export const CELL_COLUMNS = HEALTH_WIDTH / CELL_PIXELS;
/** Cells of a picture. */
export const CELLS = CELL_COLUMNS * (HEALTH_HEIGHT / CELL_PIXELS);
/** Pixels in a cell. */
export const PIXELS_IN_CELL = CELL_PIXELS * CELL_PIXELS;

/** The cell of each pixel. */
export const CELL_OF_PIXEL: Uint8Array = Uint8Array.from({ length: HEALTH_PIXELS }, (_, pixel) => {
  const row = Math.floor(pixel / HEALTH_WIDTH / CELL_PIXELS);
  return row * CELL_COLUMNS + Math.floor((pixel % HEALTH_WIDTH) / CELL_PIXELS);
});

/** Share of the cells for which something is true, 0..1; of no cells at all 0. */
export function shareOf(cells: { readonly length: number }, isTrue: (cell: number) => boolean): number {
  let count = 0;
  for (let cell = 0; cell < cells.length; cell++) if (isTrue(cell)) count += 1;
  return cells.length === 0 ? 0 : count / cells.length;
}
