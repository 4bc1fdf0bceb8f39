import { encode } from 'fast-png';
import { LETTER_ADVANCE_PX, LINE_ADVANCE_PX, writeLine } from './bitmap-letters.js';
import type { PictureView } from './picture-watch.js';
import type { Preview } from './preview.js';

/** A view with lines above it: what was looked at and what came of it. */
export interface ProbeView extends PictureView {
  readonly title: readonly string[];
}

type Colour = readonly [red: number, green: number, blue: number];

const PAPER: Colour = [18, 18, 24];
const INK: Colour = [225, 225, 225];
const FAINT: Colour = [110, 110, 120];
const UNCOUNTED: Colour = [150, 30, 40];
const BAR: Colour = [240, 170, 60];

const MARGIN_PX = 12;
const PANEL_WIDTH_PX = 320;
const PANEL_HEIGHT_PX = 240;
const BAR_WIDTH_PX = 2;
const HISTOGRAM_HEIGHT_PX = 120;
const WIDTH_PX = 3 * MARGIN_PX + 2 * PANEL_WIDTH_PX;
/** The least movement that is drawn brightest, levels. */
const LEAST_BRIGHTEST_LEVELS = 2;
const SCALE_STEPS = 5;

/**
 * Draws what the health tests look at: the picture, how much each of its pixels moves (the noise map, black for a pixel that
 * stands still), and how often each level of brightness occurs, on a logarithmic scale.
 * @returns a PNG file, 8-bit RGB
 */
export function drawProbe(view: ProbeView): Uint8Array {
  const top = MARGIN_PX + view.title.length * LINE_ADVANCE_PX + LINE_ADVANCE_PX;
  const panels = top + LINE_ADVANCE_PX;
  const legend = panels + PANEL_HEIGHT_PX + Math.round(LINE_ADVANCE_PX / 2);
  const histogram = legend + 4 * LINE_ADVANCE_PX;
  const height = histogram + HISTOGRAM_HEIGHT_PX + 2 * LINE_ADVANCE_PX + MARGIN_PX;
  const sheet = new Sheet(WIDTH_PX, height);
  const right = 2 * MARGIN_PX + PANEL_WIDTH_PX;

  view.title.forEach((line, n) => sheet.text(MARGIN_PX, MARGIN_PX + n * LINE_ADVANCE_PX, line, INK));
  sheet.text(MARGIN_PX, top, 'LAST PICTURE (AVERAGED)', FAINT);
  sheet.text(right, top, 'NOISE MAP: HOW MUCH EACH PIXEL MOVES', FAINT);
  drawPreview(sheet, MARGIN_PX, panels, view.preview);
  const brightest = brightestOf(view.noise);
  drawNoise(sheet, right, panels, { view, brightest });
  drawScale(sheet, right, legend, brightest);
  drawHistogram(sheet, MARGIN_PX, histogram, view.histogram);
  return encode({ width: sheet.widthPx, height: sheet.heightPx, data: sheet.data, channels: 3, depth: 8 });
}

function drawPreview(sheet: Sheet, left: number, top: number, preview: Preview | undefined): void {
  if (preview === undefined) return sheet.text(left, top, 'NONE', FAINT);
  const { width, height, luma } = preview;
  sheet.grid(left, top, { width, height }, (cell) => {
    const level = luma[cell] ?? 0;
    return [level, level, level];
  });
}

function drawNoise(
  sheet: Sheet,
  left: number,
  top: number,
  { view, brightest }: { view: ProbeView; brightest: number },
): void {
  const { width, height, noise, counted } = view;
  sheet.grid(left, top, { width, height }, (cell) =>
    counted === undefined || counted[cell] === 1 ? heat((noise[cell] ?? 0) / brightest) : UNCOUNTED,
  );
}

function drawScale(sheet: Sheet, left: number, top: number, brightest: number): void {
  for (let step = 0; step < SCALE_STEPS; step++) {
    const share = step / (SCALE_STEPS - 1);
    const at = left + step * 54;
    sheet.box(at, top, 10, 8, heat(share));
    sheet.text(at + 14, top, `${share * brightest}${step === SCALE_STEPS - 1 ? '+ LEVELS' : ''}`, FAINT);
  }
  sheet.box(left, top + LINE_ADVANCE_PX, 10, 8, UNCOUNTED);
  sheet.text(left + 14, top + LINE_ADVANCE_PX, 'NOT COUNTED (MASKED BY CALIBRATION)', FAINT);
}

