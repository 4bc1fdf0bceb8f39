import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MjpegTestServer } from '../packages/lamplighter/dist/sources/camera/mjpeg-server.fixture.js';
import { slowJpeg } from '../packages/lamplighter/dist/sources/camera/slow-jpeg.fixture.js';
import { until } from '../packages/lamplighter/dist/sources/camera/until.fixture.js';
import { needs } from '../packages/lamplighter/dist/needs.fixture.js';

const dist = fileURLToPath(new URL('../packages/lamplighter/dist/', import.meta.url));

/** A process that runs one camera, and prints the pid of each child it starts and a line when a picture was seen. */
const SCRIPT = `
import { systemEnvironment } from '${dist}local/environment.js';
import { cameraSource } from '${dist}sources/camera/camera.js';
const environment = systemEnvironment();
const spying = {
  ...environment,
  spawn(...args) {
    const child = environment.spawn(...args);
    console.log('child ' + child.pid);
    return child;
  },
};
const camera = cameraSource({ name: 'wall', url: process.argv[1] }, spying);
await camera.start({ hear() {} }, new AbortController().signal);
setInterval(() => {
  if (camera.latestPreview() !== undefined) console.log('seen');
}, 50);
`;

interface Watcher {
  readonly process: ChildProcess;
  readonly pids: () => number[];
}

async function watcher(url: string): Promise<Watcher> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await until('a picture', () => output.includes('seen'), 30_000);
  return {
    process: child,
    pids: () => Array.from(output.matchAll(/^child (\d+)$/gm), (match) => Number(match[1])),
  };
}

/** Whether a process runs: one that is dead but not yet reaped does not. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

async function killed(watch: Watcher): Promise<void> {
  const pids = watch.pids();
  expect(pids.length).toBeGreaterThan(0);
  expect(pids.some((pid) => runs(pid))).toBe(true);
  watch.process.kill('SIGKILL');
  await until('no child is left', () => !pids.some((pid) => runs(pid)), 2_000);
}

describe('the picture decoder', () => {
  it('does not outlive a node that is killed with SIGKILL', async () => {
    const server = new MjpegTestServer();
    await server.listen();
    try {
      await killed(await watcher(server.url));
    } finally {
      await server.close();
    }
  });

  it('does not outlive it even in the middle of a picture that takes minutes', async () => {
    const script = path.join(dist, 'sources/camera/decoder-process.js');
    const decoder = spawn(process.execPath, [script], { stdio: ['pipe', 'ignore', 'ignore'] });
    const jpeg = slowJpeg();
    const length = Buffer.alloc(4);
    length.writeUInt32BE(jpeg.length);
    decoder.stdin.end(Buffer.concat([length, jpeg]));
    // 6 s of decoding, and its start.
    await until('it has ended', () => decoder.exitCode !== null, 15_000);
    expect(decoder.exitCode).toBe(0);
  });
});

needs('ffmpeg', 'setpriv')('the ffmpeg child', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'lamplighter-orphans-'));
    const video = ['-f', 'lavfi', '-i', 'testsrc2=s=320x240:r=25', '-t', '120', '-c:v', 'libx264'];
    const quickly = ['-preset', 'ultrafast', path.join(folder, 'lamps.mp4')];
    execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', ...video, ...quickly]);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('does not outlive a node that is killed with SIGKILL', async () => {
    await killed(await watcher(path.join(folder, 'lamps.mp4')));
  });

  it('does not outlive it even when it is stopped and would never notice a closed pipe', async () => {
    const watch = await watcher(path.join(folder, 'lamps.mp4'));
    for (const pid of watch.pids().filter((pid) => runs(pid))) process.kill(pid, 'SIGSTOP');
    await killed(watch);
  });
});
