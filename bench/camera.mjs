// What a camera costs: processor time for a second of video, in the node and in ffmpeg, beside decoding and hashing every frame.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Accumulator } from '../packages/core/dist/index.js';
import { systemEnvironment } from '../packages/lamplighter/dist/local/environment.js';
import { cameraSource } from '../packages/lamplighter/dist/sources/camera/camera.js';
import { short, table } from './figures.mjs';
import { isInstalled, processorSeconds } from './processes.mjs';

/** Of each video. */
const SECONDS = 10;
/** Of these so many are counted, after so many in which the compiler finds out what is used often. */
const WATCHED_MS = 6_000;
const SETTLING_MS = 2_000;
/** Clock ticks a second in /proc, Linux's USER_HZ. */
const TICKS = 100;
const QUIETLY = '-nostdin -hide_banner -loglevel error -y'.split(' ');
const NOISY = 'noise=alls=12:allf=t';

export async function run() {
  if (!isInstalled('ffmpeg')) {
    console.log('  skipped: ffmpeg is not installed (apt-get install ffmpeg)');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'lamplighter-bench-'));
  try {
    const small = makeVideo(join(folder, '1080p.mp4'), '1920x1080');
    const large = makeVideo(join(folder, '4k.mp4'), '3840x2160');
    table([
      ['percent of one core', 'node', 'ffmpeg', 'MB/s hashed'],
      ['1080p30: lamplighter', ...(await lamplighter(small))],
      ['1080p30: ffmpeg decodes for health alone', ...(await decoding(small))],
      ['1080p30: every frame decoded and hashed', ...(await hashing(small))],
      ['4K30: lamplighter, key frames decoded', ...(await lamplighter(large))],
      ['4K30: ffmpeg decodes every frame', ...(await decoding(large))],
      ['4K30: every frame decoded and hashed', ...(await hashing(large))],
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A noisy H.264 video with a key frame a second. @param {string} file @param {string} size */
function makeVideo(file, size) {
  const scene = `gradients=s=480x270:r=30:n=3:speed=0.01,scale=${size.replace('x', ':')}:flags=fast_bilinear`;
  const source = ['-f', 'lavfi', '-i', `${scene},${NOISY}`];
  const code = '-c:v libx264 -preset ultrafast -crf 28 -g 30 -pix_fmt yuv420p'.split(' ');
  const { status } = spawnSync('ffmpeg', [...QUIETLY, ...source, '-t', String(SECONDS), ...code, file], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('ffmpeg made no video');
  return file;
}

/**
 * The source as a node runs it, at the pace of the video: every byte into an accumulator. Counted from the first picture on:
 * a camera starts once.
 * @param {string} url
 */
async function lamplighter(url) {
  const root = new Accumulator({ schedule: 'improved', monotonicMs: () => performance.now() });
  let bytes = 0;
  const sink = {
    hear(chunk) {
      bytes += chunk.length;
      root.add(1, createHash('sha256').update(chunk).digest());
    },
  };
  const environment = systemEnvironment();
  let ffmpeg = 0;
  const spawn = (...how) => {
    const child = environment.spawn(...how);
    ffmpeg = child.pid;
    return child;
  };
  const camera = cameraSource({ name: 'bench', url }, { ...environment, spawn });
  await camera.start(sink, new AbortController().signal);
  while (camera.latestPreview() === undefined) await sleep(50);
  await sleep(SETTLING_MS);
  const before = { own: process.cpuUsage(), ffmpeg: processorSeconds(ffmpeg), bytes };
  const startedMs = performance.now();
  await sleep(WATCHED_MS);
  const { user, system } = process.cpuUsage(before.own);
  const seconds = (performance.now() - startedMs) / 1000;
  const child = processorSeconds(ffmpeg) - before.ffmpeg;
  const heard = bytes - before.bytes;
  await camera.stop();
  return [(user + system) / 1e4, child * 100, heard / 1e6].map((value) => short(value / seconds));
}

/** What ffmpeg needs to decode every frame for the health tests, with nobody behind it. @param {string} url */
async function decoding(url) {
  const filters = ['-vf', 'scale=160:120:flags=neighbor,format=gray', '-f', 'null', '-'];
  const spent = stopwatch();
  const child = spawn('ffmpeg', [...QUIETLY, '-threads', '2', '-i', url, ...filters], { stdio: 'inherit' });
  await once(child, 'close');
  return ['', shown(spent().children, 1), ''];
}

/** The rival: raw frames through a pipe, hashed. @param {string} url */
async function hashing(url) {
  const hash = createHash('sha512');
  let bytes = 0;
  const spent = stopwatch();
  const frames = ['-i', url, '-f', 'rawvideo', 'pipe:1'];
  const child = spawn('ffmpeg', [...QUIETLY, ...frames], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.on('data', (chunk) => {
    bytes += chunk.length;
    hash.update(chunk);
  });
  await once(child, 'close');
  hash.digest();
  const { own, children } = spent();
  return [own, children, bytes / 1e6].map((value, column) => shown(value, column));
}

/** Processor seconds from now on: of this process, and of its children that have ended. */
function stopwatch() {
  const own = process.cpuUsage();
  const before = childSeconds();
  return () => {
    const { user, system } = process.cpuUsage(own);
    return { own: (user + system) / 1e6, children: childSeconds() - before };
  };
}

function childSeconds() {
  const text = readFileSync('/proc/self/stat', 'latin1');
  // A name may hold anything, so the fields are counted from its last bracket: cutime and cstime are the 16th and 17th.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / TICKS;
}

/** Of a second of video: percent of a core, or megabytes. */
function shown(value, column) {
  return short((column === 2 ? value : value * 100) / SECONDS);
}
