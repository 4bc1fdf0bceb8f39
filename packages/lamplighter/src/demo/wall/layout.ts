import { GLASS_HEIGHT_CM } from './glass.js';
import { PALETTES, type Palette } from './palette.js';

/** A whole lamp in units of its own height: the waist of the metal base, the foot of the glass, the cap's edge. */
export const WAIST_HEIGHT = 0.14;
export const GLASS_FOOT_HEIGHT = 0.26;
export const CAP_HEIGHT = 0.9;

/** Where one lamp stands in the picture. */
export interface LampPlace {
  /** The lamp's axis. */
  readonly axisPx: number;
  /** The board's upper edge, on which the lamp stands. */
  readonly boardPx: number;
  /** From the board to the tip of the cap. */
  readonly heightPx: number;
  readonly pixelsPerCm: number;
  readonly palette: Palette;
}

/** A picture's size and everything that stands in it. */
export interface Layout {
  readonly widthPx: number;
  readonly heightPx: number;
  /** The boards' upper edges, from the top. */
  readonly boardsPx: readonly number[];
  readonly boardThicknessPx: number;
  readonly lamps: readonly LampPlace[];
}

/**
 * Puts lamps on boards: on one up to five lamps, else on two.
 *
 * @param widthPx - 160..1280
 * @param heightPx - 90..720
 * @param lampCount - 1..24
 * @throws RangeError if a number is out of range
 */
export function layOut(widthPx: number, heightPx: number, lampCount: number): Layout {
  inRange('width', widthPx, 160, 1280);
  inRange('height', heightPx, 90, 720);
  inRange('number of lamps', lampCount, 1, 24);
  const rows = lampCount > 5 ? 2 : 1;
  const rowHeightPx = heightPx / rows;
  const boardThicknessPx = heightPx * 0.03;
  const boardsPx = Array.from({ length: rows }, (_, row) =>
    Math.round((row + 1) * rowHeightPx - boardThicknessPx * 1.25),
  );
  const upper = Math.ceil(lampCount / rows);
  const lamps = boardsPx.flatMap((boardPx, row) => {
    const count = row === 0 ? upper : lampCount - upper;
    const spacingPx = widthPx / count;
    const lampHeightPx = Math.min(rowHeightPx * 0.87, spacingPx * 2.6);
    const pixelsPerCm = (lampHeightPx * (CAP_HEIGHT - GLASS_FOOT_HEIGHT)) / GLASS_HEIGHT_CM;
    return Array.from({ length: count }, (_place, column): LampPlace => {
      // The second board starts elsewhere in the palette, so that no colour stands under itself.
      const palette = PALETTES[(column + row * (upper + 3)) % PALETTES.length];
      if (palette === undefined) throw new RangeError('there is no palette');
      const axisPx = (column + 0.5) * spacingPx;
      return { axisPx, boardPx, heightPx: lampHeightPx, pixelsPerCm, palette };
    });
  });
  return { widthPx, heightPx, boardsPx, boardThicknessPx, lamps };
}

function inRange(what: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(`the ${what} must be a whole number from ${least} to ${most}`);
  }
}
