import type { ENDED } from '../../local/retry.js';

/** One look at the video, for health and people: single pixels on a grid of 160 × 120, never averaged. */
export interface SeenPicture {
  /** 0 black to 255 white, row by row. */
  readonly luma: Uint8Array;
  readonly sourceWidth: number;
  readonly sourceHeight: number;
  /** When its frame came in, ms of the monotonic clock. */
  readonly arrivedMs: number;
  /** The frame's own time, ms from the beginning of the stream; undefined where the stream gives none. */
  readonly mediaMs: number | undefined;
}

/** What an input tells the camera while an attempt runs. */
export interface CameraListener {
  /** Bytes of video as they came, length ≥ 1. Valid during the call only: the input wipes them afterwards. */
  heard(bytes: Uint8Array): void;
  /** So many more whole frames have gone by. */
  frames(count: number): void;
  /** A picture, for health and people. Valid during the call only: the input wipes it afterwards. */
  picture(picture: SeenPicture): void;
  /** The other end says of itself that its pictures are simulated. */
  simulated(): void;
}

/** An attempt is over and another shall begin at once, in another way: no fault. */
export const AGAIN = 'again';

/** One way of getting video: everything that differs between a network camera and a file. */
export interface CameraInput {
  readonly kind: 'http-mjpeg' | 'ffmpeg' | 'browser';
  /** How long the first byte of an attempt may take, ms, when that is longer than a stall. */
  readonly startMs: number;
  /** The longest wait between two attempts, ms, when it shall not be the usual one. */
  readonly longestBackOffMs?: number;
  /** How long video may come in without a picture, ms, before it counts as not decodable. */
  pictureWithinMs(): number;
  /** Input-specific facts for the status; `codec` among them: `raw` where pictures are hashed as they were captured. */
  details(): Readonly<Record<string, string | number>>;
  /**
   * Connects or starts a child, and tells the listener what it hears.
   * @param signal - when it fires everything is let go, and the attempt rejects with the signal's reason
   * @returns `ENDED` when the video had an end and reached it, or {@link AGAIN}
   * @throws LamplighterError when there is no video or no more of it; nothing of the attempt is left then
   */
  attempt(listener: CameraListener, signal: AbortSignal): Promise<typeof ENDED | typeof AGAIN>;
}
