import { z } from 'zod';
import { CELLS } from './cells.js';
import { HEALTH_PIXELS } from './picture.js';

/** A string of exactly so many base64 characters, padding included. */
const base64 = (lengthBytes: number) => z.base64().length(4 * Math.ceil(lengthBytes / 3));

/**
 * What `camera calibrate` learned about one camera in its place: plain JSON, to be kept in the configuration or in a file.
 * Unknown keys are refused, so that a misspelt one is not taken for a default.
 */
export const cameraCalibration = z.strictObject({
  version: z.literal(1),
  /** Pixels of the video's own picture; 0 if it was unknown. */
  sourceWidth: z.int().min(0).max(16_384),
  sourceHeight: z.int().min(0).max(16_384),
  picturesPerSecond: z.number().positive().max(240),
  /** H of one temporal low-order bit under the mask. */
  minEntropyBits: z.number().min(0.001).max(1),
  /** The noise ratio below which noise is low. */
  noiseRatio: z.number().min(0.2).max(20),
  /** The exposure: mean luma, and that of each of the 192 cells (one byte each). */
  meanLuma: z.number().min(0).max(255),
  cellMeans: base64(CELLS),
  /** A bit for each of the 160 × 120 pixels, row by row, lowest bit first: pixels whose low-order bit the bit tests look at. */
  mask: base64(HEALTH_PIXELS / 8),
});

/** See {@link cameraCalibration}. */
export type CameraCalibration = z.infer<typeof cameraCalibration>;

/** The mask, one byte a pixel. */
export function maskOf(calibration: CameraCalibration): Uint8Array {
  const bits = Buffer.from(calibration.mask, 'base64');
  return Uint8Array.from(
    { length: HEALTH_PIXELS },
    (_, pixel) => ((bits[pixel >> 3] ?? 0) >> (pixel & 7)) & 1,
  );
}

/** A mask as it is kept. @param mask - one byte a pixel */
export function packMask(mask: Uint8Array): string {
  const bits = Buffer.alloc(HEALTH_PIXELS / 8);
  for (let pixel = 0; pixel < HEALTH_PIXELS; pixel++) {
    if (mask[pixel] === 1) bits[pixel >> 3] = (bits[pixel >> 3] ?? 0) | (1 << (pixel & 7));
  }
  return bits.toString('base64');
}

/** The mean level of each cell. */
export function cellMeansOf(calibration: CameraCalibration): Float32Array {
  return Float32Array.from(Buffer.from(calibration.cellMeans, 'base64'));
}

/** Means of cells as they are kept, to whole levels. */
export function packCellMeans(cellMeans: Float32Array): string {
  return Buffer.from(Uint8Array.from(cellMeans, (level) => Math.round(level))).toString('base64');
}
