import type { Preview } from './preview.js';

/** A picture is shown so long after it came in, ms: by then its bytes have been hashed, and the pictures after it too. */
export const PREVIEW_DELAY_MS = 2_000;
/** At most one picture in so long is kept for people, ms. */
export const PREVIEW_PERIOD_MS = 1_000;
/** A picture older than this is no view of now, ms. */
export const PREVIEW_STALE_MS = 10_000;
/** As many as come in while one waits, and the one that is shown. */
const KEPT = PREVIEW_DELAY_MS / PREVIEW_PERIOD_MS + 2;
/** What is left of a level: six bits of eight. The lowest are where the noise is. */
const LEVEL_BITS = 0xfc;

/**
 * Previews on their way to people. Each waits {@link PREVIEW_DELAY_MS}; one a second is kept, without its low-order bits. Memory: four
 * small pictures. All times are ms of one clock that is never set back.
 */
export class PreviewShelf {
  readonly #kept: { readonly preview: Preview; readonly atMs: number }[] = [];

  /** Takes a picture if one is due. @param make - asked for it only then */
  offer(make: () => Preview | undefined, nowMs: number): void {
    if (nowMs - (this.#kept.at(-1)?.atMs ?? -Infinity) < PREVIEW_PERIOD_MS) return;
    const preview = make();
    if (preview === undefined) return;
    this.#kept.push({ preview: coarse(preview), atMs: nowMs });
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  /** The newest that has waited long enough, the same object until there is another; undefined when there is none, or none of late. */
  shown(nowMs: number): Preview | undefined {
    const newest = this.#kept.findLast(({ atMs }) => nowMs - atMs >= PREVIEW_DELAY_MS);
    return newest !== undefined && nowMs - newest.atMs <= PREVIEW_STALE_MS ? newest.preview : undefined;
  }
}

/** Without its low-order bits; black stays black and white white. */
function coarse({ width, height, luma }: Preview): Preview {
  return { width, height, luma: luma.map((level) => (level & LEVEL_BITS) | (level >> 6)) };
}
