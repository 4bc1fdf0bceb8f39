/** How a V4L2 device shall be opened. What is left out, the device decides. */
export interface DeviceOptions {
  /** ffmpeg's name of the pixel format or codec, as `-input_format` takes it. */
  readonly inputFormat?: string;
  readonly widthPx?: number;
  readonly heightPx?: number;
  readonly framesPerSecond?: number;
}

/** What people call the formats, and what ffmpeg calls them. Raw ones first: their pictures are hashed as they are. */
const INPUT_FORMATS: Readonly<Record<string, string>> = {
  yuyv: 'yuyv422',
  yuyv422: 'yuyv422',
  uyvy: 'uyvy422',
  uyvy422: 'uyvy422',
  yuv420p: 'yuv420p',
  yuv422p: 'yuv422p',
  nv12: 'nv12',
  grey: 'gray',
  gray: 'gray',
  rgb24: 'rgb24',
  bgr24: 'bgr24',
  mjpeg: 'mjpeg',
  h264: 'h264',
  hevc: 'hevc',
};

/** 8K. */
const MAX_WIDTH_PX = 7680;
const MAX_HEIGHT_PX = 4320;
const MAX_FRAMES_PER_SECOND = 240;

/**
 * Parses what stands behind the `?` of a device: `format=yuyv&size=640x480&fps=30`, each of them at most once.
 * @returns the options; or, in words, what is wrong with them
 */
export function parseDeviceOptions(query: string): DeviceOptions | string {
  const pairs = [...new URLSearchParams(query)];
  const seen = new Set(pairs.map(([key]) => key));
  if (seen.size < pairs.length) return 'names an option of the device twice';
  let options: DeviceOptions = {};
  for (const [key, value] of pairs) {
    const one = Object.hasOwn(OPTIONS, key) ? OPTIONS[key]?.(value) : undefined;
    if (one === undefined) {
      return `has an option of the device that is not understood (there are format=${formats()}, size=WIDTHxHEIGHT and fps=N)`;
    }
    options = { ...options, ...one };
  }
  return options;
}

const OPTIONS: Readonly<Record<string, (value: string) => DeviceOptions | undefined>> = {
  format: formatOption,
  size: sizeOption,
  fps: rateOption,
};

function formatOption(value: string): DeviceOptions | undefined {
  const name = value.toLowerCase();
  const inputFormat = Object.hasOwn(INPUT_FORMATS, name) ? INPUT_FORMATS[name] : undefined;
  return inputFormat === undefined ? undefined : { inputFormat };
}

function sizeOption(value: string): DeviceOptions | undefined {
  const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(value) ?? [];
  const [widthPx, heightPx] = [Number(width ?? 0), Number(height ?? 0)];
  const fits = widthPx >= 1 && widthPx <= MAX_WIDTH_PX && heightPx >= 1 && heightPx <= MAX_HEIGHT_PX;
  return fits ? { widthPx, heightPx } : undefined;
}

function rateOption(value: string): DeviceOptions | undefined {
  const framesPerSecond = Number(value);
  const fits = /^\d{1,3}(\.\d{1,3})?$/.test(value) && framesPerSecond > 0;
  return fits && framesPerSecond <= MAX_FRAMES_PER_SECOND ? { framesPerSecond } : undefined;
}

function formats(): string {
  return Object.keys(INPUT_FORMATS).join('|');
}
