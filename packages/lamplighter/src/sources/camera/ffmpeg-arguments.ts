import type { CameraTarget } from './camera-url.js';

export type FfmpegTarget = Exclude<CameraTarget, { kind: 'http' | 'browser' }>;
export type RtspTransport = 'tcp' | 'udp';

/** File descriptors of the child beside stdin, stdout and stderr. */
export const PICTURE_DESCRIPTOR = 3;
export const PROGRESS_DESCRIPTOR = 4;

/** How an attempt reads its target. */
export interface ReadingOptions {
  readonly transport: RtspTransport;
  /** The silence after which the child is killed, ms. */
  readonly stallMs: number;
  /** Only key frames are decoded. The bitstream is whole all the same. */
  readonly keyFramesOnly: boolean;
  /** A file is read as fast as it can be, not as fast as it plays. */
  readonly fullSpeed: boolean;
  /** A file is read for so many seconds of its own time; to its end when left out. */
  readonly seconds?: number;
  readonly pictureWidth: number;
  readonly pictureHeight: number;
}

/** Plain containers and elementary streams. Playlists (hls, concat, sdp …) are not among them: they open other things. */
const FILE_FORMATS =
  'mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,ivf,obu,m4v,mjpeg,mpjpeg,flv,asf,ogg,nut,yuv4mpegpipe,gif,dv,mxf';
/** The same for streams, with the two that cannot do without: our own script, and HLS, which `ffmpeg+http` asks for. */
const STREAM_FORMATS = `concat,hls,live_flv,${FILE_FORMATS}`;
/**
 * The RTSP session's own timeout comes this much after our stall: when ffmpeg gives up it passes on a last packet, which must not
 * look like a sign of life.
 */
const SOCKET_GRACE_MS = 1_000;
/** 8K. A picture header that claims more is refused before memory is taken for it. */
const MAX_PIXELS = 7680 * 4320;
/** No single piece of memory is larger, bytes: an 8K picture of 16-bit samples, 4:4:4, and a little more. */
const MAX_ALLOCATION = 256 * 1024 * 1024;
/** Each thread takes pictures of its own: this bounds memory, and processor time with it. */
const DECODER_THREADS = 2;
/** No camera is faster; jumps of a clock cannot make more of them. */
const MAX_PICTURES_PER_SECOND = 125;

/**
 * The arguments of ffmpeg: the bitstream as it came on stdout, a small gray picture of each decoded frame on fd 3, what it
 * says of each of these on stderr, progress on fd 4.
 *
 * The bitstream is written with the `rawvideo` muxer: packets one after the other, whatever the codec, without a
 * container's headers and without a say about timestamps, which many cameras get wrong. Nobody parses it: it is hashed.
 *
 * Pictures are single pixels on a grid (`neighbor`), never averages, which would take out the noise that health looks for. Limited
 * range is stretched to 0..255, pixel by pixel. `showinfo` stands before the scaler: it writes the time and the *source's* size
 * of every picture, in the order of the pictures.
 * Needs ffmpeg ≥ 5.1 (`-fps_mode`, and `option` in concat scripts).
 *
 * @returns `args`; `script`: what ffmpeg must find on its stdin
 */
export function ffmpegArguments(
  target: FfmpegTarget,
  options: ReadingOptions,
): { args: string[]; script: string } {
  const { pictureWidth, pictureHeight } = options;
  const input = inputArguments(target, options);
  const spacing = (1 / MAX_PICTURES_PER_SECOND).toFixed(3);
  const filters = [
    `select='isnan(prev_selected_t)+gte(abs(t-prev_selected_t),${spacing})'`,
    'showinfo=checksum=0',
    `scale=${pictureWidth}:${pictureHeight}:flags=neighbor`,
    'format=gray',
  ];
  const args = [
    '-nostdin -hide_banner -loglevel level+info -nostats -stats_period 0.5'.split(' '),
    ['-progress', `pipe:${PROGRESS_DESCRIPTOR}`],
    ['-max_pixels', String(MAX_PIXELS), '-max_alloc', String(MAX_ALLOCATION)],
    ['-threads', String(DECODER_THREADS), ...(options.keyFramesOnly ? ['-skip_frame', 'nokey'] : [])],
    input.args,
    '-map 0:v:0 -c:v copy -f rawvideo -flush_packets 1 pipe:1'.split(' '),
    ['-map', '0:v:0', '-vf', filters.join(',')],
    '-fps_mode passthrough -c:v rawvideo -f rawvideo -flush_packets 1'.split(' '),
    [`pipe:${PICTURE_DESCRIPTOR}`],
  ].flat();
  return { args, script: input.script };
}

function inputArguments(target: FfmpegTarget, options: ReadingOptions): { args: string[]; script: string } {
  switch (target.kind) {
    case 'file':
      return { args: fileArguments(target.path, options), script: '' };
    case 'device':
      return { args: deviceArguments(target), script: '' };
    case 'rtsp':
      return scripted('rtsp,rtp,udp,tcp', 'concat,rtsp,rtp', target.url, [
        `option rtsp_transport ${options.transport}`,
        `option timeout ${Math.round((options.stallMs + SOCKET_GRACE_MS) * 1000)}`,
        'option allowed_media_types video',
      ]);
    case 'stream':
      return scripted(target.protocols, STREAM_FORMATS, target.url, []);
  }
}

function fileArguments(path: string, { fullSpeed, seconds }: ReadingOptions): string[] {
  const checks = ['-protocol_whitelist', 'file', '-format_whitelist', FILE_FORMATS];
  const pace = fullSpeed ? [] : ['-re'];
  const length = seconds === undefined ? [] : ['-t', seconds.toFixed(3)];
  return [...checks, ...pace, ...length, '-i', `file:${path}`];
}

function deviceArguments({ path, options }: Extract<FfmpegTarget, { kind: 'device' }>): string[] {
  const { inputFormat, widthPx, heightPx, framesPerSecond } = options;
  return [
    ['-f', 'v4l2', '-use_wallclock_as_timestamps', '1'],
    inputFormat === undefined ? [] : ['-input_format', inputFormat],
    widthPx === undefined || heightPx === undefined ? [] : ['-video_size', `${widthPx}x${heightPx}`],
    framesPerSecond === undefined ? [] : ['-framerate', String(framesPerSecond)],
    ['-i', path],
  ].flat();
}

/**
 * Process arguments are visible to every user of the machine, and a URL may hold a password. A concat script may name a
 * URL, and a script can be read from stdin; what is allowed to it is allowed to what it names.
 */
function scripted(
  protocols: string,
  formats: string,
  url: string,
  lines: readonly string[],
): { args: string[]; script: string } {
  const checks = ['-protocol_whitelist', `pipe,${protocols}`, '-format_whitelist', formats];
  return {
    args: [...checks, ...'-f concat -safe 0 -use_wallclock_as_timestamps 1 -i pipe:0'.split(' ')],
    script: ['ffconcat version 1.0', `file '${url.replaceAll("'", "'\\''")}'`, ...lines, ''].join('\n'),
  };
}
