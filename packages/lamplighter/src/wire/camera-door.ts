import type { IncomingHttpHeaders } from 'node:http';
import { basisFromHeader } from './basis.js';

/** What of a camera may be looked at from outside its source, and what a browser camera is given. */
export interface CameraDoor {
  /**
   * What the camera saw some seconds ago, for people: a small gray PNG, 80 × 60. It is averaged, cut to 64 levels and at least two seconds
   * old; never the bytes that are hashed. Made once a picture, however many ask.
   * @returns undefined before the first picture, and when the last one is too old to be called a view of now
   */
  preview(): Promise<Uint8Array | undefined>;
  /**
   * How much each pixel that health looks at moves by itself: a PNG, 160 × 120, in the colours of the noise legend.
   * @returns undefined when there is no preview either
   */
  noise(): Promise<Uint8Array | undefined>;
  /**
   * Hears one picture. Only a browser camera has this; whoever calls it has made sure who is asking.
   * @param jpeg - one whole JPEG; the caller may wipe it at once
   * @param sender - see {@link frameSenderOf}
   * @throws LamplighterError, and nothing of the picture is heard: ERR_BAD_REQUEST when it is no JPEG, ERR_BODY_TOO_LARGE, ERR_QUOTA when
   *   pictures come too fast (with `retryAfterMs`), ERR_OVERLOADED while another page films for this camera, ERR_STOPPED
   */
  readonly frame?: (jpeg: Uint8Array, sender: FrameSender) => void;
}

/** Who sends a picture to a browser camera. */
export interface FrameSender {
  /** A word that a page makes up when it begins: pictures of two pages are never mixed. At most 64 characters. */
  readonly page: string;
  /** The page says of itself that its pictures are simulated. */
  readonly simulated: boolean;
}

/** The header in which a page sends its word. */
export const PAGE_HEADER = 'x-lamplighter-page';
/** The largest picture that a browser camera takes, bytes. */
export const MAX_BROWSER_FRAME_BYTES = 2 * 1024 * 1024;
const MAX_PAGE_LENGTH = 64;

/** Who sends a picture, by the headers of its request: {@link PAGE_HEADER}, and `Lamplighter-Basis: simulated`. */
export function frameSenderOf(headers: IncomingHttpHeaders): FrameSender {
  const page = headers[PAGE_HEADER];
  const basis = headers['lamplighter-basis'];
  return {
    page: typeof page === 'string' ? page.slice(0, MAX_PAGE_LENGTH) : '',
    simulated: typeof basis === 'string' && basisFromHeader(basis).simulated,
  };
}

/**
 * The details in the status of a source of kind `camera`: what it is, how it is, and the numbers behind the verdict. Names are stable. The
 * words for people are the `reason` beside them; its code names the first fault.
 */
export type CameraDetails = Readonly<{
  input: 'http-mjpeg' | 'ffmpeg' | 'browser';
  /** Without anything secret. */
  url: string;
  /** Pixels of its last picture; 0 before the first. */
  width: number;
  height: number;
  picture: CameraPictureVerdict;
  /** Comma-separated, in the order of the tests; empty when nothing is wrong. */
  faults: string;
  /** The last faults: `frozen 20 s ago for 5 s, gone 3 s ago`. */
  history: string;
  frames: number;
  framesPerSecond: number;
  bytes: number;
  /** Attempts to get video after the first one. */
  restarts: number;
  skippedPictures: number;
  decoderRestarts: number;
}> &
  Readonly<Record<CameraNumber, number>>;

/** `unknown`: too early to say; `not-decodable`: video comes in, but no picture. */
export type CameraPictureVerdict = 'healthy' | 'degraded' | 'unknown' | 'not-decodable';

/**
 * The numbers behind the verdict. Shares are 0..1, levels are of 255. What each fault rests on:
 * - dark: `blackShare`, cells that are black and never change; `meanLuma`, levels
 * - blind: `clippedHighShare`, pixels at full white
 * - flat: `flatShare`, cells without structure that never change
 * - frozen, overlay-only: `livingShare`, cells that change all the time
 * - low-noise: `noiseRatio`, noise over the least that a sensor's is, below 1 it is low; `residualRms`, the noise in levels; `noiseBits`, bits
 *   of min-entropy in one low-order bit
 * - replayed: `replayBestZ`, how well pictures agree with earlier ones; by chance it stays below 1.2
 * - changed: `changedCellShare`, cells that are not as they were
 * - stalled: `picturesPerSecond` looked at, and `learnedPicturesPerSecond`, what was usual
 */
export type CameraNumber =
  | 'meanLuma'
  | 'blackShare'
  | 'clippedHighShare'
  | 'flatShare'
  | 'livingShare'
  | 'residualRms'
  | 'noiseRatio'
  | 'noiseBits'
  | 'replayBestZ'
  | 'changedCellShare'
  | 'picturesPerSecond'
  | 'learnedPicturesPerSecond';
