import type { Environment } from '../../local/environment.js';
import type { ENDED } from '../../local/retry.js';
import { type FfmpegTarget, type RtspTransport } from './ffmpeg-arguments.js';
import { runFfmpeg } from './ffmpeg-child.js';
import { AGAIN, type CameraInput, type CameraListener } from './input.js';

/** How video is read through ffmpeg. */
export interface FfmpegInputOptions {
  /** The silence after which an attempt will be ended, ms. */
  readonly stallMs: number;
  /** Files only: as fast as they can be read. */
  readonly fullSpeed?: boolean;
  /** Files only: so many seconds of their own time. */
  readonly seconds?: number;
}

/** ffmpeg looks at a stream for up to 5 s before it passes on the first byte. */
const START_MS = 10_000;
/** Every frame of 1080p is decoded; of anything larger only key frames: 4K30 takes 1.4 cores, its key frames 0.06. */
const MAX_PIXELS_DECODED = 1920 * 1080;
/** Nothing but key frames: there is nothing to leave out. */
const INTRA_CODECS = new Set(['rawvideo', 'mjpeg']);
/** From key frames back to all of them at most so often: a stream that changes its size all the time stays cheap. */
const FULL_AGAIN_MS = 60_000;
/** Video without one decodable picture for so long is not decodable. */
const PICTURE_WITHIN_MS = 3_500;
/** Cameras send a key frame every 10 s or more often. */
const KEY_FRAME_WITHIN_MS = 22_000;

/**
 * RTSP, V4L2, other streams and video files through an ffmpeg child process.
 *
 * Every chunk of bitstream that comes out of the pipe is heard as one event, at once: the accumulator hashes what is
 * longer than an event anyway, nothing waits for a timer, and nothing is left over when the child dies.
 *
 * Which frames are decoded for health is decided by their size, which only the stream itself tells: where it turns out to be
 * on the other side of 1080p the child is started anew. That is remembered, so it costs a live camera one connection.
 */
export function ffmpegInput(
  target: FfmpegTarget,
  options: FfmpegInputOptions,
  environment: Environment,
): CameraInput {
  // Over TCP nothing is lost on the way, but some servers only speak UDP. Which one is in use stands in the status.
  let transport: RtspTransport = 'tcp';
  let keyFramesOnly = false;
  let fullAgainMs = -Infinity;
  let codec = 'unknown';
  let sandbox = '';

  /** Whether frames of this size must be decoded in the other way, and may. */
  function belongsElsewhere(widthPx: number, heightPx: number, pictures: number): boolean {
    const large = widthPx * heightPx > MAX_PIXELS_DECODED;
    if (large === keyFramesOnly || INTRA_CODECS.has(codec)) return false;
    // A file begins at its beginning again: that is right once, before anything of it was seen.
    if (target.kind === 'file') return pictures === 0;
    return large || nowMs(environment) >= fullAgainMs;
  }

  async function attempt(
    listener: CameraListener,
    signal: AbortSignal,
  ): Promise<typeof ENDED | typeof AGAIN> {
    const tried = transport;
    const switching = new AbortController();
    let heard = false;
    let pictures = 0;
    const look = (widthPx: number, heightPx: number): void => {
      if (switching.signal.aborted || !belongsElsewhere(widthPx, heightPx, pictures)) return;
      keyFramesOnly = !keyFramesOnly;
      fullAgainMs = nowMs(environment) + FULL_AGAIN_MS;
      switching.abort();
    };
    const noting: CameraListener = {
      ...listener,
      heard(bytes) {
        heard = true;
        listener.heard(bytes);
      },
      picture(picture) {
        look(picture.sourceWidth, picture.sourceHeight);
        if (switching.signal.aborted) return;
        pictures += 1;
        listener.picture(picture);
      },
    };
    try {
      const run = {
        ...options,
        transport,
        keyFramesOnly,
        listener: noting,
        signal: AbortSignal.any([signal, switching.signal]),
        onSandbox: (words: string) => (sandbox = words),
        onStream: (stream: { codec: string; widthPx: number; heightPx: number }) => {
          codec = stream.codec;
          look(stream.widthPx, stream.heightPx);
        },
      };
      return await runFfmpeg(target, run, environment);
    } catch (error) {
      if (switching.signal.aborted && !signal.aborted) return AGAIN;
      throw error;
    } finally {
      if (!heard && !switching.signal.aborted) transport = tried === 'tcp' ? 'udp' : 'tcp';
    }
  }

  return {
    kind: 'ffmpeg',
    startMs: START_MS,
    pictureWithinMs: () => (keyFramesOnly ? KEY_FRAME_WITHIN_MS : PICTURE_WITHIN_MS),
    details: () => ({
      codec: codec === 'rawvideo' ? 'raw' : codec,
      decoded: keyFramesOnly ? 'key frames' : 'all frames',
      ...(sandbox === '' ? {} : { sandbox }),
      ...(target.kind === 'rtsp' ? { transport } : {}),
    }),
    attempt,
  };
}

function nowMs(environment: Environment): number {
  return Number(environment.monotonicNs() / 1_000_000n);
}
