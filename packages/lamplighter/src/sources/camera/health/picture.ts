/** Pixels across what health looks at. */
export const HEALTH_WIDTH = 160;
/** Pixels down what health looks at. */
export const HEALTH_HEIGHT = 120;
/** Pixels of a health picture. */
export const HEALTH_PIXELS = HEALTH_WIDTH * HEALTH_HEIGHT;

/** What health looks at: single pixels of the decoded luma on a grid (nearest neighbour; averaging would remove the noise). */
export interface HealthPicture {
  /** {@link HEALTH_WIDTH}. */
  readonly width: number;
  /** {@link HEALTH_HEIGHT}. */
  readonly height: number;
  /** One byte a pixel, row by row; full or video range, as decoded. Read during the call only: the caller may reuse it. */
  readonly luma: Uint8Array;
  /** Pixels across the video's own picture; 0 if unknown. */
  readonly sourceWidth: number;
  /** Pixels down the video's own picture; 0 if unknown. */
  readonly sourceHeight: number;
  /** When it is shown, ms; never backwards within a connection. */
  readonly timeMs: number;
}

/** @throws RangeError if a picture does not have the size that health looks at */
export function checkPicture(picture: HealthPicture): void {
  const { width, height, luma } = picture;
  if (width !== HEALTH_WIDTH || height !== HEALTH_HEIGHT || luma.length !== HEALTH_PIXELS) {
    throw new RangeError(`a health picture has ${HEALTH_WIDTH} x ${HEALTH_HEIGHT} pixels`);
  }
  if (!Number.isFinite(picture.timeMs)) throw new RangeError('a health picture has a time');
}
