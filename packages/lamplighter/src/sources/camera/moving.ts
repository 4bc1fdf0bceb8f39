import type { Preview } from './preview.js';

/** A cell has changed when its brightness moved by this much: one level is rounding. */
const CHANGED_LEVELS = 2;
/** The picture has changed when so many of its 3,072 cells have: half a percent. */
const CHANGED_CELLS = 16;
/** … or when the whole moved by so much on average: sensor noise on a still scene does. Levels of 255. */
const CHANGED_MEAN = 0.25;
/**
 * A picture that has not changed for so long is frozen. The status owes the truth within 5 s of the fault, and the last
 * change is seen up to one preview period (0.5 s) after the picture froze.
 */
export const FROZEN_AFTER_MS = 4_500;
/** Video without one decodable picture for so long is not decodable. A 4K JPEG is looked at every 3 s. */
export const UNDECODABLE_AFTER_MS = 3_500;

/** What is known of the pictures of one connection. A value: every step makes a new one. */
export interface PictureHistory {
  /** When video was first heard on this connection, monotonic ms. */
  readonly heardMs: number;
  readonly firstPreviewMs?: number;
  readonly lastPreviewMs?: number;
  readonly lastChangeMs?: number;
  /** The picture that the next one is compared with: the last that differed, so that slow movement adds up. */
  readonly anchor?: Preview;
}

/**
 * - `unknown`: too early to say.
 * - `moving`: the picture changes.
 * - `frozen`: it does not, for {@link FROZEN_AFTER_MS}.
 * - `not-decodable`: there is video but no picture, for {@link UNDECODABLE_AFTER_MS}.
 */
export type PictureVerdict = 'unknown' | 'moving' | 'frozen' | 'not-decodable';

/**
 * Begins the history of a connection on which video was just heard.
 * @param before - the history of the connection before: its picture is kept, so that a frozen camera which keeps
 *   reconnecting does not look alive
 */
export function beginHistory(nowMs: number, before?: PictureHistory): PictureHistory {
  return before?.anchor === undefined ? { heardMs: nowMs } : { heardMs: nowMs, anchor: before.anchor };
}

/** The history with one more picture. */
export function seePreview(history: PictureHistory, preview: Preview, nowMs: number): PictureHistory {
  const { anchor, firstPreviewMs = nowMs } = history;
  const seen = { ...history, firstPreviewMs, lastPreviewMs: nowMs };
  if (anchor === undefined) return { ...seen, anchor: preview };
  return hasChanged(anchor, preview) ? { ...seen, anchor: preview, lastChangeMs: nowMs } : seen;
}

/** The one judgement over previews: health tests on pictures belong here. */
export function judge(history: PictureHistory, nowMs: number): PictureVerdict {
  const { heardMs, firstPreviewMs, lastPreviewMs, lastChangeMs } = history;
  if (nowMs - (lastPreviewMs ?? heardMs) > UNDECODABLE_AFTER_MS) return 'not-decodable';
  const stillSinceMs = lastChangeMs ?? firstPreviewMs;
  if (stillSinceMs !== undefined && nowMs - stillSinceMs > FROZEN_AFTER_MS) return 'frozen';
  return lastChangeMs === undefined ? 'unknown' : 'moving';
}

/** How far two pictures are apart. Of different sizes: as far as can be. */
export function difference(a: Preview, b: Preview): { changedCells: number; meanLevels: number } {
  if (a.luma.length !== b.luma.length) return { changedCells: b.luma.length, meanLevels: 255 };
  let changedCells = 0;
  let sum = 0;
  a.luma.forEach((level, cell) => {
    const levels = Math.abs(level - (b.luma[cell] ?? 0));
    sum += levels;
    if (levels >= CHANGED_LEVELS) changedCells += 1;
  });
  return { changedCells, meanLevels: a.luma.length === 0 ? 0 : sum / a.luma.length };
}

function hasChanged(a: Preview, b: Preview): boolean {
  const { changedCells, meanLevels } = difference(a, b);
  return changedCells >= CHANGED_CELLS || meanLevels >= CHANGED_MEAN;
}
