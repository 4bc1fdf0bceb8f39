import type { CameraTarget } from './camera-url.js';
import { PREVIEW_HEIGHT, PREVIEW_WIDTH } from './preview.js';

export type FfmpegTarget = Exclude<CameraTarget, { kind: 'http' }>;
export type RtspTransport = 'tcp' | 'udp';

/** File descriptors of the child beside stdin, stdout and stderr. */
export const PREVIEW_DESCRIPTOR = 3;
export const PROGRESS_DESCRIPTOR = 4;

/** Plain containers and elementary streams. Playlists (hls, concat, sdp …) are not among them: they open other things. */
const FILE_FORMATS =
  'mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,av1,ivf,obu,m4v,mjpeg,mpjpeg,flv,asf,ogg,nut,yuv4mpegpipe,gif,dv,mxf';
/**
 * The RTSP session's own timeout comes this much after our stall: when ffmpeg gives up it passes on a last packet, which must not
 * look like a sign of life.
 */
const SOCKET_GRACE_MS = 1_000;
/** 8K. A picture header that claims more is refused before memory is taken for it. */
const MAX_PIXELS = 7680 * 4320;

/**
 * The arguments of ffmpeg: the bitstream as it came on stdout, small gray pictures on fd 3, progress on fd 4.
 *
 * The bitstream is written with the `rawvideo` muxer: packets one after the other, whatever the codec, without a
 * container's headers and without a say about timestamps, which many cameras get wrong. Nobody parses it: it is hashed.
 * Pictures are chosen by time and never repeated, so that a jump of the clock cannot make a flood of them.
 * Needs ffmpeg ≥ 5.1 (`-fps_mode`, and `option` in concat scripts).
 *
 * @param previewPerSecond - at most so many pictures a second, > 0
 * @param stallMs - the silence after which the child is killed
 * @returns `args`; `script`: what ffmpeg must find on its stdin
 */
export function ffmpegArguments(
  target: FfmpegTarget,
  options: {
    readonly previewPerSecond: number;
    readonly stallMs: number;
    readonly transport: RtspTransport;
  },
): { args: string[]; script: string } {
  const { previewPerSecond, stallMs, transport } = options;
  const input = inputArguments(target, { stallMs, transport });
  const everySeconds = (1 / previewPerSecond).toFixed(3);
  const small = `scale=${PREVIEW_WIDTH}:${PREVIEW_HEIGHT}:flags=area,format=gray`;
  const args = [
    '-nostdin -hide_banner -loglevel error -stats_period 0.5'.split(' '),
    ['-progress', `pipe:${PROGRESS_DESCRIPTOR}`, '-max_pixels', String(MAX_PIXELS)],
    input.args,
    '-map 0:v:0 -c:v copy -f rawvideo -flush_packets 1 pipe:1'.split(' '),
    ['-map', '0:v:0', '-vf'],
    [`select='isnan(prev_selected_t)+gte(abs(t-prev_selected_t),${everySeconds})',${small}`],
    '-fps_mode passthrough -c:v rawvideo -f rawvideo -flush_packets 1'.split(' '),
    [`pipe:${PREVIEW_DESCRIPTOR}`],
  ].flat();
  return { args, script: input.script };
}

function inputArguments(
  target: FfmpegTarget,
  { stallMs, transport }: { stallMs: number; transport: RtspTransport },
): { args: string[]; script: string } {
  if (target.kind === 'file') {
    const checks = ['-protocol_whitelist', 'file', '-format_whitelist', FILE_FORMATS];
    return { args: [...checks, '-re', '-i', `file:${target.path}`], script: '' };
  }
  if (target.kind === 'device') {
    return { args: ['-f', 'v4l2', '-use_wallclock_as_timestamps', '1', '-i', target.path], script: '' };
  }
  // Process arguments are visible to every user of the machine, and an RTSP URL may hold a password. A concat script may
  // name a URL, and a script can be read from stdin.
  const whitelist = ['-protocol_whitelist', 'pipe,rtsp,rtp,udp,tcp'];
  return {
    args: [...whitelist, ...'-f concat -safe 0 -use_wallclock_as_timestamps 1 -i pipe:0'.split(' ')],
    script: [
      'ffconcat version 1.0',
      `file '${target.url.replaceAll("'", "'\\''")}'`,
      `option rtsp_transport ${transport}`,
      `option timeout ${Math.round((stallMs + SOCKET_GRACE_MS) * 1000)}`,
      'option allowed_media_types video',
      '',
    ].join('\n'),
  };
}
