import { execFileSync } from 'node:child_process';

const QUIETLY = ['-nostdin', '-hide_banner', '-loglevel', 'error', '-y'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '22', '-g', '30', '-pix_fmt', 'yuv420p'];

/** For tests: colours that flow in the middle of a still wall, seen through a noisy sensor, as an ffmpeg source. */
export function lamps(size = '320x240', rate = 15): string {
  const [width = 0, height = 0] = size.split('x').map(Number);
  const lamp = `${2 * Math.round(width / 6)}x${2 * Math.round(height / 3.5)}`;
  return [
    `color=0x806050:s=${size}:r=${rate},vignette[wall]`,
    `gradients=s=${lamp}:r=${rate}:c0=0x301040:c1=0xc06020:c2=0x206040:n=3:speed=0.01[lamp]`,
    '[wall][lamp]overlay=(W-w)/2:(H-h)/2,noise=alls=20:allf=t',
  ].join(';');
}

/** For tests: runs ffmpeg to its end. */
export const ffmpeg = (...args: readonly string[]): void => {
  execFileSync('ffmpeg', [...QUIETLY, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
};

/** For tests: makes a video from an ffmpeg source. @param rest - more arguments, before the file */
export function makeVideo(
  file: string,
  options: { source: string; seconds: number; rest?: readonly string[] },
): void {
  const { source, seconds, rest = [] } = options;
  ffmpeg('-f', 'lavfi', '-i', source, '-t', String(seconds), ...H264, ...rest, file);
}

/** For tests: makes a video from another one through filters, with the times they give it. */
export function changeVideo(from: string, file: string, filters: string): void {
  ffmpeg('-i', from, '-vf', filters, '-fps_mode', 'vfr', ...H264, file);
}
