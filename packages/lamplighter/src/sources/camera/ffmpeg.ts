import { constants } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { ENDED } from '../../local/retry.js';
import { withoutSecrets } from './camera-url.js';
import { childOver } from './child.js';
import {
  type FfmpegTarget,
  PREVIEW_DESCRIPTOR,
  PROGRESS_DESCRIPTOR,
  type RtspTransport,
  ffmpegArguments,
} from './ffmpeg-arguments.js';
import type { CameraInput, CameraListener } from './input.js';
import { PreviewCutter } from './preview.js';

/** ffmpeg looks at a stream for up to 5 s before it passes on the first byte. */
const START_MS = 10_000;
const MAX_COMPLAINT_BYTES = 2048;
const MAX_COMPLAINT_SHOWN = 200;
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/**
 * RTSP, V4L2 and video files through an ffmpeg child process.
 *
 * Every chunk of bitstream that comes out of the pipe is heard as one event, at once: the accumulator hashes what is
 * longer than an event anyway, nothing waits for a timer, and nothing is left over when the child dies.
 *
 * The child is started by `setpriv --pdeathsig KILL`: the kernel ends it with us, even when we are killed.
 * @param options - `previewPerSecond`: > 0; `stallMs`: the silence after which the attempt will be ended
 */
export function ffmpegInput(
  target: FfmpegTarget,
  options: { readonly previewPerSecond: number; readonly stallMs: number },
  environment: Environment,
): CameraInput {
  // Over TCP nothing is lost on the way, but some servers only speak UDP. Which one is in use stands in the status.
  let transport: RtspTransport = 'tcp';
  return {
    kind: 'ffmpeg',
    codec: target.kind === 'device' ? 'as-captured' : 'compressed',
    startMs: START_MS,
    details: () => (target.kind === 'rtsp' ? { transport } : {}),
    async attempt(listener, signal) {
      const tried = transport;
      let heard = false;
      const noting: CameraListener = {
        ...listener,
        heard(bytes) {
          heard = true;
          listener.heard(bytes);
        },
      };
      try {
        return await runFfmpeg(target, { ...options, transport, listener: noting, signal }, environment);
      } finally {
        if (!heard) transport = tried === 'tcp' ? 'udp' : 'tcp';
      }
    },
  };
}

