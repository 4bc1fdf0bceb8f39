import { type ChildProcess, execFile, spawn } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { HEALTH_HEIGHT, HEALTH_PIXELS, HEALTH_WIDTH, type HealthPicture } from './picture.js';

const run = promisify(execFile);

/** How a video is stored. `raw` is not at all: the source's own pixels. */
export const CODECS = {
  raw: undefined,
  x264: ['-c:v', 'libx264', '-crf', '23', '-preset', 'veryfast', '-pix_fmt', 'yuv420p'],
  mjpeg: ['-c:v', 'mjpeg', '-q:v', '4', '-pix_fmt', 'yuvj420p'],
  mpeg4: ['-c:v', 'mpeg4', '-q:v', '5', '-pix_fmt', 'yuv420p'],
} as const;

export type Codec = keyof typeof CODECS;

/** One video to be made. */
export interface Video {
  readonly name: string;
  /** An ffmpeg source and its filters, in lavfi's words. */
  readonly lavfi: string;
  readonly codec: Codec;
  readonly seconds: number;
  /** Of the source; where the rate is not even, times are asked of ffprobe. */
  readonly fps: number;
  readonly isUneven?: boolean;
}

/**
 * Makes a video and decodes it at full speed, as the node's health decoder does: single pixels on a grid.
 * @param folder - where its file may stand, to be removed by the caller
 */
export async function* picturesOf(video: Video, folder: string): AsyncGenerator<HealthPicture> {
  const file = await encode(video, folder);
  const input = file === undefined ? ['-f', 'lavfi', '-i', video.lavfi] : ['-i', file];
  const uneven = video.isUneven === true && file !== undefined ? await timesOf(file) : undefined;
  const grid = `format=yuv420p,scale=${HEALTH_WIDTH}:${HEALTH_HEIGHT}:flags=neighbor,format=gray`;
  const output = [
    '-t',
    String(video.seconds),
    '-vf',
    grid,
    '-fps_mode',
    'passthrough',
    '-f',
    'rawvideo',
    '-',
  ];
  const child = spawn('ffmpeg', ['-nostdin', '-v', 'error', ...input, ...output], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let number = 0;
  for await (const luma of cut(child)) {
    const even = { timeMs: (1_000 * number) / video.fps, width: 0, height: 0 };
    const { timeMs, width, height } = uneven?.[number] ?? even;
    number += 1;
    yield {
      width: HEALTH_WIDTH,
      height: HEALTH_HEIGHT,
      luma,
      sourceWidth: width,
      sourceHeight: height,
      timeMs,
    };
  }
  if (number === 0) throw new Error(`${video.name}: ffmpeg made no picture`);
}

/** Two videos as one stream of JPEGs, so that the size may change in the middle; both with the same rate. */
export async function* joinedPictures(
  videos: readonly [Video, Video],
  folder: string,
): AsyncGenerator<HealthPicture> {
  let beganMs = 0;
  for (const [index, video] of videos.entries()) {
    const sized = /s=(\d+)x(\d+)/.exec(video.lavfi);
    const [sourceWidth, sourceHeight] = [Number(sized?.[1]), Number(sized?.[2])];
    const fromMs = beganMs;
    for await (const picture of picturesOf(video, folder)) {
      const timeMs = fromMs + picture.timeMs;
      beganMs = timeMs + 1_000 / video.fps;
      yield { ...picture, sourceWidth, sourceHeight, timeMs };
    }
    if (index === 0 && beganMs === 0) throw new Error('the first video is empty');
  }
}

async function encode(video: Video, folder: string): Promise<string | undefined> {
  const codec = CODECS[video.codec];
  if (codec === undefined) return undefined;
  const file = path.join(folder, `${video.name.replaceAll(/\W+/g, '-')}-${video.codec}.mkv`);
  const input = ['-nostdin', '-v', 'error', '-y', '-f', 'lavfi', '-i', video.lavfi];
  await run('ffmpeg', [...input, '-t', String(video.seconds), '-fps_mode', 'passthrough', ...codec, file]);
  return file;
}

async function timesOf(file: string): Promise<{ timeMs: number; width: number; height: number }[]> {
  const entries = 'frame=pts_time,width,height';
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_entries', entries, '-of', 'csv=p=0', file], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [seconds = '', width = '', height = ''] = line.split(',');
      return { timeMs: 1_000 * Number(seconds), width: Number(width), height: Number(height) };
    });
}

async function* cut(child: ChildProcess): AsyncGenerator<Uint8Array> {
  const luma = new Uint8Array(HEALTH_PIXELS);
  let filled = 0;
  if (child.stdout === null) throw new Error('ffmpeg has no output');
  try {
    for await (const chunk of child.stdout) {
      if (!(chunk instanceof Uint8Array)) throw new TypeError('ffmpeg gives bytes');
      for (let from = 0; from < chunk.length;) {
        const piece = chunk.subarray(from, from + HEALTH_PIXELS - filled);
        luma.set(piece, filled);
        filled += piece.length;
        from += piece.length;
        if (filled < HEALTH_PIXELS) continue;
        filled = 0;
        yield luma;
      }
    }
  } finally {
    child.kill();
  }
}
