import { WHITE } from './sensor.js';

/** What every picture says about itself. */
export const CAPTION = 'SIMULATED LAMPS';

const LETTER_WIDTH_PX = 5;
const LETTER_HEIGHT_PX = 7;
const GAP_PX = 1;
const MARGIN_PX = 6;
const PAPER_PX = 3;

/** The caption's letters, row by row, as on a display of dots. */
const LETTERS: Readonly<Record<string, readonly string[]>> = {
  A: ['.###.', '#...#', '#...#', '#####', '#...#', '#...#', '#...#'],
  D: ['####.', '#...#', '#...#', '#...#', '#...#', '#...#', '####.'],
  E: ['#####', '#....', '#....', '####.', '#....', '#....', '#####'],
  I: ['.###.', '..#..', '..#..', '..#..', '..#..', '..#..', '.###.'],
  L: ['#....', '#....', '#....', '#....', '#....', '#....', '#####'],
  M: ['#...#', '##.##', '#.#.#', '#.#.#', '#...#', '#...#', '#...#'],
  P: ['####.', '#...#', '#...#', '####.', '#....', '#....', '#....'],
  S: ['.####', '#....', '#....', '.###.', '....#', '....#', '####.'],
  T: ['#####', '..#..', '..#..', '..#..', '..#..', '..#..', '..#..'],
  U: ['#...#', '#...#', '#...#', '#...#', '#...#', '#...#', '.###.'],
  ' ': ['.....', '.....', '.....', '.....', '.....', '.....', '.....'],
};

/**
 * Burns {@link CAPTION} into the lower right corner of a scene, light on a darkened strip, so that no copy of the
 * picture can be taken for real lamps.
 *
 * @param scene - scene values, three a pixel; changed in place
 */
export function paintCaption(scene: Uint16Array, widthPx: number, heightPx: number): void {
  const captionWidthPx = CAPTION.length * (LETTER_WIDTH_PX + GAP_PX) - GAP_PX;
  const leftPx = widthPx - MARGIN_PX - captionWidthPx;
  const topPx = heightPx - MARGIN_PX - LETTER_HEIGHT_PX;
  for (let y = -PAPER_PX; y < LETTER_HEIGHT_PX + PAPER_PX; y++) {
    for (let x = -PAPER_PX; x < captionWidthPx + PAPER_PX; x++) {
      const at = ((topPx + y) * widthPx + leftPx + x) * 3;
      for (let channel = 0; channel < 3; channel++) {
        const behind = scene[at + channel] ?? 0;
        scene[at + channel] = inked(x, y) ? Math.round(0.8 * WHITE) : Math.round(behind * 0.35);
      }
    }
  }
}

function inked(x: number, y: number): boolean {
  const letter = CAPTION[Math.floor(x / (LETTER_WIDTH_PX + GAP_PX))];
  const row = letter === undefined ? undefined : LETTERS[letter]?.[y];
  return row?.[x % (LETTER_WIDTH_PX + GAP_PX)] === '#';
}