async function runFfmpeg(
  target: FfmpegTarget,
  options: {
    readonly previewPerSecond: number;
    readonly stallMs: number;
    readonly transport: RtspTransport;
    readonly listener: CameraListener;
    readonly signal: AbortSignal;
  },
  environment: Environment,
): Promise<typeof ENDED> {
  const { listener, signal } = options;
  const searchPath = process.env['PATH'] ?? DEFAULT_PATH;
  const ffmpeg = await findFfmpeg(searchPath, environment);
  const setpriv = await findSetpriv(searchPath, environment);
  if (target.kind !== 'rtsp') await checkReadable(target, environment);
  signal.throwIfAborted();

  const { args, script } = ffmpegArguments(target, options);
  const child = environment.spawn(setpriv, ['--pdeathsig', 'KILL', '--no-new-privs', ffmpeg, ...args], {
    cwd: '/',
    env: { PATH: searchPath },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    // A session of its own: Ctrl-C in the terminal is for us, and we end the child.
    detached: true,
  });
  const over = childOver(child, signal);
  const { stdin, stdout, stderr } = child;
  stdin?.end(script);

  let heardBytes = 0;
  stdout?.on('data', (chunk: Buffer) => {
    environment.arrivals.note();
    heardBytes += chunk.length;
    listener.heard(chunk);
    // The kernel's pipe buffers are out of reach; this one is ours.
    chunk.fill(0);
  });
  const cutter = new PreviewCutter();
  readable(child.stdio[PREVIEW_DESCRIPTOR])?.on('data', (chunk: Buffer) => {
    const preview = cutter.push(chunk);
    if (preview !== undefined) listener.preview(preview);
  });
  const countFrames = frameCounter((count) => listener.frames(count));
  readable(child.stdio[PROGRESS_DESCRIPTOR])?.on('data', countFrames);
  let complaint = '';
  stderr?.on('data', (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString('latin1')}`.slice(-MAX_COMPLAINT_BYTES);
  });

  const how = await over;
  const said = shownComplaint(complaint, target);
  if (how !== 'code 0') {
    const message = `ffmpeg ended (${how}) on ${target.shown}${said === '' ? '' : `: ${said}`}`;
    throw new LamplighterError('ERR_CHILD_EXITED', message);
  }
  if (heardBytes === 0) {
    throw new LamplighterError('ERR_CAMERA_FORMAT', `ffmpeg found no video in ${target.shown}`);
  }
  if (target.kind === 'file') return ENDED;
  throw new LamplighterError('ERR_CAMERA_GONE', `${target.shown} ended the stream`);
}

async function findFfmpeg(searchPath: string, environment: Environment): Promise<string> {
  const found = await findProgram('ffmpeg', searchPath, environment);
  if (found !== undefined) return found;
  throw new LamplighterError('ERR_FFMPEG_MISSING', 'ffmpeg is not installed', {
    hint: 'apt-get install ffmpeg (5.1 or later)',
  });
}

async function findSetpriv(searchPath: string, environment: Environment): Promise<string> {
  const found = await findProgram('setpriv', searchPath, environment);
  if (found !== undefined) return found;
  throw new LamplighterError(
    'ERR_CHILD_FAILED',
    'setpriv is not installed, and without it ffmpeg could outlive us',
    {
      hint: 'apt-get install util-linux',
    },
  );
}

async function findProgram(
  name: string,
  searchPath: string,
  environment: Environment,
): Promise<string | undefined> {
  for (const folder of searchPath.split(path.delimiter)) {
    if (!path.isAbsolute(folder)) continue;
    const program = path.join(folder, name);
    if (await mayUse(program, constants.X_OK, environment)) return program;
  }
  return undefined;
}

async function checkReadable(
  target: { readonly path: string; readonly shown: string },
  environment: Environment,
): Promise<void> {
  if (await mayUse(target.path, constants.R_OK, environment)) return;
  throw new LamplighterError('ERR_CAMERA_GONE', `${target.shown} is not there or cannot be read`, {
    hint: 'check the path, and that this user may read it (video devices: the group "video")',
  });
}

async function mayUse(file: string, mode: number, environment: Environment): Promise<boolean> {
  try {
    await environment.fs.access(file, mode);
    return true;
  } catch {
    return false;
  }
}

/** Reads `frame=N` lines of ffmpeg's progress report; what is not one is passed over. Memory: one line. */
function frameCounter(onFrames: (count: number) => void): (chunk: Buffer) => void {
  let rest = '';
  let total = 0;
  return (chunk) => {
    const lines = `${rest}${chunk.toString('latin1')}`.split('\n');
    rest = (lines.pop() ?? '').slice(-64);
    for (const line of lines) {
      const frame = Number(/^frame=\s*(\d{1,12})$/.exec(line)?.[1] ?? 0);
      if (frame > total) {
        onFrames(frame - total);
        total = frame;
      }
    }
  };
}

/** The last two things ffmpeg said (the very last one is often only "so I give up"), printable and without secrets. */
function shownComplaint(complaint: string, target: FfmpegTarget): string {
  const lines = complaint.split('\n').filter((line) => line.trim() !== '');
  const last = lines.slice(-2).map((line) => line.replace(/^\[[^\]]*\]\s*/, '').trimEnd());
  const printable = last.join('; ').replace(/[^\x20-\x7e]/g, '?');
  const clean = target.kind === 'rtsp' ? withoutSecrets(printable, target.secrets) : printable;
  return clean.slice(0, MAX_COMPLAINT_SHOWN);
}

/** Extra pipes are typed as either direction. */
function readable(stream: unknown): Readable | undefined {
  return stream !== null && typeof stream === 'object' && 'on' in stream && 'read' in stream
    ? (stream as Readable)
    : undefined;
}
