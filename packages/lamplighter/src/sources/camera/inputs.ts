import type { Environment } from '../../local/environment.js';
import { type BrowserInput, browserInput } from './browser-input.js';
import type { CameraTarget } from './camera-url.js';
import { Decoder } from './decoder.js';
import { ffmpegInput } from './ffmpeg.js';
import type { CameraInput } from './input.js';
import { mjpegHttpInput } from './mjpeg-http.js';

/** The way video of one kind of target comes in. */
export interface OpenInput {
  readonly input: CameraInput;
  /** To be kept running beside it; ffmpeg decodes by itself. */
  readonly decoder?: Decoder;
  /** Where pictures are handed in, of a browser's camera. */
  readonly frame?: BrowserInput['frame'];
}

/** Makes what hears a camera of this kind; nothing is connected or started yet. */
export function inputFor(
  target: CameraTarget,
  options: {
    readonly stallMs: number;
    readonly maxFrameBytes: number;
    readonly picturesPerSecond: number;
  },
  environment: Environment,
): OpenInput {
  const { stallMs, maxFrameBytes, picturesPerSecond } = options;
  if (target.kind === 'http') {
    const decoder = new Decoder({ picturesPerSecond }, environment);
    return { input: mjpegHttpInput(target, { maxFrameBytes, decoder }, environment), decoder };
  }
  if (target.kind === 'browser') {
    const decoder = new Decoder({ picturesPerSecond }, environment);
    const input = browserInput({ stallMs, decoder }, environment);
    return { input, decoder, frame: (jpeg, sender) => input.frame(jpeg, sender) };
  }
  return { input: ffmpegInput(target, { stallMs }, environment) };
}
