import { constants } from 'node:fs';
import { Readable } from 'node:stream';
import { LamplighterError } from '@lamplighter/core';
import type { Environment } from '../../local/environment.js';
import { ENDED } from '../../local/retry.js';
import { withoutSecrets } from './camera-url.js';
import { childOver } from './child.js';
import {
  type FfmpegTarget,
  PICTURE_DESCRIPTOR,
  PROGRESS_DESCRIPTOR,
  type RtspTransport,
  ffmpegArguments,
} from './ffmpeg-arguments.js';
import { FfmpegReport, type StreamReport } from './ffmpeg-report.js';
import { HEALTH_HEIGHT, HEALTH_WIDTH } from './health/picture.js';
import type { CameraListener } from './input.js';
import { PicturePairing } from './picture-pairing.js';
import { findProgram, searchPath } from '../find-program.js';
import { type Sandbox, sandboxFor } from './sandbox.js';

/** One run of ffmpeg over one target. */
export interface FfmpegRun {
  readonly stallMs: number;
  readonly transport: RtspTransport;
  readonly keyFramesOnly: boolean;
  readonly fullSpeed?: boolean;
  readonly seconds?: number;
  readonly listener: CameraListener;
  readonly signal: AbortSignal;
  /** Told once what the child may still do, in words. */
  readonly onSandbox: (words: string) => void;
  /** Told what video was found, before any of it is heard as a rule. */
  readonly onStream: (stream: StreamReport) => void;
}

const MAX_COMPLAINT_SHOWN = 200;
/** Key frames of 8K take some 300 MiB, every frame of 1080p on two threads 200 MiB. */
const MEMORY_BYTES = 1024 * 1024 * 1024;
/** Pictures of a live camera are taken so fast and no faster; behind that its pipe fills, and it waits. */
const PICTURES_IN_WINDOW = 60;
const WINDOW_MS = 250;

/**
 * Runs ffmpeg once and tells the listener what comes out of it, until it ends or the signal fires.
 *
 * The child is started by `setpriv --pdeathsig KILL`: the kernel ends it with us, even when we are killed.
 * @returns `ENDED` when a file was read to its end
 * @throws the signal's reason, or LamplighterError: why there is no video, or no more of it
 */
export async function runFfmpeg(
  target: FfmpegTarget,
  run: FfmpegRun,
  environment: Environment,
): Promise<typeof ENDED> {
  const ffmpeg = await findFfmpeg(environment);
  const sandbox = await sandboxOf(target, environment);
  run.onSandbox(sandbox.words);
  if (target.kind === 'file' || target.kind === 'device') await checkReadable(target, environment);
  run.signal.throwIfAborted();

  const { fullSpeed = false } = run;
  const size = { pictureWidth: HEALTH_WIDTH, pictureHeight: HEALTH_HEIGHT };
  const { args, script } = ffmpegArguments(target, { ...run, ...size, fullSpeed });
  const child = environment.spawn(sandbox.command, [...sandbox.prefix, ffmpeg, ...args], {
    cwd: '/',
    env: { PATH: searchPath() },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    // A session of its own: Ctrl-C in the terminal is for us, and we end the child.
    detached: true,
  });
  const failing = new AbortController();
  const over = childOver(child, AbortSignal.any([run.signal, failing.signal]));
  /** An error in a handler is nobody's to catch: it ends the run. */
  const guarded =
    (take: (chunk: Buffer) => void) =>
    (chunk: Buffer): void => {
      if (failing.signal.aborted) return;
      try {
        take(chunk);
      } catch (error) {
        failing.abort(error);
      }
    };
  child.stdin?.end(script);

  let heardBytes = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    environment.arrivals.note();
    heardBytes += chunk.length;
    run.listener.heard(chunk);
    // The kernel's pipe buffers are out of reach; this one is ours.
    chunk.fill(0);
  });
  const pictures = readable(child.stdio[PICTURE_DESCRIPTOR]);
  const pace = fullSpeed ? undefined : new Pace(pictures, environment);
  const pairing = new PicturePairing(HEALTH_WIDTH * HEALTH_HEIGHT, (decoded) => {
    pace?.count();
    const { luma, widthPx, heightPx, mediaMs } = decoded;
    const arrivedMs = Number(environment.monotonicNs() / 1_000_000n);
    run.listener.picture({ luma, sourceWidth: widthPx, sourceHeight: heightPx, arrivedMs, mediaMs });
  });
  const takePixels = guarded((chunk) => pairing.pushPixels(chunk));
  pictures?.on('data', (chunk: Buffer) => {
    takePixels(chunk);
    chunk.fill(0);
  });
  const report = new FfmpegReport({
    onFrame: (frame) => pairing.pushReport(frame),
    onStream: run.onStream,
  });
  child.stderr?.on('data', guarded((chunk) => report.push(chunk))); // prettier-ignore
  readable(child.stdio[PROGRESS_DESCRIPTOR])?.on('data', frameCounter((count) => run.listener.frames(count))); // prettier-ignore

  try {
    const how = await over;
    return verdictOf(target, { how, heardBytes, complaint: report.complaint() });
  } finally {
    pace?.close();
    pairing.wipe();
  }
}