function drawHistogram(sheet: Sheet, left: number, top: number, histogram: ArrayLike<number>): void {
  sheet.text(left, top - LINE_ADVANCE_PX, 'HISTOGRAM: PIXELS OF EACH LEVEL, LOGARITHMIC', FAINT);
  const most = Math.max(1, ...Array.from({ length: 256 }, (_, level) => histogram[level] ?? 0));
  for (let level = 0; level < 256; level++) {
    const count = histogram[level] ?? 0;
    const high = Math.round((Math.log1p(count) / Math.log1p(most)) * HISTOGRAM_HEIGHT_PX);
    const at = left + level * BAR_WIDTH_PX;
    sheet.box(at, top, BAR_WIDTH_PX, HISTOGRAM_HEIGHT_PX, [30, 30, 38]);
    sheet.box(at, top + HISTOGRAM_HEIGHT_PX - high, BAR_WIDTH_PX, high, BAR);
  }
  const below = top + HISTOGRAM_HEIGHT_PX + 4;
  for (const level of [0, 64, 128, 192, 255]) {
    sheet.text(left + level * BAR_WIDTH_PX, below, String(level), FAINT);
  }
  sheet.text(left + 270 * BAR_WIDTH_PX, below, 'WHITE', FAINT);
  sheet.text(left + 270 * BAR_WIDTH_PX, top, `MOST: ${Math.round(most)}`, FAINT);
}

/** The power of two that at most one pixel in twenty lies above: what lies above it looks the same. */
function brightestOf(noise: ArrayLike<number>): number {
  const sorted = Float64Array.from(noise).sort();
  const most = sorted[Math.floor(0.95 * (sorted.length - 1))] ?? 0;
  let brightest = LEAST_BRIGHTEST_LEVELS;
  while (brightest < Math.min(255, most)) brightest *= 2;
  return brightest;
}

/** Black, through red and orange, to white. @param share - 0..1, more is white */
function heat(share: number): Colour {
  const ramp = (from: number): number => Math.round(255 * Math.min(1, Math.max(0, (share - from) * 3)));
  return [ramp(0), ramp(1 / 3), ramp(2 / 3)];
}

/** A picture to draw on: RGB, a byte each. What is outside of it is not drawn. */
class Sheet {
  readonly widthPx: number;
  readonly heightPx: number;
  readonly data: Uint8Array;

  constructor(widthPx: number, heightPx: number) {
    this.widthPx = widthPx;
    this.heightPx = heightPx;
    this.data = new Uint8Array(widthPx * heightPx * 3);
    this.box(0, 0, widthPx, heightPx, PAPER);
  }

  box(left: number, top: number, width: number, height: number, colour: Colour): void {
    for (let y = Math.max(0, top); y < Math.min(this.heightPx, top + height); y++) {
      for (let x = Math.max(0, left); x < Math.min(this.widthPx, left + width); x++) {
        this.data.set(colour, (y * this.widthPx + x) * 3);
      }
    }
  }

  text(left: number, top: number, text: string, colour: Colour): void {
    const fits = Math.floor((this.widthPx - left) / LETTER_ADVANCE_PX);
    writeLine(text.slice(0, fits), (x, y) => this.box(left + x, top + y, 1, 1, colour));
  }

  /** A grid of cells as a panel. */
  grid(
    left: number,
    top: number,
    { width, height }: { width: number; height: number },
    colourOf: (cell: number) => Colour,
  ): void {
    for (let y = 0; y < PANEL_HEIGHT_PX; y++) {
      for (let x = 0; x < PANEL_WIDTH_PX; x++) {
        const row = Math.floor((y * height) / PANEL_HEIGHT_PX);
        const column = Math.floor((x * width) / PANEL_WIDTH_PX);
        this.box(left + x, top + y, 1, 1, colourOf(row * width + column));
      }
    }
  }
}
