import type { ENDED } from '../../local/retry.js';
import type { Preview } from './preview.js';

/** What an input tells the camera while an attempt runs. */
export interface CameraListener {
  /** Bytes of video as they came, length ≥ 1. Valid during the call only: the input wipes them afterwards. */
  heard(bytes: Uint8Array): void;
  /** So many more whole frames have gone by. */
  frames(count: number): void;
  /** A small gray picture, for health and people. */
  preview(preview: Preview): void;
  /** The other end says of itself that its pictures are simulated. */
  simulated(): void;
}

/** One way of getting video: everything that differs between a network camera and a file. */
export interface CameraInput {
  readonly kind: 'http-mjpeg' | 'ffmpeg';
  readonly codec: 'mjpeg' | 'compressed' | 'as-captured';
  /** How long the first byte of an attempt may take, ms, when that is longer than a stall. */
  readonly startMs: number;
  /** Input-specific facts for the status. */
  details(): Readonly<Record<string, string>>;
  /**
   * Connects or starts a child, and tells the listener what it hears.
   * @param signal - when it fires everything is let go, and the attempt rejects with the signal's reason
   * @returns `ENDED` when the video had an end and reached it
   * @throws LamplighterError when there is no video or no more of it; nothing of the attempt is left then
   */
  attempt(listener: CameraListener, signal: AbortSignal): Promise<typeof ENDED>;
}