function verdictOf(
  target: FfmpegTarget,
  { how, heardBytes, complaint }: { how: string; heardBytes: number; complaint: string },
): typeof ENDED {
  const secrets = target.kind === 'rtsp' || target.kind === 'stream' ? target.secrets : [];
  const clean = withoutSecrets(complaint, secrets).slice(0, MAX_COMPLAINT_SHOWN);
  const said = clean === '' ? '' : `: ${clean}`;
  const refused = how.startsWith('code') && how !== 'code 0' && heardBytes === 0;
  if (refused && target.kind === 'file') {
    throw new LamplighterError('ERR_CAMERA_FORMAT', `${target.shown} is no video that can be read${said}`, {
      hint: 'play it with ffplay; playlists and still pictures are not taken',
    });
  }
  if (refused) {
    throw new LamplighterError('ERR_CAMERA_GONE', `${target.shown} gives no video${said}`, {
      hint: hintFor(target, complaint),
    });
  }
  if (how !== 'code 0') {
    throw new LamplighterError('ERR_CHILD_EXITED', `ffmpeg ended (${how}) on ${target.shown}${said}`);
  }
  if (heardBytes === 0) {
    throw new LamplighterError('ERR_CAMERA_FORMAT', `ffmpeg found no video in ${target.shown}${said}`);
  }
  if (target.kind === 'file') return ENDED;
  throw new LamplighterError('ERR_CAMERA_GONE', `${target.shown} ended the stream`);
}

function hintFor(target: FfmpegTarget, complaint: string): string {
  if (/\b40[13]\b/.test(complaint)) return 'put NAME:PASSWORD@ before the host in the url';
  if (/busy/i.test(complaint)) return 'another program has the camera: end it, or read from where it serves';
  if (target.kind === 'device') {
    return 'see what it can do with `v4l2-ctl --list-formats-ext`, and ask for it: ?format=…&size=…&fps=…';
  }
  return 'check that the camera is on and that the url opens in a player on this machine';
}

async function findFfmpeg(environment: Environment): Promise<string> {
  const found = await findProgram('ffmpeg', environment);
  if (found !== undefined) return found;
  throw new LamplighterError('ERR_FFMPEG_MISSING', 'ffmpeg is not installed', {
    hint: 'apt-get install ffmpeg (5.1 or later)',
  });
}

async function sandboxOf(target: FfmpegTarget, environment: Environment): Promise<Sandbox> {
  const local = target.kind === 'file' || target.kind === 'device';
  const sandbox = await sandboxFor(
    {
      network: !local,
      memoryBytes: MEMORY_BYTES,
      ownFiles: target.kind === 'file',
      ...(target.kind === 'device' ? { device: target.path } : {}),
    },
    environment,
  );
  if (sandbox !== undefined) return sandbox;
  const message = 'setpriv is not installed, and without it ffmpeg could outlive us';
  throw new LamplighterError('ERR_CHILD_FAILED', message, { hint: 'apt-get install util-linux' });
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

/** Lets a pipe rest when more pictures came out of it than any camera makes. */
class Pace {
  readonly #pipe: Readable | undefined;
  readonly #timer: { cancel(): void };
  #count = 0;

  constructor(pipe: Readable | undefined, environment: Environment) {
    this.#pipe = pipe;
    this.#timer = environment.timers.every(WINDOW_MS, () => {
      if (this.#count >= PICTURES_IN_WINDOW) this.#pipe?.resume();
      this.#count = 0;
    });
  }

  count(): void {
    this.#count += 1;
    if (this.#count === PICTURES_IN_WINDOW) this.#pipe?.pause();
  }

  close(): void {
    this.#timer.cancel();
    this.#pipe?.resume();
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

/** Extra pipes are typed as either direction. */
function readable(stream: unknown): Readable | undefined {
  return stream instanceof Readable ? stream : undefined;
}

/** Whether this user may use a file so; `mode` as of access(2). */
async function mayUse(file: string, mode: number, environment: Environment): Promise<boolean> {
  try {
    await environment.fs.access(file, mode);
    return true;
  } catch {
    return false;
  }
}
